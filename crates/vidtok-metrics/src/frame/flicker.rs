//! Errors of motion, which single frames do not show.

use tch::{Kind, Tensor};
use vidtok_core::MetricError;

use crate::frame::FrameMetric;
use crate::frame::video::check_pair;

/// The mean of `|(y[t+1] - y[t]) - (x[t+1] - x[t])|` on [0, 1]: 0 if the reconstruction changes over time as the target
/// does. It has a value for each frame and the next, `[b, t - 1]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flicker;

impl FrameMetric for Flicker {
    fn name(&self) -> &'static str {
        "flicker"
    }

    fn frames(&self, target: &Tensor, reconstruction: &Tensor) -> Result<Tensor, MetricError> {
        check_pair(self.name(), target, reconstruction, 1)?;
        let error = reconstruction.to_kind(Kind::Float) - target.to_kind(Kind::Float);
        let change = error.slice(2, 1, None, 1) - error.slice(2, None, -1, 1);
        Ok(change.abs().mean_dim([1_i64, 3, 4].as_slice(), false, Kind::Float))
    }
}

#[cfg(test)]
mod tests {
    use vidtok_core::Metric;

    use super::*;
    use crate::frame::FrameMean;

    /// A video of flat frames of these levels.
    fn flat(levels: &[f32]) -> Tensor {
        Tensor::from_slice(levels).view([1, 1, -1, 1, 1]).expand([1, 3, levels.len() as i64, 4, 4], false)
    }

    #[test]
    fn a_constant_offset_does_not_flicker_and_a_changing_one_does() {
        let video = flat(&[0.1, 0.5, 0.2]);
        let value = |reconstruction: &Tensor| {
            let mut flicker = FrameMean::new(Flicker);
            flicker.update(&video, reconstruction).unwrap();
            flicker.value().unwrap()
        };
        assert!(value(&(&video + 0.2)) < 1e-6);
        // The errors are 0.1, -0.1, 0: steps of 0.2 and 0.1.
        assert!((value(&flat(&[0.2, 0.4, 0.2])) - 0.15).abs() < 1e-6);
    }

    #[test]
    fn fewer_than_two_frames_have_no_flicker() {
        let mut flicker = FrameMean::new(Flicker);
        flicker.update(&flat(&[0.1]), &flat(&[0.9])).unwrap();
        flicker.update(&flat(&[]), &flat(&[])).unwrap();
        assert_eq!(flicker.value(), None);
        assert_eq!(Flicker.frames(&flat(&[]), &flat(&[])).unwrap().size(), [1, 0]);
    }
}
