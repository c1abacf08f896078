//! Several metrics measured together: which ones, the running metrics, and their results.

pub(crate) mod kind;

use std::path::PathBuf;
use std::rc::Rc;

use tch::{Device, Tensor};
use vidtok_core::{Metric, MetricError, Samples};

use crate::codebook::CodebookUse;
use crate::frame::FrameMean;
use crate::frame::flicker::Flicker;
use crate::frame::ms_ssim::MsSsim;
use crate::frame::psnr::Psnr;
use crate::frame::ssim::Ssim;
use crate::frame::to_vec;
use crate::fvd::Fvd;
use crate::fvd::i3d::I3d;
use crate::lpips::Lpips;
use crate::lpips::metric::LpipsMetric;
use crate::seam::Seam;
use crate::set::kind::MetricKind;
use crate::weights::WeightsError;

/// The metrics to measure, with their networks, which are loaded once.
#[derive(Clone, Debug)]
pub struct MetricSet {
    kinds: Vec<MetricKind>,
    networks: MetricNetworks,
}

/// The networks that metrics need.
#[derive(Clone, Debug, Default)]
pub struct MetricNetworks {
    /// The networks of the LPIPS metrics.
    pub lpips: Vec<Rc<Lpips>>,
    /// The network of FVD.
    pub i3d: Option<Rc<I3d>>,
}

impl MetricNetworks {
    fn lpips(&self, kind: MetricKind) -> Option<Rc<Lpips>> {
        self.lpips.iter().find(|lpips| Some(lpips.net()) == kind.lpips_net()).map(Rc::clone)
    }
}

impl MetricSet {
    /// The metrics `kinds` with networks that are already loaded. Metrics whose network is missing are left out.
    #[must_use]
    pub fn new(kinds: &[MetricKind], networks: MetricNetworks) -> Self {
        let mut set = Self { kinds: Vec::new(), networks };
        set.kinds = kinds.iter().copied().filter(|&kind| set.metric(kind, None).is_some()).collect();
        set
    }

    /// The metrics `kinds`, with the networks that `cargo xtask assets` fetched.
    ///
    /// # Errors
    /// If the weights of a network are missing or cannot be read.
    pub fn load(kinds: &[MetricKind], device: Device) -> Result<Self, WeightsError> {
        let nets = kinds.iter().filter_map(|kind| kind.lpips_net());
        let lpips = nets.map(|net| Lpips::locate(net, device).map(Rc::new)).collect::<Result<_, _>>()?;
        let i3d = kinds.contains(&MetricKind::Fvd).then(|| I3d::locate(device).map(Rc::new)).transpose()?;
        Ok(Self::new(kinds, MetricNetworks { lpips, i3d }))
    }

    /// The metrics.
    #[must_use]
    pub fn kinds(&self) -> &[MetricKind] {
        &self.kinds
    }

    /// The files of the weights that `cargo xtask assets` fetched for these metrics.
    ///
    /// # Errors
    /// If one is missing.
    pub fn weights_files(&self) -> Result<Vec<(MetricKind, PathBuf)>, WeightsError> {
        let file = |&kind: &MetricKind| match (kind, kind.lpips_net()) {
            (MetricKind::Fvd, _) => Some(I3d::weights_file()),
            (_, net) => net.map(|net| net.weights_file()),
        };
        self.kinds.iter().filter_map(|kind| Some(file(kind)?.map(|file| (*kind, file)))).collect()
    }

    /// The metrics before the first window of a video.
    #[must_use]
    pub fn start(&self) -> RunningMetrics {
        self.start_with(None)
    }

    /// The metrics before the first window of a video whose windows have known [`Fvd`] features, `[n, 400]`.
    #[must_use]
    pub fn start_with(&self, target_features: Option<&Tensor>) -> RunningMetrics {
        let metrics = self.kinds.iter().filter_map(|&kind| Some((kind, self.metric(kind, target_features)?)));
        RunningMetrics { metrics: metrics.collect(), codes: CodebookUse::default() }
    }

    /// A metric before the first frame; `None` if its network is missing.
    fn metric(&self, kind: MetricKind, target_features: Option<&Tensor>) -> Option<Box<dyn Metric>> {
        Some(match kind {
            MetricKind::Psnr => Box::new(FrameMean::new(Psnr)),
            MetricKind::Ssim => Box::new(FrameMean::new(Ssim)),
            MetricKind::MsSsim => Box::new(FrameMean::new(MsSsim)),
            MetricKind::LpipsVgg | MetricKind::LpipsAlex => {
                Box::new(FrameMean::new(LpipsMetric::new(self.networks.lpips(kind)?)))
            }
            MetricKind::Fvd => {
                let i3d = Rc::clone(self.networks.i3d.as_ref()?);
                Box::new(Fvd::new(i3d).with_target_features(target_features.map(Tensor::shallow_clone)))
            }
            MetricKind::Flicker => Box::new(FrameMean::new(Flicker)),
            MetricKind::Seam => Box::new(Seam::default()),
        })
    }
}

