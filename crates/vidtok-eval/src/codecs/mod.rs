//! Baselines and peers behind [`Codec`](vidtok_core::Codec), so that a table needs no model.

mod downsample;
mod h264;
mod identity;
mod jpeg;
mod reconstructors;
mod torch_script;

pub use downsample::Downsample;
pub use h264::H264;
pub use identity::Identity;
pub use jpeg::Jpeg;
pub use torch_script::TorchScript;

/// Baselines take the windows of causal models.
const WINDOW: usize = 17;
