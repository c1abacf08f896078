//! LPIPS as a metric of videos.

use std::rc::Rc;

use tch::{Tensor, no_grad};
use vidtok_core::{Metric, MetricError};

use crate::frames::{check_pair, images};
use crate::lpips::Lpips;
use crate::mean::Mean;

/// The mean over frames of [`Lpips`]; equal frames have 0.
#[derive(Clone, Debug)]
pub struct LpipsMetric {
    lpips: Rc<Lpips>,
    mean: Mean,
}

impl LpipsMetric {
    /// The metric with this network, which a loss may share.
    #[must_use]
    pub fn new(lpips: Rc<Lpips>) -> Self {
        Self { lpips, mean: Mean::default() }
    }
}

impl LpipsMetric {
    /// The distance of each frame, `[b, t]`, of two videos `[b, 3, t, h, w]` in [0, 1].
    ///
    /// # Errors
    /// If the shapes differ or frames are too small for the network.
    pub fn frames(&self, target: &Tensor, reconstruction: &Tensor) -> Result<Tensor, MetricError> {
        check_pair(self.name(), target, reconstruction, self.lpips.net.least_side())?;
        let size = target.size();
        let distances = self.distances(&images(target), &images(reconstruction), Lpips::chunk(size[3], size[4]))?;
        Ok(distances.view([size[0], size[2]]))
    }

    /// The distance of each pair of images `[n, 3, h, w]` in [0, 1], `chunk` pairs at a time.
    fn distances(&self, x: &Tensor, y: &Tensor, chunk: i64) -> Result<Tensor, MetricError> {
        let pairs = x.split(chunk, 0).into_iter().zip(y.split(chunk, 0));
        let distance = |(x, y): (Tensor, Tensor)| no_grad(|| self.lpips.forward(&(x * 2.0 - 1.0), &(y * 2.0 - 1.0)));
        Ok(Tensor::cat(&pairs.map(distance).collect::<Result<Vec<_>, _>>()?, 0))
    }
}

impl Metric for LpipsMetric {
    fn name(&self) -> &'static str {
        self.lpips.net.metric_name()
    }

    fn update(&mut self, target: &Tensor, reconstruction: &Tensor) -> Result<(), MetricError> {
        self.mean.add(&self.frames(target, reconstruction)?);
        Ok(())
    }

    fn value(&self) -> Option<f64> {
        self.mean.value()
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};
    use vidtok_torch::ParamPath;

    use super::*;
    use crate::lpips::network::LpipsNet;

    #[test]
    fn chunks_give_what_all_frames_at_once_give() {
        tch::manual_seed(0);
        let lpips = Lpips::new(&ParamPath::fresh(Device::Cpu), LpipsNet::Alex);
        let mut metric = LpipsMetric::new(Rc::new(lpips));
        let video = || Tensor::rand([1, 3, 5, 32, 40], (Kind::Float, Device::Cpu));
        let (x, y) = (video(), video());
        let [twos, all] = [2, 9].map(|chunk| metric.distances(&images(&x), &images(&y), chunk).unwrap());
        assert_eq!(twos.size(), [5]);
        assert!((&twos - &all).abs().max().double_value(&[]) < 1e-6);

        metric.update(&x, &y).unwrap();
        metric.update(&x, &x).unwrap();
        let expected = all.sum(Kind::Double).double_value(&[]) / 10.0;
        assert!((metric.value().unwrap() - expected).abs() < 1e-6);
        assert!(metric.update(&x, &y.narrow(4, 0, 30)).is_err());
    }
}
