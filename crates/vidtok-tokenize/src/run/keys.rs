//! Keys: the names of videos in a dataset, which become file names and WebDataset keys.

use std::collections::HashSet;
use std::path::Path;

/// Whether a key may have been made by [`new_key`]. A damaged list may hold any text.
pub(super) fn is_valid_key(key: &str) -> bool {
    !key.starts_with('/') && key.chars().all(is_key_character)
}

/// Makes a key for the video at `path` that is not among `keys`, and adds it to them.
///
/// It is the path without its extension, with `_` for all characters except letters, digits, `-` and `/`, so that it
/// has no dots, at which WebDataset splits names.
pub(super) fn new_key(path: &str, keys: &mut HashSet<String>) -> String {
    let stem = Path::new(path).with_extension("");
    let plain = |c: char| if is_key_character(c) { c } else { '_' };
    let stem: String = stem.to_string_lossy().chars().map(plain).collect();
    // WebDataset reserves names like `__x__` and skips them.
    let first = stem.split('/').next().unwrap_or_default();
    let is_reserved = first.len() > 3 && first.starts_with("__") && first.ends_with("__");
    let stem = if is_reserved { format!("-{stem}") } else { stem };
    let numbered = (2..).map(|number| format!("{stem}-{number}"));
    let mut candidates = std::iter::once(stem.clone()).chain(numbered);
    let free = candidates.find(|key| !keys.contains(key)).unwrap_or(stem);
    keys.insert(free.clone());
    free
}

fn is_key_character(c: char) -> bool {
    c.is_alphanumeric() || "-_/".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_no_dots_and_are_unique() {
        let mut keys = HashSet::new();
        for (path, key) in [
            ("a.b/c d.mp4", "a_b/c_d"),
            ("a_b/c_d.mp4", "a_b/c_d-2"),
            ("x.mov", "x"),
            ("x-2.mp4", "x-2"),
            ("x.mp4", "x-3"),
            ("../up.mp4", "__/up"),
            ("((x))/clip.mp4", "-__x__/clip"),
            ("\u{e9}t\u{e9}.mp4", "\u{e9}t\u{e9}"),
            (".mp4", "_mp4"),
        ] {
            assert_eq!(new_key(path, &mut keys), key);
            assert!(is_valid_key(key), "{key}");
        }
    }
}
