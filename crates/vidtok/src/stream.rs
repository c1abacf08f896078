//! Clips of any length in bounded memory: frames in, latents out, chunk by chunk, and back.
//!
//! Causal models give what the whole clip at once would give; a whole clip is one chunk. Others have no such form: to
//! bound the memory they take the clip in windows, each on its own, as published for 16 frames.

use tch::{Kind, Tensor};
use vidtok_arch::TimeState;
use vidtok_core::Quantized;

use crate::noise::Noise;
use crate::tokenizer::clip_size;
use crate::{Error, Padding, Tokenizer};

/// The published window of non-causal models, in frames.
pub const PUBLISHED_WINDOW: i64 = 16;

/// Chunks are chosen so that an activation at full resolution takes no more than this, in bytes.
const ACTIVATION_BYTES: i64 = 256 << 20;
/// And to hold no more frames than this.
const MOST_FRAMES: i64 = 128;

/// Frames to push at a time for a clip of h x w: many enough to keep the machine busy, few enough for its memory.
/// A multiple of the temporal factor.
#[must_use]
pub fn chunk_frames(tokenizer: &Tokenizer, h: i64, w: i64) -> i64 {
    let model = &tokenizer.config().model;
    let frame = h * w * model.ch * model.ch_mult[0] * size_of::<f32>() as i64;
    let frames = (ACTIVATION_BYTES / frame.max(1)).min(MOST_FRAMES);
    let factor = model.temporal_factor();
    (frames / factor * factor).max(factor)
}

/// How a clip is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Draws a continuous latent with this seed; its mean without one.
    pub seed: Option<u64>,
    /// Frames that a non-causal model takes at a time; the whole clip without it. Causal models need none.
    pub window: Option<i64>,
}

/// Encodes a clip that comes in chunks of any length.
#[derive(Debug)]
pub struct StreamEncoder<'a> {
    tokenizer: &'a Tokenizer,
    clip: [i64; 3],
    padding: Padding,
    steps: Steps,
    state: TimeState,
    pushed: i64,
    noise: Option<Noise>,
}

impl<'a> StreamEncoder<'a> {
    /// For a clip of t frames of h x w in all.
    #[must_use]
    pub fn new(tokenizer: &'a Tokenizer, clip: [i64; 3], options: EncodeOptions) -> Self {
        let model = &tokenizer.config().model;
        let padding = Padding::new(model, clip);
        let total = clip[0] + padding.front;
        let step = if model.causality.is_causal() {
            Step::Multiple(model.temporal_factor())
        } else {
            Step::Exactly(window_frames(tokenizer, options.window).unwrap_or(total))
        };
        let noise = tokenizer.quantizer().codebook_size().is_none().then_some(options.seed).flatten().map(Noise::new);
        let steps = Steps::new(step, total);
        Self { tokenizer, clip, padding, steps, state: TimeState::streaming(), pushed: 0, noise }
    }

    /// What the whole clip's [`Encoded`](crate::Encoded) records.
    #[must_use]
    pub fn padding(&self) -> Padding {
        self.padding
    }

    /// Latent frames that the clip will give.
    #[must_use]
    pub fn latent_frames(&self) -> i64 {
        (self.clip[0] + self.padding.front) / self.tokenizer.config().model.temporal_factor()
    }

    /// Takes the next frames `[b, 3, t, h, w]` in [-1, 1]; gives the latent frames that they complete. The clip's last
    /// frame completes all.
    ///
    /// # Errors
    /// If the frames are of another size, or more than were announced, or the encoder gives numbers that are not
    /// finite.
    pub fn push(&mut self, frames: &Tensor) -> Result<Option<Quantized>, Error> {
        let [t, h, w] = clip_size(frames)?;
        if [h, w] != self.clip[1..] || self.pushed + t > self.clip[0] {
            let [all, h, w] = self.clip;
            return Err(Error::Shape {
                what: "the next frames",
                expected: format!("[b, 3, {} or less, {h}, {w}]", all - self.pushed),
                found: format!("{:?}", frames.size()),
            });
        }
        let front = if self.pushed == 0 { self.padding.front } else { 0 };
        self.pushed += t;
        let padded = self.tokenizer.pad(frames, Padding { front, ..self.padding });
        let ready = self.steps.push(&padded)?;
        let (tokenizer, state) = (self.tokenizer, &mut self.state);
        let encoded = tch::no_grad(|| {
            self.steps.run(&ready, |part, is_last| {
                start_step(tokenizer, state, is_last);
                tokenizer.run_encoder(part, state)
            })
        });
        let Some(encoded) = encoded else { return Ok(None) };
        if encoded.isfinite().all().to_kind(Kind::Int64).int64_value(&[]) == 0 {
            return Err(Error::NotFinite);
        }
        let noise = self.noise.as_mut().map(|noise| noise.like(&encoded, tokenizer.quantizer().latent_channels()));
        Ok(Some(tch::no_grad(|| tokenizer.quantizer().quantize(&encoded, noise.as_ref()))))
    }
}

