//! Files of the repository outside this package, read when they are needed, so that the package can be built alone.

use std::path::Path;

pub(crate) const TINY_CONTINUOUS: &str = "configs/tiny_kl.toml";
pub(crate) const TINY_DISCRETE: &str = "configs/tiny_fsq.toml";

/// The bytes of the file at this path from the repository's root.
pub(crate) fn bytes(path: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text of the file at this path from the repository's root.
pub(crate) fn text(path: &str) -> String {
    String::from_utf8_lossy(&bytes(path)).into_owned()
}
