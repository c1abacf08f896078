//! What a tokenizer does with clips and videos, built on the streams.

pub(crate) mod clip;
pub(crate) mod codec;
pub(crate) mod encoded;
pub(crate) mod video;
