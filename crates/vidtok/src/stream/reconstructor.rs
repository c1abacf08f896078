//! Clips of any length, encoded and decoded chunk by chunk; each reconstructed frame comes with its input.

use tch::Tensor;
use vidtok_core::Reconstructed;

use crate::error::Error;
use crate::stream::decoder::StreamDecoder;
use crate::stream::encoder::StreamEncoder;
use crate::stream::{EncodeOptions, Window};
use crate::tokenizer::Tokenizer;

/// Encodes and decodes a clip that arrives in chunks of any length.
#[derive(Debug)]
pub struct StreamReconstructor<'a> {
    encoder: StreamEncoder<'a>,
    decoder: StreamDecoder<'a>,
    /// Input frames that are not reconstructed yet, `[b, 3, t, h, w]`.
    waiting: Option<Tensor>,
    /// Codes since the last reconstructed frames, `[b, t, h, w]`.
    codes: Vec<Tensor>,
}

impl<'a> StreamReconstructor<'a> {
    /// A stream for a clip of t frames of h x w.
    #[must_use]
    pub fn new(tokenizer: &'a Tokenizer, clip: [i64; 3], window: Option<Window>) -> Self {
        let encoder = StreamEncoder::new(tokenizer, clip, EncodeOptions { seed: None, window });
        let decoder = StreamDecoder::start(tokenizer.model(), encoder.latent_frames(), encoder.padding(), window);
        Self { encoder, decoder, waiting: None, codes: Vec::new() }
    }

    /// Computes the frames in strips of this many rows, to save memory; `None` for the whole height. The result is the
    /// same. Set strips before the first push: after a change the next push is an error.
    #[must_use]
    pub fn in_strips(self, rows: Option<i64>) -> Self {
        Self { encoder: self.encoder.in_strips(rows), decoder: self.decoder.in_strips(rows), ..self }
    }

    /// Takes the next frames `[b, 3, t, h, w]` in [-1, 1] and returns those whose reconstruction is now determined, if
    /// any. The clip's last frame determines all.
    ///
    /// # Errors
    /// As for [`StreamEncoder::push`] and [`StreamDecoder::push`].
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
        let code_bits = self.encoder.model.quantizer.codebook_size().map(|codes| (codes as f64).log2());
        let bits = indices.as_ref().zip(code_bits).map(|(indices, bits)| indices.numel() as f64 * bits);
        Ok(Some(Reconstructed { input: waiting.narrow(2, 0, t), reconstruction, indices, bits }))
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
    fn every_frame_is_reconstructed_once_and_returned_with_its_input() {
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
