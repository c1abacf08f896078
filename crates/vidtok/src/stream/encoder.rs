//! From frames to latents, chunk by chunk.

use tch::Tensor;
use vidtok_arch::StreamState;
use vidtok_core::Quantized;

use crate::error::Error;
use crate::memory::plan::MemoryPlan;
use crate::padding::Padding;
use crate::pixel_range::PixelRange;
use crate::stream::noise::Noise;
use crate::stream::steps::{Cut, Step, Steps};
use crate::stream::{EncodeOptions, is_finite};
use crate::tokenizer::Tokenizer;
use crate::tokenizer::clip_size;

/// Encodes a clip that comes in chunks of any length.
#[derive(Debug)]
pub struct StreamEncoder<'a> {
    pub(super) tokenizer: &'a Tokenizer,
    /// Frames of the clip; `None` while that is not known.
    pub(super) frames: Option<i64>,
    /// Height and width.
    pub(super) size: [i64; 2],
    pub(super) options: EncodeOptions,
    pub(super) padding: Padding,
    pub(super) steps: Steps,
    pub(super) state: StreamState,
    pub(super) pushed: i64,
    pub(super) noise: Option<Noise>,
}

impl<'a> StreamEncoder<'a> {
    /// For a clip of t frames of h x w in all.
    #[must_use]
    pub fn new(tokenizer: &'a Tokenizer, [t, h, w]: [i64; 3], options: EncodeOptions) -> Self {
        let padding = Padding::new(&tokenizer.config().model, [t, h, w]);
        Self::start(tokenizer, Some(t), [h, w], padding, options)
    }

    /// For a clip of frames of h x w that ends with [`finish`](Self::finish).
    ///
    /// Its latent is that of [`new`](Self::new) if the clip turns out to be of a natural length (f + 1, 2f + 1, ... for
    /// causal models, f, 2f, ... for others); otherwise its last frame is repeated up to the next of those.
    #[must_use]
    pub fn open_ended(tokenizer: &'a Tokenizer, [h, w]: [i64; 2], options: EncodeOptions) -> Self {
        let model = &tokenizer.config().model;
        let natural = if model.causality.is_causal() { 1 } else { model.temporal_factor() };
        Self::start(tokenizer, None, [h, w], Padding::new(model, [natural, h, w]), options)
    }

    fn start(
        tokenizer: &'a Tokenizer,
        frames: Option<i64>,
        size: [i64; 2],
        padding: Padding,
        options: EncodeOptions,
    ) -> Self {
        let total = frames.map(|frames| frames + padding.front);
        let steps = Steps::new(step(tokenizer, options), total, 0);
        let noise = tokenizer.quantizer().codebook_size().is_none().then_some(options.seed).flatten().map(Noise::new);
        let state = StreamState::streaming();
        Self { tokenizer, frames, size, options, padding, steps, state, pushed: 0, noise }
    }

    /// In strips as planned, or none. Chunks are what is pushed. Only before the first push, as
    /// [`in_strips`](Self::in_strips).
    #[must_use]
    pub fn planned(mut self, plan: &MemoryPlan) -> Self {
        match plan.rows {
            Some(rows) => self.in_strips(rows),
            None => {
                self.state = self.state.in_one_piece();
                self
            }
        }
    }

    /// Computes this many rows of the frames at a time, to need less memory; the result is the same. Only before the first
    /// push: what layers keep is of the strips of the steps before, so after a change the next push is an error.
    #[must_use]
    pub fn in_strips(mut self, rows: i64) -> Self {
        let factor = self.tokenizer.config().model.spatial_factor();
        let rows = (rows / factor * factor).max(factor);
        self.state = self.state.in_strips(rows);
        self
    }

    /// What the whole clip's [`Encoded`](crate::Encoded) records. That of a clip without a known end is complete after
    /// [`finish`](Self::finish).
    #[must_use]
    pub fn padding(&self) -> Padding {
        self.padding
    }

    /// Latent frames that the clip will give; `None` while its length is not known.
    #[must_use]
    pub fn latent_frames(&self) -> Option<i64> {
        let factor = self.tokenizer.config().model.temporal_factor();
        let total = self.frames? + self.padding.front;
        Some(Steps::covered(step(self.tokenizer, self.options), total) / factor)
    }

    /// Bytes that are kept for the frames to come.
    #[must_use]
    pub fn state_bytes(&self) -> usize {
        self.state.bytes()
    }

    /// Takes the next frames `[b, 3, t, h, w]` in [-1, 1]; gives the latent frames that they complete. The last frame of
    /// a clip of known length completes all.
    ///
    /// # Errors
    /// If the frames are of another size, or more than were announced, their values are far outside [-1, 1]
    /// ([`PixelRange::check`]), the strips have changed, or the encoder gives numbers that are not finite.
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
        // What is not finite shows in the output, which is looked at anyway.
        let range = PixelRange::of(frames);
        if range.is_finite() {
            range.check()?;
        }
        let front = if self.pushed == 0 { self.padding.front } else { 0 };
        self.pushed += t;
        let padded = self.tokenizer.pad(frames, Padding { front, back: 0, ..self.padding });
        let cuts = self.steps.push(&padded)?;
        self.run(cuts)
    }

    /// Ends the clip; gives the latent frames that waited for its end. Needed where its length was not known.
    ///
    /// # Errors
    /// If frames that were announced are missing, or as [`push`](Self::push).
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
        let (cuts, back) = self.steps.finish(self.tokenizer.config().model.temporal_factor());
        self.padding.back = back;
        self.run(cuts)
    }

    fn run(&mut self, cuts: Vec<Cut>) -> Result<Option<Quantized>, Error> {
        let tokenizer = self.tokenizer;
        let parts = tch::no_grad(|| {
            let run = |Cut { frames, is_last }: Cut| {
                if is_last {
                    self.state.expect_last();
                }
                tokenizer.encoder().forward(&frames, &mut self.state)
            };
            cuts.into_iter().map(run).collect::<Result<Vec<Tensor>, _>>()
        })?;
        if parts.is_empty() {
            return Ok(None);
        }
        let encoded = Tensor::cat(&parts, 2);
        if !is_finite(&encoded) {
            return Err(Error::NotFinite);
        }
        let noise = self.noise.as_mut().map(|noise| noise.like(&encoded, tokenizer.quantizer().latent_channels()));
        Ok(Some(tch::no_grad(|| tokenizer.quantizer().quantize(&encoded, noise.as_ref()))))
    }
}

/// How a tokenizer takes a clip.
pub(super) fn step(tokenizer: &Tokenizer, options: EncodeOptions) -> Step {
    let model = &tokenizer.config().model;
    let factor = model.temporal_factor();
    let whole = crate::stream::Window { frames: i64::MAX, overlap: 0 };
    match model.causality.is_causal() {
        true => Step::Multiple(factor),
        false => Step::Window(options.window.unwrap_or(whole).fit(factor)),
    }
}
