//! Errors of motion: what frames alone do not show.

use tch::{Kind, Tensor};
use vidtok_core::{Metric, MetricError};

use crate::frames::check_pair;
use crate::mean::Mean;

const NAME: &str = "flicker";

/// The mean of `|(y[t+1] - y[t]) - (x[t+1] - x[t])|` on [0, 1]; 0 if all that moves, moves alike.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flicker {
    mean: Mean,
}

impl Flicker {
    /// The error between each frame and the next, `[b, t - 1]`, of two videos `[b, c, t, h, w]` in [0, 1].
    ///
    /// # Errors
    /// If the shapes differ.
    pub fn frames(target: &Tensor, reconstruction: &Tensor) -> Result<Tensor, MetricError> {
        check_pair(NAME, target, reconstruction, 1)?;
        let error = reconstruction.to_kind(Kind::Float) - target.to_kind(Kind::Float);
        let change = error.slice(2, 1, None, 1) - error.slice(2, None, -1, 1);
        Ok(change.abs().mean_dim([1_i64, 3, 4].as_slice(), false, Kind::Float))
    }
}

impl Metric for Flicker {
    fn name(&self) -> &'static str {
        NAME
    }

    fn update(&mut self, target: &Tensor, reconstruction: &Tensor) -> Result<(), MetricError> {
        self.mean.add(&Self::frames(target, reconstruction)?);
        Ok(())
    }

    /// `None` before the first two frames.
    fn value(&self) -> Option<f64> {
        self.mean.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A video of flat frames of these levels.
    fn flat(levels: &[f32]) -> Tensor {
        Tensor::from_slice(levels).view([1, 1, -1, 1, 1]).expand([1, 3, levels.len() as i64, 4, 4], false)
    }

    #[test]
    fn a_constant_offset_does_not_flicker_and_a_changing_one_does() {
        let video = flat(&[0.1, 0.5, 0.2]);
        let value = |reconstruction: &Tensor| {
            let mut flicker = Flicker::default();
            flicker.update(&video, reconstruction).unwrap();
            flicker.value().unwrap()
        };
        assert!(value(&(&video + 0.2)) < 1e-6);
        // The errors are 0.1, -0.1, 0: steps of 0.2 and 0.1.
        assert!((value(&flat(&[0.2, 0.4, 0.2])) - 0.15).abs() < 1e-6);
    }

    #[test]
    fn less_than_two_frames_have_no_flicker() {
        let mut flicker = Flicker::default();
        flicker.update(&flat(&[0.1]), &flat(&[0.9])).unwrap();
        flicker.update(&flat(&[]), &flat(&[])).unwrap();
        assert_eq!(flicker.value(), None);
        assert_eq!(Flicker::frames(&flat(&[]), &flat(&[])).unwrap().size(), [1, 0]);
    }
}
