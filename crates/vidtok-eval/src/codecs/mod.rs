//! Baselines, and tokenizers of others, as [`Codec`](vidtok_core::Codec)s.

pub(crate) mod downsample;
pub(crate) mod h264;
pub(crate) mod identity;
pub(crate) mod jpeg;
pub(crate) mod klt;
pub(crate) mod reconstructors;
pub(crate) mod torch_script;

/// Frames per window of all baselines: that of the published causal models.
const WINDOW: usize = 17;
