//! Fuzz targets of all readers of files that come from elsewhere.
//!
//! A [`Target`] reads a file and checks what it was read as. Files are made from valid ones by [`mutate`], which knows
//! the formats and keeps lengths and checksums right, so that changes reach what lies behind these. The tests go through
//! a fixed number of such files; `cargo xtask fuzz` goes on for as long as one likes, led by coverage. See
//! `docs/TESTING.md`.
//!
//! ```
//! let pickles = vidtok_fuzz::TARGETS[0];
//! let seed = (pickles.seeds)().remove(0);
//! assert!(pickles.check(&seed).is_ok());
//! assert!(pickles.check(&seed[..seed.len() / 2]).is_err());
//! ```

mod format;
mod mutate;
mod scratch;
mod target;
mod targets;

pub use format::Format;
pub use mutate::mutate;
pub use target::{Outcome, Target};
pub use targets::TARGETS;

#[cfg(test)]
mod tests;
