//! Whether a video that was coded in windows shows where they meet.

use tch::Tensor;
use vidtok_core::{Metric, MetricError, Samples};

use crate::frame::flicker::Flicker;
use crate::frame::{FrameMetric, mean, stored, to_vec};

const NAME: &str = "seam";
/// The sample of the errors across borders; those inside windows are the samples of [`Flicker`].
const BORDERS: &str = "borders";

/// [`Flicker`] across the borders of windows, divided by the flicker inside them: 1 if the borders do not show.
#[derive(Debug, Default)]
pub struct Seam {
    across: Vec<f64>,
    inside: Vec<f64>,
    /// The last frames of the previous window, `[1, c, 1, h, w]`.
    last: Option<[Tensor; 2]>,
}

impl Seam {
    /// Ends the video: the next window does not continue the last one.
    pub fn next_video(&mut self) {
        self.last = None;
    }

    /// The errors across the border, `[1, 1]`, between the last frames of two windows, `[1, c, 1, h, w]`, and the first
    /// frames of the next.
    fn border(last: &[Tensor; 2], target: &Tensor, reconstruction: &Tensor) -> Result<Tensor, MetricError> {
        let first = [target, reconstruction].map(|window| window.slice(2, None, 1, 1));
        for (last, first) in last.iter().zip(&first) {
            if last.size() != first.size() {
                let expected = format!("a window that continues frames of shape {:?}", last.size());
                return Err(MetricError { metric: NAME, expected, found: format!("{:?}", target.size()) });
            }
        }
        let [x, y] = [0, 1].map(|side| Tensor::cat(&[&last[side], &first[side]], 2));
        Flicker.frames(&x, &y)
    }
}

impl Metric for Seam {
    fn name(&self) -> &'static str {
        NAME
    }

    /// Measures the next windows of a video, `[b, c, t, h, w]`; the b windows follow each other.
    fn update(&mut self, target: &Tensor, reconstruction: &Tensor) -> Result<(), MetricError> {
        let inside = Flicker.frames(target, reconstruction)?;
        if target.size()[2] == 0 {
            return Ok(());
        }
        let mut across = Vec::new();
        for index in 0..target.size()[0] {
            let [x, y] = [target, reconstruction].map(|windows| windows.narrow(0, index, 1));
            if let Some(last) = &self.last {
                // Windows of a batch have one shape, so only the first can be refused.
                across.extend(to_vec(&Self::border(last, &x, &y)?));
            }
            self.last = Some([x, y].map(|window| last_frame(&window)));
        }
        self.across.extend(across);
        self.inside.extend(to_vec(&inside));
        Ok(())
    }

    /// `None` before the first border; 1 where both means are equal, even if they are 0.
    fn value(&self) -> Option<f64> {
        let (across, inside) = (mean(&self.across)?, mean(&self.inside)?);
        Some(if across == inside { 1.0 } else { across / inside })
    }

    fn samples(&self) -> Samples {
        let samples = [(BORDERS, &self.across), (Flicker.name(), &self.inside)];
        samples.map(|(name, values)| (name.to_owned(), Tensor::from_slice(values))).into()
    }

    fn extend(&mut self, samples: &Samples) -> Result<(), MetricError> {
        let (across, inside) = (stored(samples, NAME, BORDERS)?, stored(samples, NAME, Flicker.name())?);
        self.across.extend(across);
        self.inside.extend(inside);
        self.next_video();
        Ok(())
    }
}

/// The last frame of a window, `[1, c, 1, h, w]`, in memory of its own so that the window can be freed.
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
    fn steps_at_borders_are_compared_with_steps_inside_windows() {
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
    fn windows_of_a_batch_follow_each_other() {
        let windows = [flat(&[0.0, 0.1]), flat(&[0.5, 0.6])];
        let (mut one_by_one, mut batch) = (Seam::default(), Seam::default());
        for window in &windows {
            one_by_one.update(&window.zeros_like(), window).unwrap();
        }
        let windows = Tensor::cat(&windows, 0);
        batch.update(&windows.zeros_like(), &windows).unwrap();
        assert_eq!((batch.value(), batch.across.len()), (one_by_one.value(), 1));
    }

    #[test]
    fn samples_of_two_videos_have_no_border_between_them() {
        let measured = |levels: [f32; 2]| {
            let mut seam = Seam::default();
            levels.iter().for_each(|&level| {
                let window = flat(&[level, level + 0.1]);
                seam.update(&window.zeros_like(), &window).unwrap();
            });
            seam
        };
        let mut all = measured([0.0, 0.5]);
        all.extend(&measured([0.0, 0.5]).samples()).unwrap();
        assert_eq!((all.across.len(), all.inside.len()), (2, 4));
        assert_eq!(all.value(), measured([0.0, 0.5]).value());
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
    fn windows_may_have_one_frame_or_none() {
        let black = |count: i64| Tensor::zeros([1, 3, count, 4, 4], (Kind::Float, Device::Cpu));
        let mut seam = Seam::default();
        seam.update(&black(2), &flat(&[0.0, 0.2])).unwrap();
        seam.update(&black(0), &flat(&[])).unwrap();
        seam.update(&black(1), &flat(&[0.1])).unwrap();
        assert!((seam.value().unwrap() - 0.5).abs() < 1e-5);
    }

    #[test]
    fn a_window_of_another_size_is_an_error() {
        let mut seam = Seam::default();
        let video = |w| Tensor::zeros([1, 3, 2, 4, w], (Kind::Float, Device::Cpu));
        seam.update(&video(4), &video(4)).unwrap();
        let error = seam.update(&video(5), &video(5)).unwrap_err().to_string();
        assert_eq!(
            error,
            "seam: expected a window that continues frames of shape [1, 3, 1, 4, 4], found [1, 3, 2, 4, 5]"
        );
    }
}
