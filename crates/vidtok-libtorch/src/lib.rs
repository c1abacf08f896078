//! Checks that a build finds libtorch 2.11.0 before torch-sys looks for it.
//!
//! torch-sys takes libtorch from the variable `LIBTORCH` (or, with `LIBTORCH_USE_PYTORCH=1`, from Python's torch). Cargo
//! lets no dependency set that variable, so the project that is built has to, in two lines of its `.cargo/config.toml`:
//!
//! ```toml
//! env.LIBTORCH = "/path/to/libtorch"
//! build.rustflags = ["-C", "link-arg=-Wl,-rpath,/path/to/libtorch/lib"]
//! ```
//!
//! Where they are missing, this crate's build script looks for a libtorch in `.deps/libtorch` of the project, in
//! `.deps/libtorch` of the checkout that the crate comes from, and in Python, and ends the build with one line that
//! states both lines with the folder it found. The second line lets programs find libtorch when they are started without
//! cargo.
//!
//! The build scripts of the crates that link to libtorch ask [`libraries`] where it is.
//!
//! ```
//! // Outside of a build script that runs after torch-sys's the answer is unknown.
//! assert_eq!(vidtok_libtorch::libraries(), None);
//! ```
//!
//! The feature `download` turns the check off, for projects that let torch-sys download libtorch (`download-libtorch`
//! of `tch`).

#[cfg(test)]
mod locate;

use std::env;
use std::path::PathBuf;

/// The folder of the libraries that torch-sys links to, in the build script of a crate that depends on torch-sys; `None`
/// elsewhere, and where torch-sys links to nothing (`doc-only`).
#[must_use]
pub fn libraries() -> Option<PathBuf> {
    env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from)
}
