//! How a network treats time: the one place where the three versions of VidTok differ.

use std::fmt;

use serde::{Deserialize, Serialize};
use tch::Tensor;
use vidtok_torch::{ParamPath, TemporalGeometry};

use crate::TimeState;

/// What a network does at the ends of the time axis, and how it upsamples it.
///
/// Checkpoints of [`V1_0`](Self::V1_0) and [`V1_1`](Self::V1_1) have the same names and shapes; one loaded as the
/// other gives wrong pixels without any error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Causality {
    /// A frame depends on earlier ones only; frames before the first are zeros; frames are doubled by repeating them.
    #[serde(rename = "v1.0")]
    V1_0,
    /// Frames before the first are copies of it; frames are doubled by linear interpolation, for which each
    /// upsampling looks one frame ahead.
    #[serde(rename = "v1.1")]
    V1_1,
    /// A frame depends on both sides; frames beyond the ends are zeros; frames are doubled by repeating them.
    #[serde(rename = "noncausal")]
    NonCausal,
}

impl fmt::Display for Causality {
    /// As configurations name it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1_0 => "v1.0",
            Self::V1_1 => "v1.1",
            Self::NonCausal => "noncausal",
        })
    }
}

impl Causality {
    /// Whether an output depends on no later input (but for the look-ahead of [`V1_1`](Self::V1_1)'s upsampling).
    #[must_use]
    pub fn is_causal(self) -> bool {
        self != Self::NonCausal
    }

    /// The position of a convolution's parameters: causal models are published with one more name in it.
    pub(crate) fn conv_path(self, path: &ParamPath) -> ParamPath {
        if self.is_causal() { path.sub("conv") } else { path.clone() }
    }

    /// The geometry over time of a convolution that gets its input from [`extend`](Self::extend).
    pub(crate) fn geometry(self, kernel: i64, stride: i64) -> TemporalGeometry {
        let both_sides = self == Self::NonCausal && stride == 1;
        TemporalGeometry { kernel, stride, padding: if both_sides { kernel / 2 } else { 0 } }
    }

    /// How many frames [`extend`](Self::extend) adds, if any.
    pub(crate) fn missing(kernel: i64, stride: i64) -> i64 {
        kernel - stride
    }

    /// `x` `[b, t, h, w, c]` with the frames beside it that a window of `kernel` frames needs which moves by `stride`
    /// and gives t / stride outputs.
    pub(crate) fn extend(self, x: &Tensor, kernel: i64, stride: i64, state: &mut TimeState) -> Tensor {
        let missing = Self::missing(kernel, stride);
        if self == Self::NonCausal {
            return match stride {
                1 => x.shallow_clone(), // the convolution pads both sides itself
                _ => Tensor::cat(&[x, &zeros(x, missing)], 1),
            };
        }
        let past = state.take();
        let seen = past.seen + x.size()[1];
        let before = past.frames.unwrap_or_else(|| match self {
            Self::V1_1 => x.narrow(1, 0, 1).expand(frames(x, missing), false),
            _ => zeros(x, missing),
        });
        let extended = Tensor::cat(&[&before, x], 1);
        state.keep(&extended, extended.size()[1] - missing, seen);
        extended
    }

    /// `x` `[b, t, h, w, c]` with twice the frames. `stage` counts the decoder's temporal upsamplings from 0.
    pub(crate) fn upsample(self, x: &Tensor, stage: usize, state: &mut TimeState) -> Tensor {
        match self {
            Self::V1_1 => upsample_linearly(x, 1 << stage, state),
            _ => interleave(x, x),
        }
    }
}

/// The shape of `x` with t frames.
fn frames(x: &Tensor, t: i64) -> Vec<i64> {
    let mut shape = x.size();
    shape[1] = t;
    shape
}

fn zeros(x: &Tensor, t: i64) -> Tensor {
    Tensor::zeros(frames(x, t), (x.kind(), x.device()))
}

/// Frames of `a` and `b` in turn.
fn interleave(a: &Tensor, b: &Tensor) -> Tensor {
    Tensor::stack(&[a, b], 2).flatten(1, 2)
}

