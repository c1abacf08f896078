//! Whether a video that was coded in chunks shows where they meet.

use tch::Tensor;
use vidtok_core::{Metric, MetricError};

use crate::flicker::Flicker;
use crate::mean::Mean;

const NAME: &str = "seam";

/// [`Flicker`] across the borders of windows, divided by the one inside them: 1 if borders do not show.
#[derive(Debug, Default)]
pub struct Seam {
    across: Mean,
    inside: Mean,
    /// The last frames of the window before, `[b, c, 1, h, w]`.
    last: Option<[Tensor; 2]>,
}

impl Seam {
    /// The errors across the border, `[b, 1]`, from the last frames of two windows, `[b, c, 1, h, w]`, to the first of
    /// the next.
    ///
    /// # Errors
    /// If the shapes differ.
    pub fn border(last: &[Tensor; 2], target: &Tensor, reconstruction: &Tensor) -> Result<Tensor, MetricError> {
        let first = [target, reconstruction].map(|window| window.slice(2, None, 1, 1));
        for (last, first) in last.iter().zip(&first) {
            if last.size() != first.size() {
                let expected = format!("a window that goes on from frames of shape {:?}", last.size());
                return Err(MetricError { metric: NAME, expected, found: format!("{:?}", target.size()) });
            }
        }
        let [x, y] = [0, 1].map(|side| Tensor::cat(&[&last[side], &first[side]], 2));
        Flicker::frames(&x, &y)
    }

    /// Ends the video; the next window is not behind the last.
    pub fn next_video(&mut self) {
        self.last = None;
    }

    /// The measure of the two means; 1 where both are the same.
    #[must_use]
    pub fn ratio(across: f64, inside: f64) -> f64 {
        if across == inside { 1.0 } else { across / inside }
    }
}

impl Metric for Seam {
    fn name(&self) -> &'static str {
        NAME
    }

    /// Takes the next window of a video (of several, side by side, if b > 1).
    fn update(&mut self, target: &Tensor, reconstruction: &Tensor) -> Result<(), MetricError> {
        let inside = Flicker::frames(target, reconstruction)?;
        if target.size()[2] == 0 {
            return Ok(());
        }
        if let Some(last) = &self.last {
            self.across.add(&Self::border(last, target, reconstruction)?);
        }
        self.inside.add(&inside);
        self.last = Some([target, reconstruction].map(last_frame));
        Ok(())
    }

    /// `None` before the first border.
    fn value(&self) -> Option<f64> {
        Some(Self::ratio(self.across.value()?, self.inside.value()?))
    }
}

/// The last frame of a window, `[b, c, 1, h, w]`, without the window's memory.
fn last_frame(window: &Tensor) -> Tensor {
    window.narrow(2, window.size()[2] - 1, 1).copy()
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    fn flat(levels: &[f32]) -> Tensor {
        Tensor::from_slice(levels).view([1, 1, -1, 1, 1]).expand([1, 3, levels.len() as i64, 4, 4], false)
    }

    #[test]
    fn steps_at_borders_are_told_from_steps_inside() {
        let black = Tensor::zeros([1, 3, 3, 4, 4], (Kind::Float, Device::Cpu));
        let mut seam = Seam::default();
        seam.update(&black, &flat(&[0.0, 0.1, 0.2])).unwrap();
        assert_eq!(seam.value(), None);
        seam.update(&black, &flat(&[0.5, 0.6, 0.7])).unwrap();
        assert!((seam.value().unwrap() - 3.0).abs() < 1e-5);
        // Between videos there is no border.
        seam.next_video();
        seam.update(&black, &flat(&[0.0, 0.1, 0.2])).unwrap();
        assert!((seam.value().unwrap() - 3.0).abs() < 1e-5);
    }

    #[test]
    fn a_perfect_reconstruction_has_no_seam() {
        let mut seam = Seam::default();
        let video = Tensor::rand([1, 3, 4, 4, 4], (Kind::Float, Device::Cpu));
        seam.update(&video, &video).unwrap();
        seam.update(&video, &video).unwrap();
        assert_eq!(seam.value(), Some(1.0));
    }

    #[test]
    fn single_frames_and_none_are_windows_too() {
        let black = |count: i64| Tensor::zeros([1, 3, count, 4, 4], (Kind::Float, Device::Cpu));
        let mut seam = Seam::default();
        seam.update(&black(2), &flat(&[0.0, 0.2])).unwrap();
        seam.update(&black(0), &flat(&[])).unwrap();
        seam.update(&black(1), &flat(&[0.1])).unwrap();
        assert!((seam.value().unwrap() - 0.5).abs() < 1e-5);
    }

    #[test]
    fn windows_of_two_sizes_are_an_error() {
        let mut seam = Seam::default();
        let video = |w| Tensor::zeros([1, 3, 2, 4, w], (Kind::Float, Device::Cpu));
        seam.update(&video(4), &video(4)).unwrap();
        let error = seam.update(&video(5), &video(5)).unwrap_err().to_string();
        assert_eq!(
            error,
            "seam: expected a window that goes on from frames of shape [1, 3, 1, 4, 4], found [1, 3, 2, 4, 5]"
        );
    }
}
