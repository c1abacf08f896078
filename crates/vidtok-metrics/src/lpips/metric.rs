//! LPIPS as a metric of videos.

use std::rc::Rc;

use tch::{Tensor, no_grad};
use vidtok_core::MetricError;

use crate::frame::FrameMetric;
use crate::frame::video::{check_pair, images};
use crate::lpips::Lpips;

/// The [`Lpips`] distance of each frame; equal frames have 0.
#[derive(Clone, Debug)]
pub struct LpipsMetric {
    lpips: Rc<Lpips>,
}

impl LpipsMetric {
    /// The metric with this network, which a loss may share.
    #[must_use]
    pub fn new(lpips: Rc<Lpips>) -> Self {
        Self { lpips }
    }

    /// The distance of each pair of images `[n, 3, h, w]` in [0, 1], computed for `chunk` pairs at a time.
    fn distances(&self, x: &Tensor, y: &Tensor, chunk: i64) -> Result<Tensor, MetricError> {
        let pairs = x.split(chunk, 0).into_iter().zip(y.split(chunk, 0));
        let distance = |(x, y): (Tensor, Tensor)| no_grad(|| self.lpips.forward(&(x * 2.0 - 1.0), &(y * 2.0 - 1.0)));
        Ok(Tensor::cat(&pairs.map(distance).collect::<Result<Vec<_>, _>>()?, 0))
    }
}

impl FrameMetric for LpipsMetric {
    fn name(&self) -> &'static str {
        self.lpips.net().metric_name()
    }

    fn frames(&self, target: &Tensor, reconstruction: &Tensor) -> Result<Tensor, MetricError> {
        check_pair(self.name(), target, reconstruction, self.lpips.net().least_side())?;
        let size = target.size();
        let distances = self.distances(&images(target), &images(reconstruction), self.lpips.chunk(size[3], size[4]))?;
        Ok(distances.view([size[0], size[2]]))
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};
    use vidtok_torch::ParamPath;

    use super::*;
    use crate::lpips::network::LpipsNet;

    #[test]
    fn chunks_have_the_same_distances_as_all_frames_at_once() {
        tch::manual_seed(0);
        let lpips = Lpips::new(&ParamPath::fresh(Device::Cpu), LpipsNet::Alex);
        let metric = LpipsMetric::new(Rc::new(lpips));
        let video = || Tensor::rand([1, 3, 5, 32, 40], (Kind::Float, Device::Cpu));
        let (x, y) = (video(), video());
        let [twos, all] = [2, 9].map(|chunk| metric.distances(&images(&x), &images(&y), chunk).unwrap());
        assert_eq!(twos.size(), [5]);
        assert!((&twos - &all).abs().max().double_value(&[]) < 1e-6);

        let frames = metric.frames(&x, &y).unwrap();
        assert_eq!(frames.size(), [1, 5]);
        assert!((frames.flatten(0, 1) - &all).abs().max().double_value(&[]) < 1e-6);
        assert!(metric.frames(&x, &y.narrow(4, 0, 30)).is_err());
    }
}
