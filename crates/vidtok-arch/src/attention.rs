//! Attention over the positions of each frame on its own, with one head; none over time.

use tch::Tensor;
use vidtok_torch::{LayerNorm, ParamPath, Pointwise, add};

use crate::Causality;
use crate::residual::norm;

/// x + proj_out(softmax(q k^T / sqrt(c)) v) for each frame.
#[derive(Clone, Debug)]
pub(crate) struct Attention {
    norm: LayerNorm,
    q: Pointwise,
    k: Pointwise,
    v: Pointwise,
    proj_out: Pointwise,
}

impl Attention {
    pub(crate) fn new(path: &ParamPath, channels: i64, causality: Causality) -> Self {
        let project = |name| Pointwise::new(&causality.conv_path(&path.sub(name)), channels, channels, 3);
        Self {
            norm: norm(path, "norm", channels),
            q: project("q"),
            k: project("k"),
            v: project("v"),
            proj_out: project("proj_out"),
        }
    }

    /// `[b, t, h, w, c]` to the same shape.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        let size = x.size();
        let normed = self.norm.forward(x).view([size[0] * size[1], 1, size[2] * size[3], size[4]]);
        let [q, k, v] = [&self.q, &self.k, &self.v].map(|project| project.forward(&normed));
        let attended = Tensor::scaled_dot_product_attention(&q, &k, &v, None::<Tensor>, 0.0, false, None, false);
        add(self.proj_out.forward(&attended).view(size.as_slice()), x)
    }
}