/// The metrics of a [`MetricSet`] while they run over a video, or over the results of many.
#[derive(Debug)]
pub struct RunningMetrics {
    metrics: Vec<(MetricKind, Box<dyn Metric>)>,
    codes: CodebookUse,
}

/// The results of a video, which can be stored and added to those of other videos.
#[derive(Debug, Default)]
pub struct MetricResults {
    /// The samples of all metrics.
    pub samples: Samples,
    /// The codes of a discrete tokenizer.
    pub codes: CodebookUse,
}

impl RunningMetrics {
    /// Measures the next windows `[b, 3, t, h, w]` of the video, in [0, 1]; the b windows follow each other. Windows that
    /// are too short for FVD do not count for it.
    ///
    /// # Errors
    /// If the shapes differ or the frames are too small for one of the metrics.
    pub fn update(&mut self, target: &Tensor, reconstruction: &Tensor) -> Result<(), MetricError> {
        let frames = target.size().get(2).copied().unwrap_or_default();
        let mut metrics = self.metrics.iter_mut().filter(|(kind, _)| frames >= kind.min_frames());
        metrics.try_for_each(|(_, metric)| metric.update(target, reconstruction))
    }

    /// Counts codebook indices of any integer kind and shape.
    pub fn update_codes(&mut self, indices: &Tensor) {
        self.codes.update(indices);
    }

    /// Adds the results of a video.
    ///
    /// # Errors
    /// If a tensor does not have the expected shape.
    pub fn extend(&mut self, results: &MetricResults) -> Result<(), MetricError> {
        self.codes.merge(&results.codes);
        self.metrics.iter_mut().try_for_each(|(_, metric)| metric.extend(&results.samples))
    }

    /// The value of a metric; `None` if it is not measured or has too few samples.
    #[must_use]
    pub fn value(&self, kind: MetricKind) -> Option<f64> {
        self.metrics.iter().find(|(found, _)| *found == kind).and_then(|(_, metric)| metric.value())
    }

    /// Why a metric has no value yet: what it expects, and what it found.
    #[must_use]
    pub fn missing(&self, kind: MetricKind) -> String {
        match kind {
            MetricKind::Fvd => Fvd::too_few(self.results().fvd_windows()),
            MetricKind::Seam => "expected a video of more than one window".to_owned(),
            MetricKind::Flicker => "expected a video of more than one frame".to_owned(),
            _ => "expected a video".to_owned(),
        }
    }

    /// The codes counted so far.
    #[must_use]
    pub fn codes(&self) -> &CodebookUse {
        &self.codes
    }

    /// The first sample that is NaN or infinite, with its metric.
    #[must_use]
    pub fn not_finite(&self) -> Option<(MetricKind, f64)> {
        self.metrics.iter().find_map(|(kind, metric)| {
            let faulty = |samples: &Tensor| samples.isfinite().all().int64_value(&[]) == 0;
            let samples = metric.samples().into_values().find(faulty)?;
            to_vec(&samples).into_iter().find(|value| !value.is_finite()).map(|value| (*kind, value))
        })
    }

    /// The results so far.
    #[must_use]
    pub fn results(&self) -> MetricResults {
        let samples = self.metrics.iter().flat_map(|(_, metric)| metric.samples()).collect();
        MetricResults { samples, codes: self.codes.clone() }
    }
}

impl MetricResults {
    /// The values of a metric of frames, in order; empty for other metrics.
    #[must_use]
    pub fn frames(&self, kind: MetricKind) -> Vec<f64> {
        self.samples.get(kind.key()).map(to_vec).unwrap_or_default()
    }

    /// The windows that FVD counts.
    #[must_use]
    pub fn fvd_windows(&self) -> i64 {
        Fvd::target_features(&self.samples).map_or(0, |features| features.size()[0])
    }
}

#[cfg(test)]
mod tests {
    use tch::Kind;
    use vidtok_torch::ParamPath;

