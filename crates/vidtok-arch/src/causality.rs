//! How a network treats time: the one place where the three versions of VidTok differ.

use std::fmt;

use serde::{Deserialize, Serialize};
use tch::Tensor;
use vidtok_torch::{CausalContext, ParamPath, TemporalConvConfig};

use crate::stream::state::StreamState;

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

    /// The config over time of a convolution that gets its input from [`extend`](Self::extend).
    pub(crate) fn conv_config(self, kernel: i64, stride: i64) -> TemporalConvConfig {
        let both_sides = self == Self::NonCausal && stride == 1;
        TemporalConvConfig { kernel, stride, padding: if both_sides { kernel / 2 } else { 0 } }
    }

    /// How many frames beside its input a window of `kernel` frames needs which moves by `stride`.
    pub(crate) fn missing(kernel: i64, stride: i64) -> i64 {
        kernel - stride
    }

    /// The frames in front of `x` `[b, t, h, w, c]` that a window of `kernel` frames needs which moves by `stride` and
    /// gives t / stride outputs. Those that it needs of `x` and them next time are kept.
    pub(crate) fn causal_context(self, x: &Tensor, kernel: i64, stride: i64, state: &mut StreamState) -> CausalContext {
        if self == Self::NonCausal {
            return CausalContext::NONE; // the convolution pads both sides itself, or the end is extended
        }
        let missing = Self::missing(kernel, stride);
        let slot = state.take();
        let context = match (slot.kept, self) {
            (Some(kept), _) => CausalContext::Frames(kept),
            (None, Self::V1_1) => {
                CausalContext::Frames(x.narrow(1, 0, 1).expand(frames(x, missing), false).contiguous())
            }
            (None, _) => CausalContext::Zeros(missing),
        };
        let t = x.size()[1];
        if !state.is_last() {
            let whole = if t < missing { context.join(x.shallow_clone()) } else { x.shallow_clone() };
            state.keep(&whole, whole.size()[1] - missing, slot.seen + t);
        }
        context
    }

    /// `x` `[b, t, h, w, c]` in one piece with the frames beside it: its [`context`](Self::past), or where both sides count
    /// what follows the last one.
    pub(crate) fn extend(self, x: Tensor, kernel: i64, stride: i64, state: &mut StreamState) -> Tensor {
        if self == Self::NonCausal && stride > 1 {
            return Tensor::cat(&[&x, &zeros(&x, Self::missing(kernel, stride))], 1);
        }
        self.causal_context(&x, kernel, stride, state).join(x)
    }

    /// Whether frames are doubled by repeating each.
    pub(crate) fn upsamples_nearest(self) -> bool {
        self != Self::V1_1
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_fills_the_ends_its_own_way() {
        let x = Tensor::from_slice(&[1.0_f32, 2.0]).view([1, 2, 1, 1, 1]);
        let extend = |causality: Causality, stride| {
            let extended = causality.extend(x.shallow_clone(), 3, stride, &mut StreamState::whole_clip());
            Vec::<f32>::try_from(extended.flatten(0, -1)).unwrap()
        };
        assert_eq!(extend(Causality::V1_0, 1), [0.0, 0.0, 1.0, 2.0]);
        assert_eq!(extend(Causality::V1_1, 1), [1.0, 1.0, 1.0, 2.0]);
        assert_eq!(extend(Causality::NonCausal, 1), [1.0, 2.0]);
        assert_eq!(extend(Causality::V1_0, 2), [0.0, 1.0, 2.0]);
        assert_eq!(extend(Causality::V1_1, 2), [1.0, 1.0, 2.0]);
        assert_eq!(extend(Causality::NonCausal, 2), [1.0, 2.0, 0.0]);
    }
}
