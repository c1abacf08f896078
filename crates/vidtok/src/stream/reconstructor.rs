//! Clips of any length encoded and decoded at once, each frame beside its input.

use tch::Tensor;
use vidtok_core::{Codec, CodecError, FrameRate, Reconstructed, Reconstructor};

use crate::error::Error;
use crate::memory::plan::MemoryPlan;
use crate::stream::decoder::StreamDecoder;
use crate::stream::encoder::StreamEncoder;
use crate::stream::{EncodeOptions, PUBLISHED_WINDOW, Window};
use crate::tokenizer::Tokenizer;
use crate::tokenizer::kind_name;

/// Encodes and decodes a clip that comes in chunks.
#[derive(Debug)]
pub struct StreamReconstructor<'a> {
    encoder: StreamEncoder<'a>,
    decoder: StreamDecoder<'a>,
    tokenizer: &'a Tokenizer,
    /// Input frames whose reconstruction has not come yet, `[b, 3, t, h, w]`.
    waiting: Option<Tensor>,
    /// Codes since frames last came out, `[b, t, h, w]`.
    codes: Vec<Tensor>,
}

impl<'a> StreamReconstructor<'a> {
    /// For a clip of t frames of h x w in all.
    #[must_use]
    pub fn new(tokenizer: &'a Tokenizer, clip: [i64; 3], window: Option<Window>) -> Self {
        let encoder = StreamEncoder::new(tokenizer, clip, EncodeOptions { seed: None, window });
        let decoder = StreamDecoder::start(tokenizer, encoder.latent_frames(), encoder.padding(), window);
        Self { encoder, decoder, tokenizer, waiting: None, codes: Vec::new() }
    }

    /// In strips as planned, or none. Chunks are what is pushed. Only before the first push, as
    /// [`in_strips`](Self::in_strips).
    #[must_use]
    pub fn planned(self, plan: &MemoryPlan) -> Self {
        Self { encoder: self.encoder.planned(plan), decoder: self.decoder.planned(plan), ..self }
    }

    /// Computes this many rows of the frames at a time, to need less memory; the result is the same. Only before the first
    /// push: after a change the next push is an error.
    #[must_use]
    pub fn in_strips(self, rows: i64) -> Self {
        Self { encoder: self.encoder.in_strips(rows), decoder: self.decoder.in_strips(rows), ..self }
    }

    /// Takes the next frames `[b, 3, t, h, w]` in [-1, 1]; gives those whose reconstruction is determined now. The
    /// clip's last frame determines all.
    ///
    /// # Errors
    /// As [`StreamEncoder::push`] and [`StreamDecoder::push`].
    pub fn push(&mut self, frames: &Tensor) -> Result<Option<Reconstructed>, Error> {
        let quantized = self.encoder.push(frames)?;
        let waiting = match self.waiting.take() {
            Some(waiting) => Tensor::cat(&[&waiting, frames], 2),
            None => frames.shallow_clone(),
        };
        let decoded = quantized.as_ref().map(|quantized| self.decoder.push(&quantized.latent)).transpose()?.flatten();
        let (t, all) = (decoded.as_ref().map_or(0, |frames| frames.size()[2]), waiting.size()[2]);
        self.waiting = (t < all).then(|| waiting.narrow(2, t, all - t).copy());
        self.codes.extend(quantized.and_then(|quantized| quantized.indices));
        let Some(reconstruction) = decoded else { return Ok(None) };
        let codes = std::mem::take(&mut self.codes);
        let indices = (!codes.is_empty()).then(|| Tensor::cat(&codes, 1));
        let code_bits = self.tokenizer.quantizer().codebook_size().map(|codes| (codes as f64).log2());
        let bits = indices.as_ref().zip(code_bits).map(|(indices, bits)| indices.numel() as f64 * bits);
        Ok(Some(Reconstructed { input: waiting.narrow(2, 0, t), reconstruction, indices, bits }))
    }
}

impl Reconstructor for StreamReconstructor<'_> {
    fn push(&mut self, frames: &Tensor) -> Result<Option<Reconstructed>, CodecError> {
        let tokenizer = self.tokenizer;
        Self::push(self, &frames.to_device(tokenizer.device()))
            .map_err(|error| CodecError { codec: tokenizer.name().to_owned(), source: Box::new(error) })
    }
}

impl Codec for Tokenizer {
    fn name(&self) -> &str {
        &self.config().name
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![("weights_sha256", self.weights_sha256().to_owned()), ("dtype", kind_name(self.kind()).to_owned())]
    }

    fn window(&self) -> usize {
        PUBLISHED_WINDOW as usize + usize::from(self.config().model.causality.is_causal())
    }

    fn codebook_size(&self) -> Option<i64> {
        self.quantizer().codebook_size()
    }

    fn start(&self, clip: [i64; 3], _frame_rate: FrameRate) -> Box<dyn Reconstructor + '_> {
        Box::new(StreamReconstructor::new(self, clip, Some(Window::PUBLISHED)))
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::Causality;
    use crate::config::Config;
    use crate::config::tests::TINY;

    #[test]
    fn every_frame_comes_out_once_beside_its_input() {
        for causality in [Causality::V1_0, Causality::V1_1, Causality::NonCausal] {
            let mut config = Config::parse(TINY).unwrap();
            config.model.causality = causality;
            let tokenizer = Tokenizer::init(config, 0, Device::Cpu).unwrap();
            let video = Tensor::rand([1, 3, 21, 6, 8], (Kind::Float, Device::Cpu));
            let expected = tokenizer.reconstruct(&video).unwrap();
            for length in [1, 4, 21] {
                let mut stream = StreamReconstructor::new(&tokenizer, [21, 6, 8], None);
                let mut pairs = Vec::new();
                for start in (0..21).step_by(length as usize) {
                    let frames = video.narrow(2, start, length.min(21 - start));
                    pairs.extend(stream.push(&frames).unwrap());
                }
                let join =
                    |part: fn(&Reconstructed) -> &Tensor| Tensor::cat(&pairs.iter().map(part).collect::<Vec<_>>(), 2);
                assert!(join(|pair| &pair.input).equal(&video), "{causality} {length}");
                let reconstruction = join(|pair| &pair.reconstruction);
                assert!(reconstruction.allclose(&expected, 1e-5, 1e-5, false), "{causality} {length}");
            }
        }
    }
}
