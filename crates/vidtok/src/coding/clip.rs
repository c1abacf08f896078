//! Whole clips: encode, decode, reconstruct.

use tch::Tensor;
use vidtok_core::Quantized;

use crate::coding::encoded::Encoded;
use crate::error::Error;
use crate::model::clip_size;
use crate::stream::EncodeOptions;
use crate::stream::decoder::StreamDecoder;
use crate::stream::encoder::StreamEncoder;
use crate::tokenizer::Tokenizer;

impl Tokenizer {
    /// Encodes a clip `[b, 3, t, h, w]` in [-1, 1] of any size.
    ///
    /// # Errors
    /// If the clip has another shape or values far outside [-1, 1], or the encoder's output is not finite.
    pub fn encode(&self, video: &Tensor, options: EncodeOptions) -> Result<Encoded, Error> {
        let mut encoder = StreamEncoder::new(self, clip_size(video)?, options);
        let parts: Vec<Quantized> = encoder.push(video)?.into_iter().collect();
        Encoded::join(&parts, encoder.padding(), encoder.window())
    }

    /// Decodes a clip to its original shape `[b, 3, t, h, w]`, float32. Values are about in [-1, 1].
    ///
    /// # Errors
    /// If the latent does not fit the model, the padding does not fit the latent, or the decoder's output is not finite.
    pub fn decode(&self, encoded: &Encoded) -> Result<Tensor, Error> {
        let Encoded { latent, padding, window, .. } = encoded;
        self.model().check_latent(latent)?;
        self.model().check_padding(latent, *padding)?;
        let mut decoder = StreamDecoder::new(self, latent.size()[2], *padding, *window);
        let decoded = decoder.push(latent)?;
        decoded.ok_or_else(|| Error::Shape { what: "the clip", expected: "frames".into(), found: "none".into() })
    }

    /// Encodes and decodes a clip; the result has the clip's shape.
    ///
    /// # Errors
    /// As for [`encode`](Self::encode) and [`decode`](Self::decode).
    pub fn reconstruct(&self, video: &Tensor) -> Result<Tensor, Error> {
        self.decode(&self.encode(video, EncodeOptions::default())?)
    }
}
