//! What the two networks have in common.

use tch::Tensor;

use crate::stream::error::StreamError;
use crate::stream::input::InputSpec;
use crate::stream::state::StreamState;

/// A network that runs in steps.
pub(crate) trait Network {
    /// The inputs that it accepts.
    fn input(&self) -> InputSpec<'_>;

    /// Runs one step on `x` `[b, c, t, h, w]`.
    fn step(&self, x: &Tensor, state: &mut StreamState) -> Result<Tensor, StreamError>;
}

/// The output of a step that determined no frame yet: `[b, channels, 0, 0, 0]`, with b, kind and device of the input
/// `x`.
pub(crate) fn no_frames(x: &Tensor, channels: i64) -> Tensor {
    Tensor::zeros([x.size()[0], channels, 0, 0, 0], (x.kind(), x.device()))
}
