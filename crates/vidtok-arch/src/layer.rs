//! What the networks are made of: layers between channels-last activations.

use std::fmt::Debug;

use tch::Tensor;
use vidtok_torch::{LayerNorm, ParamPath};

use crate::stream::state::StreamState;

/// A layer between channels-last activations. Clones share the parameters.
pub(crate) trait Layer: Clone + Debug + Send + 'static {
    /// Rows by which the output lags behind the input when a frame is computed in strips.
    const ROW_LAG: i64 = 0;

    /// Maps `x` `[b, t, h, w, c]` to the layer's own shape in the same layout. Returns `None` if the frames and rows
    /// seen so far determine no output yet. Drops its input as soon as it can.
    fn forward(&self, x: Tensor, state: &mut StreamState) -> Option<Tensor>;

    /// Like [`forward`](Self::forward) on silu(norm(x)).
    fn forward_normed(&self, norm: &LayerNorm, x: Tensor, state: &mut StreamState) -> Option<Tensor> {
        forward_after_norm(self, norm, x, state)
    }
}

/// The norm and the layer as two operations.
pub(crate) fn forward_after_norm<L: Layer>(
    layer: &L,
    norm: &LayerNorm,
    x: Tensor,
    state: &mut StreamState,
) -> Option<Tensor> {
    let h = norm.forward_silu(&x);
    drop(x);
    layer.forward(h, state)
}

/// The object-safe part of [`Layer`], for groups of layers that run in sequence.
pub(crate) trait Run {
    /// Runs [`Layer::forward`].
    fn run(&self, x: Tensor, state: &mut StreamState) -> Option<Tensor>;
}

impl<L: Layer> Run for L {
    fn run(&self, x: Tensor, state: &mut StreamState) -> Option<Tensor> {
        self.forward(x, state)
    }
}

/// A norm under its published name, which has a second part: `norm1.norm`.
pub(crate) fn norm(path: &ParamPath, name: &str, channels: i64) -> LayerNorm {
    LayerNorm::new(&path.sub(name).sub("norm"), channels)
}
