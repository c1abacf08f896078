//! Clips of any length encoded and decoded at once, each frame beside its input.

use tch::Tensor;

use crate::{EncodeOptions, Error, StreamDecoder, StreamEncoder, Tokenizer};

/// Encodes and decodes a clip that comes in chunks.
#[derive(Debug)]
pub struct StreamReconstructor<'a> {
    encoder: StreamEncoder<'a>,
    decoder: StreamDecoder<'a>,
    /// Input frames whose reconstruction has not come yet, `[b, 3, t, h, w]`.
    waiting: Option<Tensor>,
}

/// Frames and what the model makes of them.
#[derive(Debug)]
pub struct Pair {
    /// As they went in, `[b, 3, t, h, w]`.
    pub input: Tensor,
    /// As they came out, float32, of the same shape.
    pub reconstruction: Tensor,
}

impl<'a> StreamReconstructor<'a> {
    /// For a clip of t frames of h x w in all.
    #[must_use]
    pub fn new(tokenizer: &'a Tokenizer, clip: [i64; 3], window: Option<i64>) -> Self {
        let encoder = StreamEncoder::new(tokenizer, clip, EncodeOptions { seed: None, window });
        let decoder = StreamDecoder::new(tokenizer, encoder.latent_frames(), encoder.padding(), window);
        Self { encoder, decoder, waiting: None }
    }

    /// Takes the next frames `[b, 3, t, h, w]` in [-1, 1]; gives those whose reconstruction is determined now. The
    /// clip's last frame determines all.
    ///
    /// # Errors
    /// As [`StreamEncoder::push`].
    pub fn push(&mut self, frames: &Tensor) -> Result<Option<Pair>, Error> {
        let latent = self.encoder.push(frames)?.map(|quantized| quantized.latent);
        let waiting = match self.waiting.take() {
            Some(waiting) => Tensor::cat(&[&waiting, frames], 2),
            None => frames.shallow_clone(),
        };
        let reconstruction = latent.map(|latent| self.decoder.push(&latent)).transpose()?.flatten();
        let (t, all) = (reconstruction.as_ref().map_or(0, |frames| frames.size()[2]), waiting.size()[2]);
        self.waiting = (t < all).then(|| waiting.narrow(2, t, all - t).copy());
        Ok(reconstruction.map(|reconstruction| Pair { input: waiting.narrow(2, 0, t), reconstruction }))
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::{Causality, Config, config::tests::TINY};

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
                let join = |part: fn(&Pair) -> &Tensor| Tensor::cat(&pairs.iter().map(part).collect::<Vec<_>>(), 2);
                assert!(join(|pair| &pair.input).equal(&video), "{causality} {length}");
                let reconstruction = join(|pair| &pair.reconstruction);
                assert!(reconstruction.allclose(&expected, 1e-5, 1e-5, false), "{causality} {length}");
            }
        }
    }
}
