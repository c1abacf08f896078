//! Fuzz targets for all readers of untrusted files.
//!
//! A [`Target`] reads a file and checks the result. Files are made from valid ones by [`mutate`], which knows the
//! formats and corrects lengths and checksums, so that mutations reach the code behind those checks. The tests read a
//! fixed number of such files; `cargo xtask fuzz` continues until it is stopped, guided by coverage. See
//! `docs/TESTING.md`.
//!
//! ```
//! let target = vidtok_fuzz::TARGETS[0];
//! let seed = (target.seeds)().remove(0);
//! assert!(target.check(&seed).is_ok());
//! assert!(target.check(&seed[..seed.len() / 2]).is_err());
//! ```

mod format;
mod mutate;
mod repository;
mod scratch;
mod target;
mod targets;

pub use format::Format;
pub use mutate::mutate;
pub use target::{Outcome, Target};
pub use targets::TARGETS;

#[cfg(test)]
mod tests;
