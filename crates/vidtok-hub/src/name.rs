//! The names of models on the hub.

use std::fmt;
use std::str::FromStr;

use crate::error::HubError;

const PREFIX: &str = "hf:";
/// A model on the hub: `hf:OWNER/NAME[:FILE][@REVISION]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubModel {
    /// The repository, `OWNER/NAME`.
    pub repository: String,
    /// The file in the repository; without one, the repository's only model is taken.
    pub file: Option<String>,
    /// The branch, the tag or the commit.
    pub revision: String,
}

impl HubModel {
    /// The revision of names that state none.
    pub const MAIN: &str = "main";

    /// Whether a text is the name of a model on the hub, possibly a wrong one: whether it starts with `hf:`.
    #[must_use]
    pub fn is_name(text: &str) -> bool {
        text.starts_with(PREFIX)
    }
}

impl fmt::Display for HubModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.repository)?;
        if let Some(file) = &self.file {
            write!(f, ":{file}")?;
        }
        if self.revision != Self::MAIN {
            write!(f, "@{}", self.revision)?;
        }
        Ok(())
    }
}

impl FromStr for HubModel {
    type Err = HubError;

    fn from_str(text: &str) -> Result<Self, HubError> {
        let parse = || {
            let rest = text.strip_prefix(PREFIX)?;
            let (rest, revision) = rest.split_once('@').unwrap_or((rest, Self::MAIN));
            let (repository, file) = match rest.split_once(':') {
                Some((repository, file)) => (repository, Some(file)),
                None => (rest, None),
            };
            let (owner, name) = repository.split_once('/')?;
            let are_valid = is_part(owner) && is_part(name) && is_path(revision) && file.is_none_or(is_path);
            are_valid.then(|| Self {
                repository: repository.to_owned(),
                file: file.map(str::to_owned),
                revision: revision.to_owned(),
            })
        };
        parse().ok_or_else(|| HubError::Name(text.to_owned()))
    }
}

/// Whether all parts of a path are valid, so that the path stays inside its folder.
fn is_path(path: &str) -> bool {
    path.split('/').all(is_part)
}

/// Whether a text is a name without separators that is neither empty nor made of dots.
fn is_part(part: &str) -> bool {
    let is_valid = |character: char| character.is_alphanumeric() || "._-+ ()=".contains(character);
    part.chars().all(is_valid) && part.chars().any(|character| character != '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for (text, repository, file, revision) in [
            ("hf:a/b", "a/b", None, "main"),
            ("hf:a/b:x.ckpt", "a/b", Some("x.ckpt"), "main"),
            ("hf:a.b/c-d_e:x/y z.safetensors@v1.0", "a.b/c-d_e", Some("x/y z.safetensors"), "v1.0"),
            ("hf:a/b@refs/pr/1", "a/b", None, "refs/pr/1"),
        ] {
            let model: HubModel = text.parse().unwrap();
            let parts = (model.repository.as_str(), model.file.as_deref(), model.revision.as_str());
            assert_eq!(parts, (repository, file, revision));
            assert_eq!(model.to_string(), text);
        }
    }

    #[test]
    fn names_that_lead_out_of_their_folder_or_lack_a_part_are_refused() {
        for text in [
            "a/b",
            "hf:",
            "hf:a",
            "hf:a/",
            "hf:/b",
            "hf:a/b/c",
            "hf:a/b:",
            "hf:a/b:../x",
            "hf:a/b:/x",
            "hf:a/..",
            "hf:a/b@",
            "hf:a/b@../x",
            "hf:a/b:x?y",
            "hf:a/b:x#y",
        ] {
            assert!(text.parse::<HubModel>().is_err(), "{text}");
        }
        let error = "hf:a".parse::<HubModel>().unwrap_err().to_string();
        assert_eq!(error, "\"hf:a\": expected hf:OWNER/NAME, hf:OWNER/NAME:FILE, or one of them with @REVISION");
    }
}
