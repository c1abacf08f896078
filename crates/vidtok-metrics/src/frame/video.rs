//! Checks and layouts that the metrics share.

use tch::{Kind, Tensor};
use vidtok_core::MetricError;
use vidtok_torch::to_channels_last;

/// Accepts two videos `[b, c, t, h, w]` of one shape with h and w of at least `least`.
pub(crate) fn check_pair(
    metric: &'static str,
    target: &Tensor,
    reconstruction: &Tensor,
    least: i64,
) -> Result<(), MetricError> {
    let error =
        |expected: String, found: &Tensor| MetricError { metric, expected, found: format!("{:?}", found.size()) };
    match target.size()[..] {
        [_, _, _, h, w] if h.min(w) >= least => {}
        _ => return Err(error(format!("a video [b, c, t, h, w] with h and w of at least {least}"), target)),
    }
    match target.size() == reconstruction.size() {
        true => Ok(()),
        false => Err(error(format!("a reconstruction of shape {:?}", target.size()), reconstruction)),
    }
}

/// The frames of a video `[b, c, t, h, w]` as float32 images `[b * t, c, h, w]`, channels innermost in memory.
pub(crate) fn images(video: &Tensor) -> Tensor {
    to_channels_last(&video.to_kind(Kind::Float)).flatten(0, 1).permute([0, 3, 1, 2])
}