    use super::*;
    use crate::lpips::network::LpipsNet;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn set(kinds: &[MetricKind]) -> MetricSet {
        let lpips = Lpips::new(&ParamPath::fresh(Device::Cpu), LpipsNet::Alex);
        let i3d = I3d::new(&ParamPath::fresh(Device::Cpu));
        MetricSet::new(kinds, MetricNetworks { lpips: vec![Rc::new(lpips)], i3d: Some(Rc::new(i3d)) })
    }

    #[test]
    fn every_metric_goes_by_its_key_and_one_without_its_network_is_left_out() {
        let all = set(&MetricKind::ALL);
        let expected = MetricKind::ALL.into_iter().filter(|&kind| kind != MetricKind::LpipsVgg);
        assert!(all.kinds().iter().copied().eq(expected));
        for (kind, metric) in all.start().metrics {
            assert_eq!(metric.name(), kind.key());
        }
    }

    #[test]
    fn results_of_two_videos_make_the_values_of_both() {
        let set = set(&[MetricKind::Psnr, MetricKind::LpipsAlex, MetricKind::Flicker, MetricKind::Seam]);
        let video = || Tensor::rand([2, 3, 4, 32, 36], CPU);
        let (x, y) = (video(), video());
        let measured = |windows: &[i64]| {
            let mut metrics = set.start();
            for &window in windows {
                metrics.update(&x.narrow(0, window, 1), &y.narrow(0, window, 1)).unwrap();
            }
            metrics.update_codes(&Tensor::from_slice(&[1_i64, 2]));
            metrics
        };
        let (mut all, whole) = (set.start(), measured(&[0, 1]));
        all.extend(&measured(&[0]).results()).unwrap();
        assert_eq!(all.value(MetricKind::Seam), None);
        all.extend(&measured(&[1]).results()).unwrap();
        for kind in [MetricKind::Psnr, MetricKind::LpipsAlex, MetricKind::Flicker] {
            assert_eq!(all.value(kind), whole.value(kind), "{kind:?}");
            assert_eq!(all.results().frames(kind), whole.results().frames(kind), "{kind:?}");
        }
        assert!(whole.value(MetricKind::Seam).is_some() && all.value(MetricKind::Seam).is_none());
        assert_eq!((all.codes().total(), whole.codes().total()), (4, 2));
    }

    #[test]
    fn samples_that_are_not_finite_are_found() {
        let mut metrics = set(&[MetricKind::Psnr, MetricKind::Seam, MetricKind::Fvd]).start();
        let mut add = |name: &str, samples: Tensor| {
            let results = MetricResults { samples: [(name.to_owned(), samples)].into(), ..MetricResults::default() };
            metrics.extend(&results).unwrap();
            metrics.not_finite()
        };
        assert_eq!(add("psnr", Tensor::from_slice(&[30.0, 31.0])), None);
        assert_eq!(add("borders", Tensor::from_slice(&[0.0, f64::INFINITY])), Some((MetricKind::Seam, f64::INFINITY)));
        assert!(
            matches!(add("psnr", Tensor::from_slice(&[f64::NAN])), Some((MetricKind::Psnr, value)) if value.is_nan())
        );
        let mut fvd = set(&[MetricKind::Fvd]).start();
        let features = |value: f64| Tensor::full([2, I3d::CLASSES], value, CPU);
        let samples = ["features.input", "features.reconstruction"].map(str::to_owned).into_iter();
        let samples = samples.zip([features(0.0), features(f64::NAN)]).collect();
        fvd.extend(&MetricResults { samples, ..MetricResults::default() }).unwrap();
        assert!(matches!(fvd.not_finite(), Some((MetricKind::Fvd, _))));
    }

    #[test]
    fn fvd_of_a_single_window_has_no_value_and_says_what_it_needs() {
        let mut all = set(&[MetricKind::Fvd]).start();
        let short = Tensor::zeros([1, 3, Fvd::MIN_FRAMES - 1, 16, 16], CPU);
        all.update(&short, &short).unwrap();
        for found in 0..2 {
            assert_eq!(all.value(MetricKind::Fvd), None);
            assert_eq!(
                all.missing(MetricKind::Fvd),
                format!("expected at least 2 windows of 9 frames or more, found {found}")
            );
            let logits = || Tensor::randn([1, I3d::CLASSES], CPU);
            let samples = ["features.input", "features.reconstruction"].map(|name| (name.to_owned(), logits()));
            all.extend(&MetricResults { samples: samples.into(), ..MetricResults::default() }).unwrap();
        }
        assert!(all.value(MetricKind::Fvd).is_some_and(|distance| distance > 0.0));
    }
}
