//! From latents to frames, chunk by chunk.

use tch::{Kind, Tensor};
use vidtok_arch::StreamState;

use crate::error::Error;
use crate::memory::plan::MemoryPlan;
use crate::padding::Padding;
use crate::stream::blend::Blend;
use crate::stream::steps::{Cut, Step, Steps};
use crate::stream::{EncodeOptions, Window, encoder, is_finite};
use crate::tokenizer::Tokenizer;

/// Decodes a clip whose latent comes in chunks of any length.
#[derive(Debug)]
pub struct StreamDecoder<'a> {
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) padding: Padding,
    pub(super) window: Option<Window>,
    pub(super) steps: Steps,
    pub(super) state: StreamState,
    pub(super) blend: Blend,
    /// Frames of the front padding that are still to be dropped.
    pub(super) to_drop: i64,
}

impl<'a> StreamDecoder<'a> {
    /// For a clip of so many latent frames in all, with this padding, encoded with this window.
    #[must_use]
    pub fn new(tokenizer: &'a Tokenizer, latent_frames: i64, padding: Padding, window: Option<Window>) -> Self {
        Self::start(tokenizer, Some(latent_frames), padding, window)
    }

    /// For a latent that ends with [`finish`](Self::finish). The newest latent frame waits for the next one, as it could
    /// be the last.
    #[must_use]
    pub fn open_ended(tokenizer: &'a Tokenizer, padding: Padding, window: Option<Window>) -> Self {
        Self::start(tokenizer, None, padding, window)
    }

    pub(super) fn start(
        tokenizer: &'a Tokenizer,
        latent_frames: Option<i64>,
        padding: Padding,
        window: Option<Window>,
    ) -> Self {
        let factor = tokenizer.config().model.temporal_factor();
        // In windows as the encoder's, each with latent frames of its own.
        let (step, overlap) = match encoder::step(tokenizer, EncodeOptions { seed: None, window }) {
            Step::Multiple(_) => (Step::Multiple(1), 0),
            Step::Window(Window { frames, overlap }) => {
                (Step::Window(Window { frames: frames / factor, overlap: 0 }), overlap)
            }
        };
        Self {
            tokenizer,
            padding,
            window,
            steps: Steps::new(step, latent_frames, 1),
            state: StreamState::streaming(),
            blend: Blend::new(overlap),
            to_drop: padding.front,
        }
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
        let rows = (rows / self.tokenizer.config().model.spatial_factor()).max(1);
        self.state = self.state.in_strips(rows);
        self
    }

    /// Bytes that are kept for the latents to come.
    #[must_use]
    pub fn state_bytes(&self) -> usize {
        self.state.bytes()
    }

    /// Takes the next latent frames `[b, z, t, h, w]` and gives the frames that are determined now, float32
    /// `[b, 3, t', h', w']`, if any. The last latent frame of a clip of known length determines all.
    ///
    /// # Errors
    /// If the latent is of another shape than the model's or the chunks before, or longer than was announced, the padding
    /// does not fit it, the strips have changed, or the decoder gives numbers that are not finite.
    pub fn push(&mut self, latent: &Tensor) -> Result<Option<Tensor>, Error> {
        let (tokenizer, Padding { front, back, .. }) = (self.tokenizer, self.padding);
        self.state.check_strips()?;
        tokenizer.check_latent(latent)?;
        // The frames to be dropped may be more than those of this chunk.
        tokenizer.check_padding(latent, Padding { front: front.min(0), back: back.min(0), ..self.padding })?;
        let cuts = self.steps.push(&latent.to_device(tokenizer.device()).to_kind(tokenizer.kind()))?;
        self.run(cuts)
    }

    /// Ends a latent of which the length was not known; gives the frames that waited for its end but for the last `back`
    /// ones, with which the encoder filled the clip up.
    ///
    /// # Errors
    /// If a latent frame stands for no more than `back` frames, or as [`push`](Self::push).
    pub fn finish(&mut self, back: i64) -> Result<Option<Tensor>, Error> {
        let factor = self.tokenizer.config().model.temporal_factor();
        if !(0..factor).contains(&back) {
            let (expected, found) = (format!("less than {factor} frames"), back.to_string());
            return Err(Error::Shape { what: "the padding at the end", expected, found });
        }
        self.state.check_strips()?;
        self.padding.back = back;
        let (cuts, _) = self.steps.finish(1);
        self.run(cuts)
    }

    fn run(&mut self, cuts: Vec<Cut>) -> Result<Option<Tensor>, Error> {
        let tokenizer = self.tokenizer;
        let ended = cuts.last().is_some_and(|cut| cut.is_last);
        let mut parts = tch::no_grad(|| {
            let run = |Cut { frames, is_last }: Cut| {
                if is_last {
                    self.state.expect_last();
                }
                let decoded = tokenizer.decoder().forward(&frames, &mut self.state)?;
                self.blend.push(decoded, is_last)
            };
            cuts.into_iter().map(run).collect::<Result<Vec<Tensor>, Error>>()
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
