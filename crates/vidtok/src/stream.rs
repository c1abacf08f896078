//! Clips of any length in bounded memory: frames in, latents out, chunk by chunk, and back.
//!
//! Causal models give what the whole clip at once would give. Others have no such form: they take the clip in windows
//! of 16 frames, each on its own, as published.

use tch::{Kind, Tensor};
use vidtok_arch::TimeState;
use vidtok_core::Quantized;

use crate::noise::Noise;
use crate::{Error, Padding, Tokenizer};

/// The window of non-causal models, in frames.
const WINDOW: i64 = 16;

/// Chunks are chosen so that an activation at full resolution takes no more than this, in bytes.
const ACTIVATION_BYTES: i64 = 256 << 20;

/// Frames to push at a time for a clip of h x w: many enough to keep the machine busy, few enough for its memory.
/// A multiple of what is encoded together.
#[must_use]
pub fn chunk_frames(tokenizer: &Tokenizer, h: i64, w: i64) -> i64 {
    let model = &tokenizer.config().model;
    let frame = h * w * model.ch * model.ch_mult[0] * size_of::<f32>() as i64;
    let step = step(tokenizer);
    (ACTIVATION_BYTES / frame.max(1) / step * step).clamp(step, 8 * step.max(WINDOW))
}

/// Encodes a clip that comes in chunks of any length.
#[derive(Debug)]
pub struct StreamEncoder<'a> {
    tokenizer: &'a Tokenizer,
    padding: Padding,
    state: TimeState,
    /// Frames that do not fill a step yet, `[b, 3, t, h, w]`.
    pending: Option<Tensor>,
    started: bool,
    noise: Option<Noise>,
}

impl<'a> StreamEncoder<'a> {
    /// For a clip of t frames of h x w in all. Continuous latents are the mean, or drawn with `seed`.
    #[must_use]
    pub fn new(tokenizer: &'a Tokenizer, clip: [i64; 3], seed: Option<i64>) -> Self {
        let padding = Padding::new(&tokenizer.config().model, clip);
        let noise = seed.map(Noise::new);
        Self { tokenizer, padding, state: time_state(tokenizer), pending: None, started: false, noise }
    }

    /// What the whole clip's [`Encoded`](crate::Encoded) records.
    #[must_use]
    pub fn padding(&self) -> Padding {
        self.padding
    }

    /// Takes the next frames `[b, 3, t, h, w]` in [-1, 1]; gives the latent frames that they complete.
    #[must_use]
    pub fn push(&mut self, frames: &Tensor) -> Option<Quantized> {
        let front = if self.started { 0 } else { self.padding.front };
        self.started = true;
        let mut frames = self.tokenizer.pad(frames, Padding { front, ..self.padding });
        if let Some(pending) = self.pending.take() {
            frames = Tensor::cat(&[pending, frames], 2);
        }
        let t = frames.size()[2];
        let ready = t - t % step(self.tokenizer);
        if ready < t {
            self.pending = Some(frames.narrow(2, ready, t - ready).copy());
        }
        self.encode(&frames.narrow(2, 0, ready))
    }

    /// Whether frames wait for others, so that [`finish`](Self::finish) will give something.
    pub(crate) fn is_waiting(&self) -> bool {
        self.pending.is_some()
    }

    /// Ends the clip; gives the latent frames that were still missing.
    #[must_use]
    pub fn finish(mut self) -> Option<Quantized> {
        self.flush()
    }

    pub(crate) fn flush(&mut self) -> Option<Quantized> {
        let frames = self.pending.take()?;
        self.encode(&frames)
    }

    fn encode(&mut self, frames: &Tensor) -> Option<Quantized> {
        let t = frames.size()[2];
        if t == 0 {
            return None;
        }
        let tokenizer = self.tokenizer;
        let encoded = tch::no_grad(|| {
            in_windows(frames, if is_causal(tokenizer) { t } else { window(tokenizer) }, |part| {
                tokenizer.run_encoder(part, &mut self.state)
            })
        });
        let noise = self.noise.as_mut().map(|noise| noise.like(&encoded, tokenizer.quantizer().latent_channels()));
        Some(tch::no_grad(|| tokenizer.quantizer().quantize(&encoded, noise.as_ref())))
    }
}

