//! The folder into which `cargo xtask setup` downloads libraries and weights.

use std::env;
use std::path::{Path, PathBuf};

/// The paths at which `cargo xtask setup` may have put `relative`, in order of preference: in the folder that the
/// environment variable `VIDTOK_DEPS` names, or in a folder `.deps` beside the running program or above it.
///
/// The paths need not exist.
#[must_use]
pub fn fetched(relative: impl AsRef<Path>) -> Vec<PathBuf> {
    let named = env::var_os("VIDTOK_DEPS").map(PathBuf::from);
    candidates(named, &env::current_exe().unwrap_or_default(), relative.as_ref())
}

fn candidates(named: Option<PathBuf>, running: &Path, relative: &Path) -> Vec<PathBuf> {
    let above = running.ancestors().skip(1).map(|folder| folder.join(".deps"));
    named.into_iter().chain(above).map(|deps| deps.join(relative)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_folder_comes_before_those_above_the_program() {
        let found = candidates(Some("named".into()), Path::new("/a/b/program"), Path::new("c/d"));
        assert_eq!(found, ["named/c/d", "/a/b/.deps/c/d", "/a/.deps/c/d", "/.deps/c/d"].map(PathBuf::from));
        assert_eq!(candidates(None, Path::new("/program"), Path::new("c")), [PathBuf::from("/.deps/c")]);
    }
}
