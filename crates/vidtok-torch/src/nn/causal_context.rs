//! What stands in front of the first frame for a convolution over time.

use std::ptr::null;

use tch::Tensor;
use torch_sys::C_tensor;

/// Frames in front of those that a layer is given. A convolution takes them from where they are.
#[derive(Debug)]
pub enum CausalContext {
    /// So many frames of zeros; none, too.
    Zeros(i64),
    /// Frames `[b, n, h, w, c]`.
    Frames(Tensor),
}

impl CausalContext {
    /// No frames.
    pub const NONE: Self = Self::Zeros(0);

    /// `x` `[b, t, h, w, c]` after these frames, in one piece.
    pub fn join(&self, x: Tensor) -> Tensor {
        match self {
            Self::Zeros(0) => x,
            Self::Zeros(frames) => {
                let mut shape = x.size();
                shape[1] = *frames;
                Tensor::cat(&[Tensor::zeros(shape, (x.kind(), x.device())), x], 1)
            }
            Self::Frames(frames) => Tensor::cat(&[frames, &x], 1),
        }
    }

    /// Checks that these frames can stand in front of `x` `[b, t, h, w, c]`: they differ in their number only.
    pub(crate) fn check(&self, x: &Tensor) {
        let Self::Frames(frames) = self else { return };
        let mut expected = x.size();
        expected[1] = frames.size().get(1).copied().unwrap_or(0);
        assert!(
            (frames.size(), frames.kind(), frames.device()) == (expected, x.kind(), x.device()),
            "the past is {:?} {:?} on {:?}, the input {:?} {:?} on {:?}; they may differ in the number of frames only",
            frames.size(),
            frames.kind(),
            frames.device(),
            x.size(),
            x.kind(),
            x.device(),
        );
    }

    /// The frames as `layout` has those of a layer's input.
    pub(crate) fn map(&self, layout: impl FnOnce(&Tensor) -> Tensor) -> Self {
        match self {
            Self::Zeros(frames) => Self::Zeros(*frames),
            Self::Frames(frames) => Self::Frames(layout(frames)),
        }
    }

    /// For the shim: the frames or null, and the number of zeros. Good as long as this value.
    pub(crate) fn parts(&self) -> (*const C_tensor, i64) {
        match self {
            Self::Zeros(frames) => (null(), *frames),
            Self::Frames(frames) => (frames.as_ptr(), 0),
        }
    }
}
