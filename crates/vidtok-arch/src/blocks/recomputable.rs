//! Gradient checkpointing of a layer, where the step asks for it.

use tch::Tensor;
use vidtok_torch::recompute;

use crate::blocks::time_conv::Layer;
use crate::stream::state::StreamState;

/// A layer of which a step with [`StreamState::recomputed`] keeps only the input.
#[derive(Clone, Debug)]
pub(crate) struct Recomputable<L>(pub(crate) L);

impl<L: Layer> Layer for Recomputable<L> {
    fn forward(&self, x: Tensor, state: &mut StreamState) -> Tensor {
        if !state.recomputes() {
            return self.0.forward(x, state);
        }
        let layer = self.0.clone();
        // Such a step is of a whole clip, so each of its layers starts from the empty state and leaves none.
        recompute(&x, move |x| layer.forward(x.shallow_clone(), &mut StreamState::whole_clip()))
    }
}
