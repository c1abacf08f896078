//! The attention that layers call: libtorch's.

use tch::Tensor;

use crate::runtime::flops;

/// softmax(q k^T / sqrt(c)) v: `q` `[n, heads, queries, c]`, `k` and `v` `[n, heads, positions, c]`, to the shape of
/// `q`.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor) -> Tensor {
    flops::count(2 * 2 * (q.numel() as i64) * k.size()[2]);
    Tensor::scaled_dot_product_attention(q, k, v, None::<Tensor>, 0.0, false, None, false)
}