/// Linear interpolation with half-pixel centres. The first `head` frames of a clip, which stand for its first frame,
/// are interpolated apart from the rest.
///
/// An output may need the frame after it; in a stream the last frame of a chunk is kept back until that has come.
fn upsample_linearly(x: &Tensor, head: i64, state: &mut TimeState) -> Tensor {
    let past = state.take();
    let seen = past.seen + x.size()[1];
    // The frame before the one kept back, if any, and the one kept back.
    let kept = past.frames.as_ref().map_or(0, |frames| frames.size()[1]);
    let x = match past.frames {
        Some(frames) => Tensor::cat(&[&frames, x], 1),
        None => x.shallow_clone(),
    };
    let t = x.size()[1];
    let in_head = (head - (seen - t)).clamp(0, t);
    let done = [x.narrow(1, 0, in_head), x.narrow(1, in_head, t - in_head)];
    let done: Vec<Tensor> = done.iter().filter(|part| part.size()[1] > 0).map(upsample_part).collect();
    let upsampled = match done.as_slice() {
        [all] => all.shallow_clone(),
        parts => Tensor::cat(parts, 1),
    };
    let waits = |seen: i64, last: bool| !last && seen != head;
    let given = if kept > 0 && waits(past.seen, false) { kept - 1 } else { kept };
    let ready = t - i64::from(waits(seen, state.is_last()));
    state.keep(&x, (ready - 1).max(0), seen);
    upsampled.narrow(1, 2 * given, 2 * (ready - given))
}

fn upsample_part(x: &Tensor) -> Tensor {
    let t = x.size()[1];
    let before = Tensor::cat(&[x.narrow(1, 0, 1), x.narrow(1, 0, t - 1)], 1);
    let after = Tensor::cat(&[x.narrow(1, 1, t - 1), x.narrow(1, t - 1, 1)], 1);
    interleave(&x.lerp(&before, 0.25), &x.lerp(&after, 0.25))
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    fn ramp(t: i64) -> Tensor {
        Tensor::arange(t, (Kind::Float, Device::Cpu)).view([1, t, 1, 1, 1])
    }

    fn values(x: &Tensor) -> Vec<f32> {
        Vec::try_from(x.flatten(0, -1).contiguous()).unwrap()
    }

    #[test]
    fn each_version_fills_the_ends_its_own_way() {
        let x = ramp(2) + 1.0;
        let extend =
            |causality: Causality, stride| values(&causality.extend(&x, 3, stride, &mut TimeState::whole_clip()));
        assert_eq!(extend(Causality::V1_0, 1), [0.0, 0.0, 1.0, 2.0]);
        assert_eq!(extend(Causality::V1_1, 1), [1.0, 1.0, 1.0, 2.0]);
        assert_eq!(extend(Causality::NonCausal, 1), [1.0, 2.0]);
        assert_eq!(extend(Causality::V1_0, 2), [0.0, 1.0, 2.0]);
        assert_eq!(extend(Causality::V1_1, 2), [1.0, 1.0, 2.0]);
        assert_eq!(extend(Causality::NonCausal, 2), [1.0, 2.0, 0.0]);
    }

    #[test]
    fn linear_upsampling_matches_libtorchs_and_sets_the_head_apart() {
        for (stage, head) in [(0, 1), (1, 2), (2, 4)] {
            let x = ramp(7).square();
            let interpolate = |part: Tensor| {
                let t = part.size()[1];
                part.view([1, 1, t]).upsample_linear1d([2 * t], false, None)
            };
            let parts = [interpolate(x.narrow(1, 0, head)), interpolate(x.narrow(1, head, 7 - head))];
            let expected = Tensor::cat(&parts, 2);
            let upsampled = Causality::V1_1.upsample(&x, stage, &mut TimeState::whole_clip());
            assert!(upsampled.flatten(0, -1).allclose(&expected.flatten(0, -1), 1e-6, 1e-6, false));
        }
    }

    #[test]
    fn upsampling_in_chunks_equals_upsampling_the_whole() {
        let x = ramp(9).square();
        for causality in [Causality::V1_0, Causality::V1_1] {
            for stage in [0, 1, 2] {
                let whole = causality.upsample(&x, stage, &mut TimeState::whole_clip());
                for chunks in [vec![9], vec![1; 9], vec![2, 3, 4], vec![4, 1, 4], vec![1, 3, 5], vec![8, 1]] {
                    let mut state = TimeState::streaming();
                    let mut start = 0;
                    let mut parts = Vec::new();
                    for &length in &chunks {
                        if start + length == 9 {
                            state.expect_last();
                        }
                        state.rewind();
                        parts.push(causality.upsample(&x.narrow(1, start, length), stage, &mut state));
                        start += length;
                    }
                    assert_eq!(values(&Tensor::cat(&parts, 1)), values(&whole), "{causality} {stage} {chunks:?}");
                }
            }
        }
    }
}
