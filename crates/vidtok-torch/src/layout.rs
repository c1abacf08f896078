//! Between the public layout `[b, c, t, h, w]` and the inner one `[b, t, h, w, c]`.

use tch::Tensor;

/// `[b, c, t, h, w]` to contiguous `[b, t, h, w, c]`; copies only if `x` is not channels-last already.
pub fn to_channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 4, 1]).contiguous()
}

/// `[b, t, h, w, c]` to a `[b, c, t, h, w]` view.
pub fn from_channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 4, 1, 2, 3])
}