/// Decodes a clip whose latent comes in chunks of any length.
#[derive(Debug)]
pub struct StreamDecoder<'a> {
    tokenizer: &'a Tokenizer,
    padding: Padding,
    state: TimeState,
    /// Frames of the front padding that are still to be dropped.
    to_drop: i64,
}

impl<'a> StreamDecoder<'a> {
    /// For a clip with this padding.
    #[must_use]
    pub fn new(tokenizer: &'a Tokenizer, padding: Padding) -> Self {
        Self { tokenizer, padding, state: time_state(tokenizer), to_drop: padding.front }
    }

    /// Takes the next latent frames `[b, z, t, h, w]` and gives the frames that are determined now, float32
    /// `[b, 3, t', h', w']`, if any. `last` says that no more follow. Non-causal models take whole windows, but for
    /// the last.
    ///
    /// # Errors
    /// If the latent's shape is not the model's.
    pub fn push(&mut self, latent: &Tensor, last: bool) -> Result<Option<Tensor>, Error> {
        self.tokenizer.check_latent(latent)?;
        self.tokenizer.check_padding(latent, Padding { front: 0, ..self.padding })?;
        if last {
            self.state.expect_last();
        }
        let tokenizer = self.tokenizer;
        let chunk = match is_causal(tokenizer) {
            true => latent.size()[2],
            false => window(tokenizer) / tokenizer.config().model.temporal_factor(),
        };
        let decoded = tch::no_grad(|| in_windows(latent, chunk, |part| tokenizer.run_decoder(part, &mut self.state)));
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

fn is_causal(tokenizer: &Tokenizer) -> bool {
    tokenizer.config().model.causality.is_causal()
}

/// Frames that are encoded together.
fn step(tokenizer: &Tokenizer) -> i64 {
    if is_causal(tokenizer) { tokenizer.config().model.temporal_factor() } else { window(tokenizer) }
}

/// The window in frames: a multiple of the temporal factor.
fn window(tokenizer: &Tokenizer) -> i64 {
    WINDOW.max(tokenizer.config().model.temporal_factor())
}

fn time_state(tokenizer: &Tokenizer) -> TimeState {
    if is_causal(tokenizer) { TimeState::streaming() } else { TimeState::whole_clip() }
}

/// `run` on parts of `length` frames of `x`, joined again.
fn in_windows(x: &Tensor, length: i64, mut run: impl FnMut(&Tensor) -> Tensor) -> Tensor {
    let t = x.size()[2];
    if t <= length {
        return run(x);
    }
    let parts: Vec<Tensor> =
        (0..t).step_by(length as usize).map(|start| run(&x.narrow(2, start, length.min(t - start)))).collect();
    Tensor::cat(&parts, 2)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::{Causality, Config, Encoded, config::tests::TINY};

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

    fn in_chunks(x: &Tensor, lengths: &[i64], mut take: impl FnMut(&Tensor, bool)) {
        let t = x.size()[2];
        let mut start = 0;
        for length in lengths.iter().cycle() {
            let length = *length.min(&(t - start));
            take(&x.narrow(2, start, length), start + length == t);
            start += length;
            if start == t {
                break;
            }
        }
    }

    #[test]
    fn a_causal_stream_equals_the_whole_clip_whatever_the_chunks() {
        for causality in [Causality::V1_0, Causality::V1_1] {
            for halvings in [0, 1, 2, 3] {
                let tokenizer = tokenizer(causality, halvings);
                let video = Tensor::rand([1, 3, 19, 7, 10], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
                let whole = tokenizer.encode(&video, None).unwrap();
                let reconstruction = tokenizer.decode(&whole).unwrap();
                for lengths in [&[1][..], &[2, 5, 1], &[19]] {
                    let mut encoder = StreamEncoder::new(&tokenizer, [19, 7, 10], None);
                    let mut latents = Vec::new();
                    in_chunks(&video, lengths, |frames, _| latents.extend(encoder.push(frames).map(|q| q.latent)));
                    assert!(encoder.finish().is_none());
                    let latent = Tensor::cat(&latents, 2);
                    let error = worst(&latent, &whole.latent);
                    assert!(error < 1e-5, "{causality:?} 2^{halvings} {lengths:?}: {error}");

                    let mut decoder = StreamDecoder::new(&tokenizer, whole.padding);
                    let mut frames = Vec::new();
                    in_chunks(&whole.latent, lengths, |part, last| frames.extend(decoder.push(part, last).unwrap()));
                    let error = worst(&Tensor::cat(&frames, 2), &reconstruction);
                    assert!(error < 1e-5, "{causality:?} 2^{halvings} {lengths:?}: {error}");
                }
            }
        }
    }

    #[test]
    fn a_seed_draws_the_same_latent_in_a_stream_and_from_the_whole_clip() {
        let tokenizer = tokenizer(Causality::V1_0, 1);
        let video = Tensor::rand([1, 3, 9, 8, 8], (Kind::Float, Device::Cpu));
        let whole = tokenizer.encode(&video, Some(7)).unwrap().latent;
        let mut encoder = StreamEncoder::new(&tokenizer, [9, 8, 8], Some(7));
        let mut latents = Vec::new();
        in_chunks(&video, &[3], |frames, _| latents.extend(encoder.push(frames).map(|q| q.latent)));
        assert!(worst(&Tensor::cat(&latents, 2), &whole) < 1e-5);
        assert!(worst(&tokenizer.encode(&video, None).unwrap().latent, &whole) > 1e-3);
    }

    #[test]
    fn a_non_causal_stream_is_windows_of_sixteen_frames() {
        let tokenizer = tokenizer(Causality::NonCausal, 1);
        let video = Tensor::rand([1, 3, 22, 8, 8], (Kind::Float, Device::Cpu));
        let mut encoder = StreamEncoder::new(&tokenizer, [22, 8, 8], None);
        let padding = encoder.padding();
        let mut latents: Vec<Tensor> = encoder.push(&video).map(|q| q.latent).into_iter().collect();
        latents.extend(encoder.finish().map(|q| q.latent));
        let latent = Tensor::cat(&latents, 2);
        assert_eq!(latent.size(), [1, 4, 11, 4, 4]);
        let first = tokenizer.encode(&video.narrow(2, 0, 16), None).unwrap();
        assert!(worst(&latent.narrow(2, 0, 8), &first.latent) < 1e-6);

        let mut decoder = StreamDecoder::new(&tokenizer, padding);
        let frames = decoder.push(&latent, true).unwrap().unwrap();
        assert_eq!(frames.size(), video.size());
        assert!(worst(&frames.narrow(2, 0, 16), &tokenizer.decode(&first).unwrap()) < 1e-6);
    }

    #[test]
    fn the_memory_of_a_stream_does_not_grow_with_its_length() {
        let tokenizer = tokenizer(Causality::V1_1, 2);
        let mut decoder = StreamDecoder::new(&tokenizer, Padding { front: 3, bottom: 0, right: 0 });
        let latent = Tensor::rand([1, 4, 2, 4, 4], (Kind::Float, Device::Cpu));
        let bytes: Vec<usize> = (0..6)
            .map(|_| {
                let _ = decoder.push(&latent, false).unwrap();
                decoder.state.bytes()
            })
            .collect();
        assert!(bytes[1] > 0 && bytes[1..].iter().all(|&n| n == bytes[1]), "{bytes:?}");
    }

    #[test]
    fn any_size_comes_back_as_it_went_in() {
        for causality in [Causality::V1_0, Causality::V1_1, Causality::NonCausal] {
            let tokenizer = tokenizer(causality, 2);
            for [t, h, w] in [[1, 1, 1], [2, 3, 5], [5, 8, 8], [8, 7, 2]] {
                let video = Tensor::rand([1, 3, t, h, w], (Kind::Float, Device::Cpu));
                let encoded: Encoded = tokenizer.encode(&video, None).unwrap();
                assert_eq!(tokenizer.decode(&encoded).unwrap().size(), video.size(), "{causality:?}");
            }
        }
    }
}
