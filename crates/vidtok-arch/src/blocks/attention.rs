//! Self-attention with one head over the positions of each frame; frames do not attend to each other.

use tch::Tensor;
use vidtok_torch::{LayerNorm, ParamPath, Pointwise, add, attention};

use crate::causality::Causality;
use crate::layer::norm;
use crate::memory::MemoryModel;
use crate::memory::activations::ActivationWalk;
use crate::memory::footprint::FootprintWalk;

/// The most memory for scores, in bytes. A kernel may hold the scores of all queries, so queries are split until their
/// scores fit.
const SCORES_BYTES: i64 = 256 << 20;

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

    /// Maps `[b, t, h, w, c]` to the same shape.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        let size = x.size();
        let normed = self.norm.forward(x).view([size[0] * size[1], 1, size[2] * size[3], size[4]]);
        let [q, k, v] = [&self.q, &self.k, &self.v].map(|project| project.forward(&normed));
        let attended = attend(&q, &k, &v, SCORES_BYTES);
        add(self.proj_out.forward(&attended).view(size.as_slice()), x)
    }
}

impl MemoryModel for Attention {
    fn footprint(walk: &mut FootprintWalk) {
        // Residual, normed, queries, keys, values, attended, projected.
        walk.hold(7 * walk.activation());
    }

    fn activations(walk: &mut ActivationWalk) {
        // Inputs of the norm and of the projections, queries, keys, values, attended.
        walk.save(6 * walk.activation());
    }
}

/// softmax(q k^T / sqrt(c)) v of `[n, 1, positions, c]`, for as many queries at a time as `scores_bytes` allows.
fn attend(q: &Tensor, k: &Tensor, v: &Tensor, scores_bytes: i64) -> Tensor {
    let attend_to_all = |q: &Tensor| attention(q, k, v);
    let (n, positions) = (q.size()[0], q.size()[2]);
    let queries = (scores_bytes / (n * positions * size_of::<f32>() as i64).max(1)).max(1);
    if queries >= positions {
        return attend_to_all(q);
    }
    Tensor::cat(&q.split(queries, 2).iter().map(attend_to_all).collect::<Vec<_>>(), 2)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn splitting_the_queries_does_not_change_attention() {
        tch::manual_seed(0);
        let [q, k, v] = [(); 3].map(|()| Tensor::randn([2, 1, 37, 8], (Kind::Float, Device::Cpu)));
        let scores = q.matmul(&k.transpose(2, 3)) / 8f64.sqrt();
        let expected = scores.softmax(-1, Kind::Float).matmul(&v);
        for bytes in [1, 5 * 2 * 37 * 4, i64::MAX] {
            let error = (attend(&q, &k, &v, bytes) - &expected).abs().max().double_value(&[]);
            assert!(error < 1e-6, "{bytes}: {error}");
        }
    }
}
