//! A tokenizer as a codec, for evaluation.

use vidtok_core::{Codec, CodecError, FrameRate, Reconstructed, Reconstructor};

use tch::{Device, Tensor};

use crate::stream::reconstructor::StreamReconstructor;
use crate::stream::{PUBLISHED_WINDOW, Window};
use crate::tokenizer::Tokenizer;

impl Codec for Tokenizer {
    fn name(&self) -> &str {
        &self.config().name
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let settings = [("weights_sha256", self.weights_sha256()), ("dtype", self.precision().to_owned())];
        // A GPU rounds otherwise than a CPU.
        let device = matches!(self.device(), Device::Cuda(_)).then(|| ("device", "cuda".to_owned()));
        settings.into_iter().chain(device).collect()
    }

    fn window(&self) -> usize {
        PUBLISHED_WINDOW as usize + usize::from(self.config().model.causality.is_causal())
    }

    fn codebook_size(&self) -> Option<i64> {
        self.quantizer().codebook_size()
    }

    fn start(&self, clip: [i64; 3], _frame_rate: FrameRate) -> Box<dyn Reconstructor + '_> {
        let stream = StreamReconstructor::new(self, clip, Some(Window::PUBLISHED));
        Box::new(CodecStream { tokenizer: self, stream })
    }
}

/// A reconstruction whose errors name the tokenizer, and whose frames may come from another device.
#[derive(Debug)]
struct CodecStream<'a> {
    tokenizer: &'a Tokenizer,
    stream: StreamReconstructor<'a>,
}

impl Reconstructor for CodecStream<'_> {
    fn push(&mut self, frames: &Tensor) -> Result<Option<Reconstructed>, CodecError> {
        let pushed = self.stream.push(&frames.to_device(self.tokenizer.device()));
        pushed.map_err(|error| CodecError { codec: self.tokenizer.name().to_owned(), source: Box::new(error) })
    }
}
