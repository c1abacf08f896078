//! Scaled dot-product attention, counted by [`flops_executed`](crate::flops_executed).

use tch::Tensor;

use crate::runtime::flops;

/// softmax(q k^T / sqrt(c)) v, for `q` `[n, heads, queries, c]` and `k` and `v` `[n, heads, positions, c]`. Returns the
/// shape of `q`.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor) -> Tensor {
    flops::count(2 * 2 * (q.numel() as i64) * k.size()[2]);
    Tensor::scaled_dot_product_attention(q, k, v, None::<Tensor>, 0.0, false, None, false)
}
