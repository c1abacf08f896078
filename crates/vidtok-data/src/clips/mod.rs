//! Random clips for training.

pub(crate) mod camera;
pub(crate) mod clip_set;
pub(crate) mod frame_cache;
pub(crate) mod index;
pub(crate) mod library;
pub(crate) mod loader;
pub(crate) mod mixture;
pub(crate) mod procedural;
pub(crate) mod skipped;
pub(crate) mod video;
