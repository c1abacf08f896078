//! The server, the cache and the token.

use std::env;
use std::fs;
use std::path::PathBuf;

use crate::error::HubError;

const ENDPOINT: &str = "https://huggingface.co";

/// The hub as the environment describes it.
#[derive(Clone, Debug)]
pub struct Hub {
    pub(crate) endpoint: String,
    pub(crate) cache: PathBuf,
    pub(crate) token: Option<String>,
    pub(crate) is_offline: bool,
}

impl Hub {
    /// The hub that these environment variables describe, as for the Python library `huggingface_hub`:
    ///
    /// - `HF_ENDPOINT`: the server, by default <https://huggingface.co>;
    /// - `HF_HUB_CACHE`, `HF_HOME` or `XDG_CACHE_HOME`: the folder of the cache, by default `~/.cache/huggingface/hub`;
    /// - `HF_TOKEN`, or the file at `HF_TOKEN_PATH`, by default `token` in the home of the cache;
    /// - `HF_HUB_OFFLINE`: 1, on, yes or true to use the cache alone.
    ///
    /// # Errors
    /// [`HubError::NoCache`] if none of them, nor `HOME`, gives a folder.
    pub fn from_env() -> Result<Self, HubError> {
        Self::from_variables(|name| env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, HubError> {
        let folder = |name: &str| variable(name).map(PathBuf::from);
        let user_cache = || folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")));
        let home = folder("HF_HOME").or_else(|| user_cache().map(|cache| cache.join("huggingface")));
        let cache = folder("HF_HUB_CACHE").or_else(|| home.as_ref().map(|home| home.join("hub")));
        let in_file = || {
            let path = folder("HF_TOKEN_PATH").or_else(|| home.as_ref().map(|home| home.join("token")))?;
            fs::read_to_string(path).ok()
        };
        let token = variable("HF_TOKEN").or_else(in_file).map(|token| token.trim().to_owned());
        let offline = variable("HF_HUB_OFFLINE").unwrap_or_default().to_lowercase();
        Ok(Self {
            endpoint: variable("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned()).trim_end_matches('/').to_owned(),
            cache: cache.ok_or(HubError::NoCache)?,
            token: token.filter(|token| !token.is_empty()),
            is_offline: ["1", "on", "yes", "true"].contains(&offline.as_str()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn hub(variables: &[(&str, &str)]) -> Result<Hub, HubError> {
        let find =
            |name: &str| variables.iter().find(|(found, _)| *found == name).map(|(_, value)| (*value).to_owned());
        Hub::from_variables(find)
    }

    #[test]
    fn variables_mean_what_they_mean_for_huggingface_hub() {
        let cache = |variables| hub(variables).unwrap().cache;
        assert_eq!(cache(&[("HOME", "/h")]), Path::new("/h/.cache/huggingface/hub"));
        assert_eq!(cache(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]), Path::new("/x/huggingface/hub"));
        assert_eq!(cache(&[("HOME", "/h"), ("HF_HOME", "/f")]), Path::new("/f/hub"));
        assert_eq!(cache(&[("HF_HOME", "/f"), ("HF_HUB_CACHE", "/c")]), Path::new("/c"));
        assert!(matches!(hub(&[]), Err(HubError::NoCache)));

        let plain = hub(&[("HF_HOME", "/f")]).unwrap();
        assert_eq!((plain.endpoint.as_str(), plain.token, plain.is_offline), (ENDPOINT, None, false));
        let set = [("HF_HOME", "/f"), ("HF_ENDPOINT", "http://x/"), ("HF_TOKEN", "t\n"), ("HF_HUB_OFFLINE", "YES")];
        let set = hub(&set).unwrap();
        assert_eq!((set.endpoint.as_str(), set.token.as_deref(), set.is_offline), ("http://x", Some("t"), true));
    }

    #[test]
    fn the_token_comes_from_the_file_unless_the_variable_is_set() {
        let folder = std::env::temp_dir().join(format!("vidtok-hub-token-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("token"), "from-file\n").unwrap();
        let home = folder.to_str().unwrap();
        let token = |variables: &[(&str, &str)]| hub(variables).unwrap().token;
        assert_eq!(token(&[("HF_HOME", home)]).as_deref(), Some("from-file"));
        assert_eq!(token(&[("HF_HOME", home), ("HF_TOKEN", "set")]).as_deref(), Some("set"));
        fs::remove_dir_all(folder).unwrap();
    }
}
