//! The causal context of a convolution over time: the frames before its input.

use std::ptr::null;

use tch::Tensor;
use torch_sys::C_tensor;

/// Frames before the input of a layer. Our convolutions read them where they are, without joining both.
#[derive(Debug)]
pub enum CausalContext {
    /// This many frames of zeros; may be 0.
    Zeros(i64),
    /// Frames `[b, n, h, w, c]`.
    Frames(Tensor),
}

impl CausalContext {
    /// No frames.
    pub const NONE: Self = Self::Zeros(0);

    /// Joins the context and `x` `[b, t, h, w, c]` in one tensor.
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

    /// Copies the context to `to` `[b, n, h, w, c]`, a view of as many frames.
    pub fn write(&self, mut to: Tensor) {
        let _ = match self {
            Self::Zeros(_) => to.zero_(),
            Self::Frames(frames) => {
                to.copy_(frames);
                to
            }
        };
    }

    /// Checks that the context fits `x` `[b, t, h, w, c]`: they may differ in the number of frames only.
    ///
    /// # Panics
    /// If it does not fit.
    pub(crate) fn check(&self, x: &Tensor) {
        let Self::Frames(frames) = self else { return };
        let mut expected = x.size();
        expected[1] = frames.size().get(1).copied().unwrap_or(0);
        assert!(
            (frames.size(), frames.kind(), frames.device()) == (expected, x.kind(), x.device()),
            "the causal context is {:?} {:?} on {:?}, the input {:?} {:?} on {:?}; only the number of frames may differ",
            frames.size(),
            frames.kind(),
            frames.device(),
            x.size(),
            x.kind(),
            x.device(),
        );
    }

    /// The same context with its frames in another layout.
    pub(crate) fn map(&self, layout: impl FnOnce(&Tensor) -> Tensor) -> Self {
        match self {
            Self::Zeros(frames) => Self::Zeros(*frames),
            Self::Frames(frames) => Self::Frames(layout(frames)),
        }
    }

    /// The arguments for the shim: the frames or null, and the number of zero frames. Valid as long as `self`.
    pub(crate) fn parts(&self) -> (*const C_tensor, i64) {
        match self {
            Self::Zeros(frames) => (null(), *frames),
            Self::Frames(frames) => (frames.as_ptr(), 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn a_context_that_is_written_before_an_input_equals_one_that_is_joined_with_it() {
        let frames = |t: i64| Tensor::rand([2, t, 3, 4, 5], (Kind::Float, Device::Cpu));
        for context in [CausalContext::Zeros(2), CausalContext::Frames(frames(2))] {
            let x = frames(3);
            let whole = frames(5);
            whole.narrow(1, 2, 3).copy_(&x);
            context.write(whole.narrow(1, 0, 2));
            assert_eq!(whole, context.join(x));
        }
    }
}
