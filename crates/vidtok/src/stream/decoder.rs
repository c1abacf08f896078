//! From latents to frames, chunk by chunk.

use tch::{Kind, Tensor};
use vidtok_arch::StreamState;

use crate::error::Error;
use crate::model::Model;
use crate::padding::Padding;
use crate::stream::blend::Blend;
use crate::stream::steps::{StepBuffer, StepInput, StepSize};
use crate::stream::{Window, is_finite, set_strips};
use crate::tokenizer::Tokenizer;

/// Decodes a clip whose latent arrives in chunks of any length.
#[derive(Debug)]
pub struct StreamDecoder<'a> {
    pub(super) model: &'a Model,
    pub(super) padding: Padding,
    pub(super) window: Option<Window>,
    pub(super) steps: StepBuffer,
    pub(super) state: StreamState,
    pub(super) blend: Blend,
    /// Frames of the front padding that are still to be dropped.
    pub(super) to_drop: i64,
}

impl<'a> StreamDecoder<'a> {
    /// A decoder for a latent of `latent_frames` frames that was encoded with this padding and window.
    #[must_use]
    pub fn new(tokenizer: &'a Tokenizer, latent_frames: i64, padding: Padding, window: Option<Window>) -> Self {
        Self::start(tokenizer.model(), Some(latent_frames), padding, window)
    }

    /// A decoder for a latent whose length is not known; [`finish`](Self::finish) ends it. The newest latent frame waits
    /// for the next one, because it could be the last.
    #[must_use]
    pub fn open_ended(tokenizer: &'a Tokenizer, padding: Padding, window: Option<Window>) -> Self {
        Self::start(tokenizer.model(), None, padding, window)
    }

    pub(super) fn start(
        model: &'a Model,
        latent_frames: Option<i64>,
        padding: Padding,
        window: Option<Window>,
    ) -> Self {
        let factor = model.config.model.temporal_factor();
        // The encoder's windows follow each other in the latent without overlap.
        let (step, overlap) = match StepSize::new(&model.config.model, window) {
            StepSize::Multiple(_) => (StepSize::Multiple(1), 0),
            StepSize::Window(Window { frames, overlap }) => {
                (StepSize::Window(Window { frames: frames / factor, overlap: 0 }), overlap)
            }
        };
        Self {
            model,
            padding,
            window,
            steps: StepBuffer::new(step, latent_frames, 1),
            state: StreamState::streaming(),
            blend: Blend::new(overlap),
            to_drop: padding.front,
        }
    }

    /// Computes the frames in strips of this many rows, to save memory; `None` for the whole height. The result is the
    /// same. Set strips before the first push: the state belongs to the strips of the earlier steps, so the next push
    /// after a change is an error.
    #[must_use]
    pub fn in_strips(mut self, rows: Option<i64>) -> Self {
        self.state = set_strips(self.state, &self.model.config.model, rows, 1);
        self
    }

    /// Size of the state that is held for the next latent frames, in bytes.
    #[must_use]
    pub fn state_bytes(&self) -> usize {
        self.state.bytes()
    }

    /// Takes the next latent frames `[b, z, t, h, w]` and returns the frames that they determine, if any: float32
    /// `[b, 3, t', h', w']`. The last latent frame of a clip of known length determines all.
    ///
    /// # Errors
    /// If the latent's shape is not the model's or differs from that of earlier chunks, the latent is longer than
    /// announced, the padding does not fit it, the strips were changed, or the decoder's output is not finite.
    pub fn push(&mut self, latent: &Tensor) -> Result<Option<Tensor>, Error> {
        let (model, Padding { front, back, .. }) = (self.model, self.padding);
        self.state.check_strips()?;
        model.check_latent(latent)?;
        // Only the rows and columns: the frames to be dropped may be more than those of this chunk.
        model.check_padding(latent, Padding { front: front.min(0), back: back.min(0), ..self.padding })?;
        let inputs = self.steps.push(&latent.to_device(model.device).to_kind(model.kind))?;
        self.run(inputs)
    }

    /// Ends an open-ended latent and returns the frames that waited for its end, without the last `back` ones, which the
    /// encoder has added ([`Padding::back`]).
    ///
    /// # Errors
    /// If `back` is not less than the frames of a latent frame, or as for [`push`](Self::push).
    pub fn finish(&mut self, back: i64) -> Result<Option<Tensor>, Error> {
        let factor = self.model.config.model.temporal_factor();
        if !(0..factor).contains(&back) {
            let (expected, found) = (format!("less than {factor} frames"), back.to_string());
            return Err(Error::Shape { what: "the padding at the end", expected, found });
        }
        self.state.check_strips()?;
        self.padding.back = back;
        let (inputs, _) = self.steps.finish(1);
        self.run(inputs)
    }

    fn run(&mut self, inputs: Vec<StepInput>) -> Result<Option<Tensor>, Error> {
        let model = self.model;
        let ended = inputs.last().is_some_and(|input| input.is_last);
        let mut parts = tch::no_grad(|| {
            let run = |StepInput { frames, is_last }: StepInput| {
                if is_last {
                    self.state.mark_last();
                }
                let decoded = model.decoder.forward(&frames, &mut self.state)?;
                self.blend.push(decoded, is_last)
            };
            inputs.into_iter().map(run).collect::<Result<Vec<Tensor>, Error>>()
        })?;
        parts.retain(|part| part.size()[2] > 0);
        let decoded = match parts.as_slice() {
            [] => return Ok(None),
            [part] => part.shallow_clone(),
            parts => Tensor::cat(parts, 2),
        };
        let t = decoded.size()[2];
        let front = self.to_drop.min(t);
        self.to_drop -= front;
        let back = if ended { self.padding.back.min(t - front) } else { 0 };
        if front + back == t {
            return Ok(None);
        }
        let cropped = Padding { front, back, ..self.padding }.crop(&decoded).to_kind(Kind::Float).contiguous();
        match is_finite(&cropped) {
            true => Ok(Some(cropped)),
            false => Err(Error::DecodedNotFinite),
        }
    }
}
