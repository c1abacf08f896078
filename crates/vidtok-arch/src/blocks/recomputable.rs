//! Gradient checkpointing of a layer.

use tch::Tensor;
use vidtok_torch::recompute;

use crate::layer::Layer;
use crate::stream::state::StreamState;

/// A layer of which autograd saves only the input in a step with [`StreamState::recomputed`].
#[derive(Clone, Debug)]
pub(crate) struct Recomputable<L>(pub(crate) L);

impl<L: Layer> Layer for Recomputable<L> {
    fn forward(&self, x: Tensor, state: &mut StreamState) -> Option<Tensor> {
        if !state.recomputes() {
            return self.0.forward(x, state);
        }
        let layer = self.0.clone();
        // Such a step covers a whole clip, so each layer starts from the empty state and keeps nothing.
        Some(recompute(&x, move |x| match layer.forward(x.shallow_clone(), &mut StreamState::whole_clip()) {
            Some(y) => y,
            None => unreachable!("a whole clip determines all outputs"),
        }))
    }
}