/// Decodes a clip whose latent comes in chunks of any length.
#[derive(Debug)]
pub struct StreamDecoder<'a> {
    tokenizer: &'a Tokenizer,
    padding: Padding,
    steps: Steps,
    state: TimeState,
    /// Frames of the front padding that are still to be dropped.
    to_drop: i64,
}

impl<'a> StreamDecoder<'a> {
    /// For a clip of so many latent frames in all, with this padding, encoded with this window.
    #[must_use]
    pub fn new(tokenizer: &'a Tokenizer, latent_frames: i64, padding: Padding, window: Option<i64>) -> Self {
        let model = &tokenizer.config().model;
        let step = if model.causality.is_causal() {
            Step::Multiple(1)
        } else {
            let window = window_frames(tokenizer, window).map(|frames| frames / model.temporal_factor());
            Step::Exactly(window.unwrap_or(latent_frames))
        };
        let steps = Steps::new(step, latent_frames);
        Self { tokenizer, padding, steps, state: TimeState::streaming(), to_drop: padding.front }
    }

    /// Takes the next latent frames `[b, z, t, h, w]` and gives the frames that are determined now, float32
    /// `[b, 3, t', h', w']`, if any. The clip's last latent frame determines all.
    ///
    /// # Errors
    /// If the latent is of another shape than the model's or the chunks before, or longer than was announced.
    pub fn push(&mut self, latent: &Tensor) -> Result<Option<Tensor>, Error> {
        self.tokenizer.check_latent(latent)?;
        self.tokenizer.check_padding(latent, Padding { front: 0, ..self.padding })?;
        let ready = self.steps.push(latent)?;
        let (tokenizer, state) = (self.tokenizer, &mut self.state);
        let decoded = tch::no_grad(|| {
            self.steps.run(&ready, |part, is_last| {
                start_step(tokenizer, state, is_last);
                tokenizer.run_decoder(part, state)
            })
        });
        let Some(decoded) = decoded else { return Ok(None) };
        let t = decoded.size()[2];
        let dropped = self.to_drop.min(t);
        self.to_drop -= dropped;
        if dropped == t {
            return Ok(None);
        }
        let cropped = Padding { front: dropped, ..self.padding }.crop(&decoded);
        Ok(Some(cropped.to_kind(Kind::Float).contiguous()))
    }
}

/// A causal step goes on from the one before; a window of another model starts anew.
fn start_step(tokenizer: &Tokenizer, state: &mut TimeState, is_last: bool) {
    if !tokenizer.config().model.causality.is_causal() {
        *state = TimeState::whole_clip();
    } else if is_last {
        state.expect_last();
    }
}

/// The window as a multiple of the temporal factor, in frames.
fn window_frames(tokenizer: &Tokenizer, window: Option<i64>) -> Option<i64> {
    let factor = tokenizer.config().model.temporal_factor();
    window.map(|frames| (frames / factor * factor).max(factor))
}

/// How many frames the networks take in one step.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Any multiple of this.
    Multiple(i64),
    /// This many; what is left at the end is the last step.
    Exactly(i64),
}

/// Cuts a clip that comes in chunks into steps.
#[derive(Debug)]
struct Steps {
    step: Step,
    /// Frames of the whole clip that have not been run yet.
    missing: i64,
    /// Frames that do not fill a step yet, `[b, c, t, h, w]`.
    pending: Option<Tensor>,
    /// The shape of the first chunk.
    first: Option<Vec<i64>>,
}

impl Steps {
    fn new(step: Step, total: i64) -> Self {
        Self { step, missing: total, pending: None, first: None }
    }

    /// Takes the next frames; gives those that fill steps.
    fn push(&mut self, frames: &Tensor) -> Result<Tensor, Error> {
        let first = self.first.get_or_insert_with(|| frames.size());
        if without_time(first) != without_time(&frames.size()) {
            return Err(Error::Shape {
                what: "the next chunk",
                expected: format!("{first:?} but for the third axis, as the first one"),
                found: format!("{:?}", frames.size()),
            });
        }
        let x = match self.pending.take() {
            Some(pending) => Tensor::cat(&[&pending, frames], 2),
            None => frames.shallow_clone(),
        };
        let t = x.size()[2];
        if t > self.missing {
            return Err(Error::Shape {
                what: "the clip",
                expected: format!("{} more frames", self.missing),
                found: format!("{t}"),
            });
        }
        let unit = match self.step {
            Step::Multiple(unit) | Step::Exactly(unit) => unit,
        };
        let ready = if t == self.missing { t } else { t / unit * unit };
        if ready < t {
            self.pending = Some(x.narrow(2, ready, t - ready).copy());
        }
        Ok(x.narrow(2, 0, ready))
    }

