//! What a dataset stores of a video: its entry, and its latent as packed indices or as moments.

pub(crate) mod entry;
pub(crate) mod latent;
pub(crate) mod packing;
