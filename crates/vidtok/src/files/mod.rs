//! Files that hold models and encoded clips.

pub mod checkpoint;
pub(crate) mod diffusers;
pub(crate) mod encoded;
pub(crate) mod model_file;
pub(crate) mod weights;
