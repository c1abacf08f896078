//! Reference outputs and formula tensors for the tests of the other crates.
//!
//! A network with the weights of [`weight`] and the input of [`unit()`] must return the tensors of [`golden`]. Its
//! parameters must have the names and shapes of [`keys()`].
//!
//! ```
//! use vidtok_golden::{golden, unit};
//!
//! let reference = golden("vidtok_kl_causal_488_4chn");
//! let input = unit("input", &[1, 3, reference.frames, reference.height, reference.width], 0);
//! assert_eq!(input.size(), [1, 3, 17, 32, 48]);
//! assert_eq!(reference.z.size(), [1, 4, 5, 4, 6]);
//! ```

mod device;
mod formula;
mod keys;
mod models;
mod training;

pub use device::device;
pub use formula::{fill, unit, weight, weights};
pub use keys::keys;
pub use models::{Golden, golden, names};
pub use training::{TrainingRun, training_runs};