    /// Runs the steps of `ready` and joins what they give; `None` if there are none. `run` hears whether a step is the
    /// clip's last.
    fn run(&mut self, ready: &Tensor, mut run: impl FnMut(&Tensor, bool) -> Tensor) -> Option<Tensor> {
        let t = ready.size()[2];
        let length = match self.step {
            Step::Multiple(_) => t,
            Step::Exactly(length) => length,
        };
        let mut parts = Vec::new();
        let mut start = 0;
        while start < t {
            let length = length.min(t - start);
            self.missing -= length;
            parts.push(run(&ready.narrow(2, start, length), self.missing == 0));
            start += length;
        }
        match parts.len() {
            0 | 1 => parts.pop(),
            _ => Some(Tensor::cat(&parts, 2)),
        }
    }
}

/// A shape `[b, c, t, h, w]` without t.
fn without_time(shape: &[i64]) -> (&[i64], &[i64]) {
    (&shape[..2], &shape[3..])
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::{Causality, Config, Encoded, config::tests::TINY};

    const WHOLE: EncodeOptions = EncodeOptions { seed: None, window: None };

    /// A model with a temporal factor of 2^halvings and no weight at zero.
    fn tokenizer(causality: Causality, halvings: usize) -> Tokenizer {
        let mut config = Config::parse(TINY).unwrap();
        config.model.causality = causality;
        config.model.ch_mult = vec![1; halvings.max(1) + 1];
        config.model.temporal_down = (0..halvings).collect();
        config.model.temporal_up = (1..=halvings).collect();
        let tokenizer = Tokenizer::init(config, 0, Device::Cpu).unwrap();
        tch::no_grad(|| {
            for (_, parameter) in tokenizer.parameters().iter() {
                let noise = parameter.randn_like() * 0.1;
                let _ = parameter.shallow_clone().g_add_(&noise);
            }
        });
        tokenizer
    }

    fn worst(a: &Tensor, b: &Tensor) -> f64 {
        assert_eq!(a.size(), b.size());
        (a - b).abs().max().double_value(&[])
    }

    /// `take` on consecutive parts of `x`, of these lengths in turn; what they give, joined.
    fn in_chunks(x: &Tensor, lengths: &[i64], mut take: impl FnMut(&Tensor) -> Option<Tensor>) -> Tensor {
        let (t, mut start) = (x.size()[2], 0);
        let mut parts = Vec::new();
        for length in lengths.iter().cycle() {
            let length = *length.min(&(t - start));
            parts.extend(take(&x.narrow(2, start, length)));
            start += length;
            if start == t {
                break;
            }
        }
        Tensor::cat(&parts, 2)
    }

    fn encode(tokenizer: &Tokenizer, video: &Tensor, lengths: &[i64], options: EncodeOptions) -> Tensor {
        let size = video.size();
        let mut encoder = StreamEncoder::new(tokenizer, [size[2], size[3], size[4]], options);
        in_chunks(video, lengths, |frames| encoder.push(frames).unwrap().map(|quantized| quantized.latent))
    }

    fn decode(
        tokenizer: &Tokenizer,
        latent: &Tensor,
        padding: Padding,
        lengths: &[i64],
        window: Option<i64>,
    ) -> Tensor {
        let mut decoder = StreamDecoder::new(tokenizer, latent.size()[2], padding, window);
        in_chunks(latent, lengths, |part| decoder.push(part).unwrap())
    }

    fn random_video(t: i64, h: i64, w: i64) -> Tensor {
        Tensor::rand([1, 3, t, h, w], (Kind::Float, Device::Cpu)) * 2.0 - 1.0
    }

    #[test]
    fn a_causal_stream_equals_the_whole_clip_whatever_the_chunks() {
        for causality in [Causality::V1_0, Causality::V1_1] {
            for halvings in [0, 1, 2, 3] {
                let tokenizer = tokenizer(causality, halvings);
                let video = random_video(19, 7, 10);
                let whole = tokenizer.encode(&video, WHOLE).unwrap();
                let reconstruction = tokenizer.decode(&whole).unwrap();
                for lengths in [&[1][..], &[2, 5, 1], &[18, 1]] {
                    let error = worst(&encode(&tokenizer, &video, lengths, WHOLE), &whole.latent);
                    assert!(error < 1e-5, "{causality} 2^{halvings} {lengths:?}: {error}");
                    let decoded = decode(&tokenizer, &whole.latent, whole.padding, lengths, None);
                    let error = worst(&decoded, &reconstruction);
                    assert!(error < 1e-5, "{causality} 2^{halvings} {lengths:?}: {error}");
                }
            }
        }
    }

    #[test]
    fn a_non_causal_clip_is_taken_whole_unless_a_window_is_asked_for() {
        let tokenizer = tokenizer(Causality::NonCausal, 1);
        let video = random_video(22, 8, 8);
        let whole = tokenizer.encode(&video, WHOLE).unwrap();
        for lengths in [&[22][..], &[3]] {
            assert!(worst(&encode(&tokenizer, &video, lengths, WHOLE), &whole.latent) < 1e-6);
        }
        let windowed = EncodeOptions { window: Some(PUBLISHED_WINDOW), seed: None };
        let first = tokenizer.encode(&video.narrow(2, 0, 16), WHOLE).unwrap();
        for lengths in [&[22][..], &[3]] {
            let latent = encode(&tokenizer, &video, lengths, windowed);
            assert_eq!(latent.size(), whole.latent.size());
            assert!(worst(&latent.narrow(2, 0, 8), &first.latent) < 1e-6);
            let frames = decode(&tokenizer, &latent, whole.padding, &[5, 2], windowed.window);
            assert_eq!(frames.size(), video.size());
            assert!(worst(&frames.narrow(2, 0, 16), &tokenizer.decode(&first).unwrap()) < 1e-6);
        }
    }

    #[test]
    fn a_seed_draws_the_same_latent_in_a_stream_and_from_the_whole_clip() {
        let tokenizer = tokenizer(Causality::V1_0, 1);
        let video = random_video(9, 8, 8);
        let seeded = EncodeOptions { seed: Some(7), window: None };
        let whole = tokenizer.encode(&video, seeded).unwrap().latent;
        assert!(worst(&encode(&tokenizer, &video, &[3], seeded), &whole) < 1e-5);
        assert!(worst(&tokenizer.encode(&video, WHOLE).unwrap().latent, &whole) > 1e-3);
    }

    #[test]
    fn the_memory_of_a_stream_does_not_grow_and_a_whole_clip_keeps_none() {
        let tokenizer = tokenizer(Causality::V1_1, 2);
        let padding = Padding { front: 3, bottom: 0, right: 0 };
        let latent = Tensor::rand([1, 4, 2, 4, 4], (Kind::Float, Device::Cpu));
        let mut decoder = StreamDecoder::new(&tokenizer, 12, padding, None);
        let bytes: Vec<usize> = (0..6)
            .map(|_| {
                let _ = decoder.push(&latent).unwrap();
                decoder.state.bytes()
            })
            .collect();
        assert!(bytes[1] > 0 && bytes[1..5].iter().all(|&n| n == bytes[1]) && bytes[5] == 0, "{bytes:?}");
        let mut whole = StreamDecoder::new(&tokenizer, 2, padding, None);
        let _ = whole.push(&latent).unwrap();
        assert_eq!(whole.state.bytes(), 0);
    }

    #[test]
    fn any_size_comes_back_as_it_went_in() {
        for causality in [Causality::V1_0, Causality::V1_1, Causality::NonCausal] {
            let tokenizer = tokenizer(causality, 2);
            for [t, h, w] in [[1, 1, 1], [2, 3, 5], [5, 8, 8], [8, 7, 2]] {
                let video = random_video(t, h, w);
                let encoded: Encoded = tokenizer.encode(&video, WHOLE).unwrap();
                assert_eq!(tokenizer.decode(&encoded).unwrap().size(), video.size(), "{causality}");
            }
        }
    }

    #[test]
    fn frames_that_do_not_belong_to_the_clip_are_refused() {
        let tokenizer = tokenizer(Causality::V1_0, 1);
        let mut encoder = StreamEncoder::new(&tokenizer, [4, 8, 8], WHOLE);
        assert!(encoder.push(&random_video(2, 8, 9)).is_err());
        assert!(encoder.push(&random_video(2, 8, 8)).is_ok());
        assert!(encoder.push(&random_video(3, 8, 8)).is_err());
        assert!(encoder.push(&Tensor::cat(&[random_video(1, 8, 8), random_video(1, 8, 8)], 0)).is_err());
        let padding = Padding::natural(&tokenizer.config().model);
        let mut decoder = StreamDecoder::new(&tokenizer, 1, padding, None);
        assert!(decoder.push(&Tensor::zeros([1, 4, 2, 4, 4], (Kind::Float, Device::Cpu))).is_err());
        assert!(decoder.push(&Tensor::zeros([1, 3, 1, 4, 4], (Kind::Float, Device::Cpu))).is_err());
    }

    #[test]
    fn numbers_that_are_not_finite_are_refused_not_encoded() {
        let tokenizer = tokenizer(Causality::V1_0, 1);
        let video = random_video(3, 8, 8) * f64::NAN;
        assert!(matches!(tokenizer.encode(&video, WHOLE), Err(Error::NotFinite)));
    }
}
