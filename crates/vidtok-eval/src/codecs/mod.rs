//! Baselines and peers behind [`Codec`](vidtok_core::Codec), so that a table needs no model.

pub(crate) mod downsample;
pub(crate) mod h264;
pub(crate) mod identity;
pub(crate) mod jpeg;
pub(crate) mod reconstructors;
pub(crate) mod torch_script;

/// Baselines take the windows of causal models.
const WINDOW: usize = 17;
