//! From frames to latents, chunk by chunk.

use tch::Tensor;
use vidtok_arch::StreamState;
use vidtok_core::Quantized;

use crate::error::Error;
use crate::model::{Model, clip_size};
use crate::padding::Padding;
use crate::pixel_range::PixelRange;
use crate::stream::noise::Noise;
use crate::stream::steps::{StepBuffer, StepInput, StepSize};
use crate::stream::{EncodeOptions, Window, is_finite, set_strips};
use crate::tokenizer::Tokenizer;

/// Encodes a clip that arrives in chunks of any length.
#[derive(Debug)]
pub struct StreamEncoder<'a> {
    pub(super) model: &'a Model,
    /// Frames of the clip; `None` as long as it is open-ended.
    pub(super) frames: Option<i64>,
    /// Height and width.
    pub(super) size: [i64; 2],
    pub(super) options: EncodeOptions,
    pub(super) padding: Padding,
    pub(super) steps: StepBuffer,
    pub(super) state: StreamState,
    /// Frames pushed so far.
    pub(super) pushed: i64,
    pub(super) noise: Option<Noise>,
}

impl<'a> StreamEncoder<'a> {
    /// An encoder for a clip of t frames of h x w.
    #[must_use]
    pub fn new(tokenizer: &'a Tokenizer, [t, h, w]: [i64; 3], options: EncodeOptions) -> Self {
        let padding = Padding::new(&tokenizer.config().model, [t, h, w]);
        Self::start(tokenizer.model(), Some(t), [h, w], padding, options)
    }

    /// An encoder for frames of h x w whose number is not known; [`finish`](Self::finish) ends the clip.
    ///
    /// The latent is the same as that of [`new`](Self::new) if the clip turns out to have a natural length (f + 1,
    /// 2f + 1, ... frames for causal models, f, 2f, ... for others). Otherwise the last frame is repeated up to the next
    /// natural length.
    #[must_use]
    pub fn open_ended(tokenizer: &'a Tokenizer, [h, w]: [i64; 2], options: EncodeOptions) -> Self {
        let config = &tokenizer.config().model;
        let natural = if config.causality.is_causal() { 1 } else { config.temporal_factor() };
        Self::start(tokenizer.model(), None, [h, w], Padding::new(config, [natural, h, w]), options)
    }

    fn start(model: &'a Model, frames: Option<i64>, size: [i64; 2], padding: Padding, options: EncodeOptions) -> Self {
        let total = frames.map(|frames| frames + padding.front);
        let steps = StepBuffer::new(StepSize::new(&model.config.model, options.window), total, 0);
        let is_continuous = model.quantizer.codebook_size().is_none();
        let noise = options.seed.filter(|_| is_continuous).map(Noise::new);
        let state = StreamState::streaming();
        Self { model, frames, size, options, padding, steps, state, pushed: 0, noise }
    }

    /// Computes the frames in strips of this many rows, to save memory; `None` for the whole height. The result is the
    /// same. Set strips before the first push: the state belongs to the strips of the earlier steps, so the next push
    /// after a change is an error.
    #[must_use]
    pub fn in_strips(mut self, rows: Option<i64>) -> Self {
        let config = &self.model.config.model;
        self.state = set_strips(self.state, config, rows, config.spatial_factor());
        self
    }

    /// The padding for [`Encoded::join`](crate::Encoded::join). That of an open-ended clip is complete only after
    /// [`finish`](Self::finish).
    #[must_use]
    pub fn padding(&self) -> Padding {
        self.padding
    }

    /// The window for [`Encoded::join`](crate::Encoded::join); `None` for causal models, which ignore the option.
    #[must_use]
    pub fn window(&self) -> Option<Window> {
        self.options.window.filter(|_| !self.model.config.model.causality.is_causal())
    }

    /// Latent frames of the whole clip; `None` as long as the clip is open-ended.
    #[must_use]
    pub fn latent_frames(&self) -> Option<i64> {
        let config = &self.model.config.model;
        let total = self.frames? + self.padding.front;
        Some(
            StepBuffer::frames_with_overlap(StepSize::new(config, self.options.window), total)
                / config.temporal_factor(),
        )
    }

    /// Size of the state that is held for the next frames, in bytes.
    #[must_use]
    pub fn state_bytes(&self) -> usize {
        self.state.bytes()
    }

    /// Takes the next frames `[b, 3, t, h, w]` in [-1, 1] and returns the latent frames that they complete, if any. The
    /// last frame of a clip of known length completes all.
    ///
    /// # Errors
    /// If the frames have another size, are more than announced, or have values far outside [-1, 1]
    /// ([`PixelRange::check`]), if the strips were changed, or the encoder's output is not finite.
    pub fn push(&mut self, frames: &Tensor) -> Result<Option<Quantized>, Error> {
        self.state.check_strips()?;
        let [t, h, w] = clip_size(frames)?;
        let left = self.frames.map(|all| all - self.pushed);
        if [h, w] != self.size || left.is_some_and(|left| t > left) {
            let ([h, w], left) = (self.size, left.map_or("t".to_owned(), |left| format!("{left} or less")));
            return Err(Error::Shape {
                what: "the next frames",
                expected: format!("[b, 3, {left}, {h}, {w}]"),
                found: format!("{:?}", frames.size()),
            });
        }
        // Pixels that are not finite make the output not finite, which is checked in any case.
        let range = PixelRange::of(frames);
        if range.is_finite() {
            range.check()?;
        }
        let front = if self.pushed == 0 { self.padding.front } else { 0 };
        self.pushed += t;
        let padded = self.model.pad(frames, Padding { front, back: 0, ..self.padding });
        let inputs = self.steps.push(&padded)?;
        self.run(inputs)
    }

    /// Ends the clip and returns the latent frames that waited for its end. A clip of known length does not need it.
    ///
    /// # Errors
    /// If announced frames are missing, or as for [`push`](Self::push).
    pub fn finish(&mut self) -> Result<Option<Quantized>, Error> {
        if let Some(frames) = self.frames {
            if frames == self.pushed {
                return Ok(None);
            }
            let (expected, found) = (format!("{frames} frames"), self.pushed.to_string());
            return Err(Error::Shape { what: "the clip", expected, found });
        }
        self.state.check_strips()?;
        self.frames = Some(self.pushed);
        let (inputs, back) = self.steps.finish(self.model.config.model.temporal_factor());
        self.padding.back = back;
        self.run(inputs)
    }

    fn run(&mut self, inputs: Vec<StepInput>) -> Result<Option<Quantized>, Error> {
        let model = self.model;
        let parts = tch::no_grad(|| {
            let run = |StepInput { frames, is_last }: StepInput| {
                if is_last {
                    self.state.mark_last();
                }
                model.encoder.forward(&frames, &mut self.state)
            };
            inputs.into_iter().map(run).collect::<Result<Vec<Tensor>, _>>()
        })?;
        if parts.is_empty() {
            return Ok(None);
        }
        let encoded = Tensor::cat(&parts, 2);
        if !is_finite(&encoded) {
            return Err(Error::NotFinite);
        }
        let noise = self.noise.as_mut().map(|noise| noise.like(&encoded, model.quantizer.latent_channels()));
        Ok(Some(tch::no_grad(|| model.quantizer.quantize(&encoded, noise.as_ref()))))
    }
}
