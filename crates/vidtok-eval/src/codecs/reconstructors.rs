//! The two ways in which stateless codecs process a clip.

use std::error::Error;
use std::fmt;

use tch::Tensor;
use vidtok_core::{CodecError, Reconstructed, Reconstructor};

/// The reconstruction `[b, 3, t, h, w]`, and its bits where the codec has a bitstream.
pub(super) type Coded = Result<(Tensor, Option<f64>), Box<dyn Error + Send + Sync>>;

/// Codes each chunk of frames as it comes.
pub(super) struct EachPush<'a, F> {
    pub(super) codec: &'a str,
    pub(super) code: F,
}

/// Codes a clip once it is complete; holds all its frames until then.
pub(super) struct WholeClip<'a, F> {
    codec: &'a str,
    code: F,
    missing: i64,
    frames: Vec<Tensor>,
}

impl<'a, F> WholeClip<'a, F> {
    /// A clip of `frames` frames.
    pub(super) fn new(codec: &'a str, frames: i64, code: F) -> Self {
        Self { codec, code, missing: frames, frames: Vec::new() }
    }
}

impl<F> fmt::Debug for EachPush<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EachPush").field("codec", &self.codec).finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for WholeClip<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WholeClip").field("codec", &self.codec).field("missing", &self.missing).finish_non_exhaustive()
    }
}

impl<F: Fn(&Tensor) -> Coded> Reconstructor for EachPush<'_, F> {
    fn push(&mut self, frames: &Tensor) -> Result<Option<Reconstructed>, CodecError> {
        run(self.codec, &self.code, frames).map(Some)
    }
}

impl<F: Fn(&Tensor) -> Coded> Reconstructor for WholeClip<'_, F> {
    fn push(&mut self, frames: &Tensor) -> Result<Option<Reconstructed>, CodecError> {
        self.missing -= frames.size()[2];
        self.frames.push(frames.shallow_clone());
        if self.missing > 0 {
            return Ok(None);
        }
        let clip = Tensor::cat(&std::mem::take(&mut self.frames), 2);
        run(self.codec, &self.code, &clip).map(Some)
    }
}

fn run(codec: &str, code: impl Fn(&Tensor) -> Coded, clip: &Tensor) -> Result<Reconstructed, CodecError> {
    let failed = |source| CodecError { codec: codec.to_owned(), source };
    let (reconstruction, bits) = tch::no_grad(|| code(clip)).map_err(failed)?;
    if reconstruction.size() != clip.size() {
        let message =
            format!("expected a reconstruction of shape {:?}, found {:?}", clip.size(), reconstruction.size());
        return Err(failed(message.into()));
    }
    Ok(Reconstructed { input: clip.shallow_clone(), reconstruction, indices: None, bits })
}
