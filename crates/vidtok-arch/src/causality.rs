//! How a network treats time: the ends of the time axis, and how frames are upsampled.

use std::fmt;

use serde::{Deserialize, Serialize};
use tch::Tensor;
use vidtok_torch::{CausalContext, LayerNorm, ParamPath, TemporalConvConfig};

use crate::stream::state::StreamState;

/// What a network does at the ends of the time axis, and how it upsamples frames.
///
/// Checkpoints of [`V1_0`](Self::V1_0) and [`V1_1`](Self::V1_1) have the same names and shapes. Loading one as the
/// other raises no error but produces wrong pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Causality {
    /// A frame depends on earlier frames only. Zeros precede the first frame. Nearest-neighbour upsampling over time.
    #[serde(rename = "v1.0")]
    V1_0,
    /// Copies of the first frame precede it. Linear upsampling over time, for which each upsampling layer looks one
    /// frame ahead.
    #[serde(rename = "v1.1")]
    V1_1,
    /// A frame depends on frames on both sides, with zeros beyond the ends. Nearest-neighbour upsampling over time.
    #[serde(rename = "noncausal")]
    NonCausal,
}

impl fmt::Display for Causality {
    /// Writes the name that configurations use.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1_0 => "v1.0",
            Self::V1_1 => "v1.1",
            Self::NonCausal => "noncausal",
        })
    }
}

impl Causality {
    /// Whether no output depends on later input, apart from the look-ahead of [`V1_1`](Self::V1_1)'s upsampling.
    #[must_use]
    pub fn is_causal(self) -> bool {
        self != Self::NonCausal
    }

    /// The path of a convolution's parameters: published causal models wrap each convolution in a module `conv`.
    pub(crate) fn conv_path(self, path: &ParamPath) -> ParamPath {
        if self.is_causal() { path.sub("conv") } else { path.clone() }
    }

    /// The config over time of a convolution that reads what [`extend`](Self::extend) returns.
    pub(crate) fn conv_config(self, kernel: i64, stride: i64) -> TemporalConvConfig {
        let pads_both_ends = self == Self::NonCausal && stride == 1;
        TemporalConvConfig { kernel, stride, padding: if pads_both_ends { kernel / 2 } else { 0 } }
    }

    /// Frames that a kernel needs beside its input to turn t frames into t / stride.
    pub(crate) const fn context_frames(kernel: i64, stride: i64) -> i64 {
        kernel - stride
    }

    /// The frames before `x` `[b, t, h, w, c]` that a kernel needs to turn t frames into t / stride. Keeps those that
    /// it needs before the next chunk.
    pub(crate) fn causal_context(self, x: &Tensor, kernel: i64, stride: i64, state: &mut StreamState) -> CausalContext {
        if self == Self::NonCausal {
            return CausalContext::NONE; // the convolution pads both ends, or `extend` adds frames at the end
        }
        let needed = Self::context_frames(kernel, stride);
        let slot = state.take(x);
        let context = match (slot.kept, self) {
            (Some(kept), _) => CausalContext::Frames(kept),
            (None, Self::V1_1) => {
                CausalContext::Frames(x.narrow(1, 0, 1).expand(frames(x, needed), false).contiguous())
            }
            (None, _) => CausalContext::Zeros(needed),
        };
        let t = x.size()[1];
        if !state.is_last() {
            let whole = if t < needed { context.join(x.shallow_clone()) } else { x.shallow_clone() };
            state.keep(&whole, whole.size()[1] - needed, slot.seen + t);
        }
        context
    }

    /// `x` `[b, t, h, w, c]` joined with the frames that a kernel needs beside it: its
    /// [`causal_context`](Self::causal_context), or for a strided kernel of a non-causal network zeros after the last
    /// frame.
    pub(crate) fn extend(self, x: Tensor, kernel: i64, stride: i64, state: &mut StreamState) -> Tensor {
        if self == Self::NonCausal && stride > 1 {
            return Tensor::cat(&[&x, &zeros(&x, Self::context_frames(kernel, stride))], 1);
        }
        self.causal_context(&x, kernel, stride, state).join(x)
    }

    /// silu(norm(x)) joined with its [`causal_context`](Self::causal_context), where a kernel writes it behind the context at
    /// once, see [`LayerNorm::forward_silu_after`].
    pub(crate) fn extend_normed(
        self,
        norm: &LayerNorm,
        x: &Tensor,
        kernel: i64,
        stride: i64,
        state: &mut StreamState,
    ) -> Option<Tensor> {
        if self == Self::NonCausal {
            return None;
        }
        let needed = Self::context_frames(kernel, stride);
        let whole = norm.forward_silu_after(needed, x)?;
        let h = whole.narrow(1, needed, x.size()[1]);
        self.causal_context(&h, kernel, stride, state).write(whole.narrow(1, 0, needed));
        Some(whole)
    }

    /// Whether frames are upsampled by repeating each.
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
    fn each_version_extends_the_ends_of_a_clip_its_own_way() {
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
