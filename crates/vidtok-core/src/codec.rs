//! What can be evaluated: anything that makes less of a clip and brings it back.

use tch::Tensor;

use crate::video::FrameRate;

/// A video codec in the widest sense: a tokenizer, a classical encoder, a baseline.
pub trait Codec: std::fmt::Debug {
    /// Name for tables.
    fn name(&self) -> &str;

    /// What determines its numbers, for the stamp of an evaluation: hashes of weights, settings, the number type.
    fn settings(&self) -> Vec<(&'static str, String)>;

    /// Frames of a window in the published protocol: 17 for causal models, 16 for others.
    fn window(&self) -> usize;

    /// Number of codes; `None` for what is not discrete.
    fn codebook_size(&self) -> Option<i64> {
        None
    }

    /// Starts a clip of `clip` = [t, h, w] in all.
    fn start(&self, clip: [i64; 3], frame_rate: FrameRate) -> Box<dyn Reconstructor + '_>;
}

/// A clip on its way through a [`Codec`].
pub trait Reconstructor: std::fmt::Debug {
    /// Takes the next frames `[b, 3, t, h, w]` in [-1, 1]; gives those whose reconstruction is determined now. The
    /// clip's last frame determines all.
    ///
    /// # Errors
    /// If the codec fails or is not made for such clips.
    fn push(&mut self, frames: &Tensor) -> Result<Option<Reconstructed>, CodecError>;
}

/// Frames and what a codec makes of them.
#[derive(Debug)]
pub struct Reconstructed {
    /// As they went in, `[b, 3, t, h, w]`.
    pub input: Tensor,
    /// As they came out, float32, of the same shape.
    pub reconstruction: Tensor,
    /// The codes between, integers of any shape; discrete codecs only.
    pub indices: Option<Tensor>,
    /// Bits that a receiver needs for them, where that is defined.
    pub bits: Option<f64>,
}

/// A codec failed.
#[derive(Debug, thiserror::Error)]
#[error("{codec}: {source}")]
pub struct CodecError {
    /// The codec's name.
    pub codec: String,
    /// What it says.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}
