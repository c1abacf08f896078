//! The trait of everything that can be evaluated: tokenizers, classical encoders, baselines.

use tch::Tensor;

use crate::video::FrameRate;

/// A lossy video codec: something that encodes a clip and reconstructs it.
pub trait Codec: std::fmt::Debug {
    /// Name for tables.
    fn name(&self) -> &str;

    /// Everything that determines the codec's results, as pairs of name and value: weight hashes, settings, the number
    /// type. Evaluations record it.
    fn settings(&self) -> Vec<(&'static str, String)>;

    /// Frames of a window in the published evaluation protocol: 17 for causal models, 16 for others.
    fn window(&self) -> usize;

    /// Number of codes; `None` for codecs that are not discrete.
    fn codebook_size(&self) -> Option<i64> {
        None
    }

    /// Starts a clip whose size is `clip` = [t, h, w].
    fn start(&self, clip: [i64; 3], frame_rate: FrameRate) -> Box<dyn Reconstructor + '_>;
}

/// The state of a [`Codec`] within a clip that arrives in chunks.
pub trait Reconstructor: std::fmt::Debug {
    /// Takes the next frames `[b, 3, t, h, w]` in [-1, 1] and returns those whose reconstruction is now determined. The
    /// clip's last chunk determines all that are left.
    ///
    /// # Errors
    /// If the codec fails, or does not support clips of this size.
    fn push(&mut self, frames: &Tensor) -> Result<Option<Reconstructed>, CodecError>;
}

/// Frames and their reconstruction.
#[derive(Debug)]
pub struct Reconstructed {
    /// The input frames, `[b, 3, t, h, w]` in [-1, 1].
    pub input: Tensor,
    /// The reconstructed frames, float32, of the same shape.
    pub reconstruction: Tensor,
    /// Discrete codecs only: the codes of these frames, integers of any shape.
    pub indices: Option<Tensor>,
    /// The bits that a receiver needs for these frames, for codecs that define them.
    pub bits: Option<f64>,
}

/// A codec failed.
#[derive(Debug, thiserror::Error)]
#[error("{codec}: {source}")]
pub struct CodecError {
    /// The codec's name.
    pub codec: String,
    /// The cause.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}
