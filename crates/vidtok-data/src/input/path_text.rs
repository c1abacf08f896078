//! Paths as unambiguous text.

use std::borrow::Cow;
use std::path::Path;

/// A path as text: unchanged if it is UTF-8; otherwise each invalid byte becomes `\\xff`, and each backslash is
/// doubled.
#[must_use]
pub fn path_text(path: &Path) -> Cow<'_, str> {
    if let Some(text) = path.to_str() {
        return text.into();
    }
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        text += &chunk.valid().replace('\\', "\\\\");
        for byte in chunk.invalid() {
            text += &format!("\\x{byte:02x}");
        }
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn names_that_are_not_utf8_are_escaped_and_stay_apart() {
        let text = |bytes: &[u8]| path_text(Path::new(OsStr::from_bytes(bytes))).into_owned();
        assert_eq!(text(b"bad\xff.mp4"), r"bad\xff.mp4");
        assert_eq!(text(b"bad\xfe.mp4"), r"bad\xfe.mp4");
        assert_eq!(text("\u{e9}\\.mp4".as_bytes()), "\u{e9}\\.mp4");
        assert_eq!(text(b"a\\\xff"), r"a\\\xff");
    }
}
