//! Metrics of two clips.

use pyo3::prelude::*;
use pyo3::types::PyAny;
use vidtok_core::Metric;
use vidtok_metrics::{FrameMean, MsSsim, Psnr, Ssim};

use crate::dlpack::take;
use crate::error::{InputError, unknown};
use crate::worker::caught;

/// The mean over frames of "psnr" (dB), "ssim" or "ms_ssim" of two clips `[b, 3, t, h, w]` in [0, 1].
#[pyfunction]
pub(crate) fn frame_metric(
    py: Python<'_>,
    name: &str,
    reference: &Bound<'_, PyAny>,
    clip: &Bound<'_, PyAny>,
) -> PyResult<Option<f64>> {
    let mut metric: Box<dyn Metric + Send> = match name {
        "psnr" => Box::new(FrameMean::new(Psnr)),
        "ssim" => Box::new(FrameMean::new(Ssim)),
        "ms_ssim" => Box::new(FrameMean::new(MsSsim)),
        _ => return Err(unknown("metric", "psnr, ssim or ms_ssim", name)),
    };
    let (reference, clip) = (take(reference)?, take(clip)?);
    let value = py.detach(move || {
        caught(|| metric.update(&reference, &clip).map(|()| metric.value()).map_err(|error| error.to_string()))
    });
    value.and_then(|value| value).map_err(InputError::new_err)
}
