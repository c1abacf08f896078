//! What is measured of one video, window after window.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};
use vidtok_core::MetricError;
use vidtok_metrics::{CodebookUse, Flicker, Fvd, I3d, Lpips, LpipsMetric, LpipsNet, MsSsim, Psnr, Seam, Ssim};

use crate::error::EvalError;
use crate::protocol::file_sha256;

/// A metric of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricKind {
    /// Peak signal-to-noise ratio in dB.
    Psnr,
    /// Structural similarity.
    Ssim,
    /// Structural similarity at five scales.
    MsSsim,
    /// LPIPS with VGG16.
    LpipsVgg,
    /// LPIPS with AlexNet.
    LpipsAlex,
    /// Frechet video distance.
    Fvd,
    /// Error of the differences between neighbouring frames.
    Flicker,
    /// That error across the borders of windows, over the one inside.
    Seam,
}

impl MetricKind {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Psnr, Self::Ssim, Self::MsSsim, Self::LpipsVgg, Self::LpipsAlex, Self::Fvd, Self::Flicker, Self::Seam];

    /// The published three, and what they do not see.
    pub const DEFAULT: [Self; 6] = [Self::Psnr, Self::Ssim, Self::LpipsVgg, Self::Fvd, Self::Flicker, Self::Seam];

    /// Its name in files and arguments.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Psnr => "psnr",
            Self::Ssim => "ssim",
            Self::MsSsim => "ms_ssim",
            Self::LpipsVgg => "lpips_vgg",
            Self::LpipsAlex => "lpips_alex",
            Self::Fvd => "fvd",
            Self::Flicker => "flicker",
            Self::Seam => "seam",
        }
    }

    /// Its name in tables.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Psnr => "PSNR",
            Self::Ssim => "SSIM",
            Self::MsSsim => "MS-SSIM",
            Self::LpipsVgg => "LPIPS (VGG)",
            Self::LpipsAlex => "LPIPS (Alex)",
            Self::Fvd => "FVD",
            Self::Flicker => "Flicker",
            Self::Seam => "Seam",
        }
    }

    /// Whether more of it is better.
    #[must_use]
    pub fn higher_is_better(self) -> bool {
        matches!(self, Self::Psnr | Self::Ssim | Self::MsSsim)
    }

    /// What it is exactly, for the stamp.
    #[must_use]
    pub fn definition(self) -> &'static str {
        match self {
            Self::Psnr => "mean over frames of -10 log10(mse + 1e-8) on [0, 1]",
            Self::Ssim => {
                "11x11 Gaussian, sigma 1.5, valid windows, k 0.01 and 0.03, average-pooled by max(1, round(min(h, w) / 256))"
            }
            Self::MsSsim => "Wang et al. 2003, five scales, 11x11 Gaussian, valid windows",
            Self::LpipsVgg => "LPIPS 0.1, VGG16, mean over frames",
            Self::LpipsAlex => "LPIPS 0.1, AlexNet, mean over frames",
            Self::Fvd => {
                "Frechet distance of I3D logits (Kinetics-400), a sample a window, 224x224 bilinear, covariance over n - 1"
            }
            Self::Flicker => "mean of |(y[t+1] - y[t]) - (x[t+1] - x[t])| on [0, 1] inside windows",
            Self::Seam => "the same across the borders of windows, divided by flicker",
        }
    }

    fn net(self) -> Option<LpipsNet> {
        match self {
            Self::LpipsVgg => Some(LpipsNet::Vgg),
            Self::LpipsAlex => Some(LpipsNet::Alex),
            _ => None,
        }
    }
}

impl std::str::FromStr for MetricKind {
    type Err = EvalError;

    fn from_str(text: &str) -> Result<Self, EvalError> {
        const EXPECTED: &str = "psnr, ssim, ms_ssim, lpips_vgg, lpips_alex, fvd, flicker or seam";
        Self::ALL
            .into_iter()
            .find(|kind| kind.key() == text)
            .ok_or_else(|| EvalError::setting("metric", EXPECTED, format!("{text:?}")))
    }
}

/// The metrics of an evaluation with their networks, loaded once.
#[derive(Debug)]
pub struct InstrumentSet {
    kinds: Vec<MetricKind>,
    lpips: Vec<(MetricKind, LpipsMetric)>,
    i3d: Option<I3d>,
}

impl InstrumentSet {
    /// Loads what `kinds` need.
    ///
    /// # Errors
    /// If weights were not fetched.
    pub fn load(kinds: &[MetricKind], device: Device) -> Result<Self, EvalError> {
        let mut lpips = Vec::new();
        for &kind in kinds {
            if let Some(net) = kind.net() {
                lpips.push((kind, LpipsMetric::new(Lpips::locate(net, device)?.into())));
            }
        }
        let i3d = kinds.contains(&MetricKind::Fvd).then(|| I3d::locate(device)).transpose()?;
        Ok(Self { kinds: kinds.to_vec(), lpips, i3d })
    }

    /// The sha256 of the weights' files, by metric.
    ///
    /// # Errors
    /// If one is gone.
    pub fn weights(&self) -> Result<BTreeMap<&'static str, String>, EvalError> {
        let mut hashes = BTreeMap::new();
        for kind in &self.kinds {
            let file = match kind {
                MetricKind::Fvd => I3d::weights_file()?,
                other => match other.net() {
                    Some(net) => net.weights_file()?,
                    None => continue,
                },
            };
            hashes.insert(kind.key(), file_sha256(&file)?);
        }
        Ok(hashes)
    }

    /// Begins a video.
    #[must_use]
    pub fn start(&self) -> Instruments<'_> {
        Instruments { set: self, measures: Measures::default(), last: None }
    }

    /// The features `[b, 400]` that FVD compares, of clips `[b, 3, t, h, w]` in [0, 1]; none if it is not wanted or the
    /// clips are too short for it.
    ///
    /// # Errors
    /// If they are no clips.
    pub fn features(&self, clips: &Tensor) -> Result<Option<Tensor>, EvalError> {
        match &self.i3d {
            Some(i3d) if clips.size()[2] >= Fvd::MIN_FRAMES => Ok(Some(Fvd::features(i3d, clips)?)),
            _ => Ok(None),
        }
    }
}

/// What was measured of a video by one codec.
#[derive(Debug, Default)]
pub struct Measures {
    /// A value a frame, of the metrics that have them; flicker has one less in each window.
    pub series: BTreeMap<MetricKind, Vec<f64>>,
    /// Errors of the differences across borders of windows.
    pub borders: Vec<f64>,
    /// Features of the windows `[n, 400]`, float32: of the video, and as it came back.
    pub features: Option<[Tensor; 2]>,
    /// The codes; none of continuous codecs.
    pub codes: CodebookUse,
}

impl Measures {
    /// The first value that is NaN or infinite, and whose.
    #[must_use]
    pub fn not_finite(&self) -> Option<(MetricKind, f64)> {
        let faulty = |(&kind, values): (&MetricKind, &Vec<f64>)| {
            values.iter().find(|value| !value.is_finite()).map(|value| (kind, *value))
        };
        let border = self.borders.iter().find(|value| !value.is_finite()).map(|value| (MetricKind::Seam, *value));
        let features = self.features.iter().flatten().any(|x| x.isfinite().all().int64_value(&[]) == 0);
        let features = features.then_some((MetricKind::Fvd, f64::NAN));
        self.series.iter().find_map(faulty).or(border).or(features)
    }
}

/// Measures windows of a video in their order.
#[derive(Debug)]
pub struct Instruments<'a> {
    set: &'a InstrumentSet,
    measures: Measures,
    /// The last frames of the window before, `[1, 3, 1, h, w]`.
    last: Option<[Tensor; 2]>,
}

impl Instruments<'_> {
    /// Takes the next windows `[b, 3, t, h, w]` of the video in [0, 1], and as they came back. `features` are those of
    /// the first, if they are known.
    ///
    /// # Errors
    /// If a metric is not defined for frames so small.
    pub fn update(
        &mut self,
        target: &Tensor,
        reconstruction: &Tensor,
        features: Option<&Tensor>,
    ) -> Result<(), EvalError> {
        for &kind in &self.set.kinds {
            let values = match kind {
                MetricKind::Psnr => Psnr::frames(target, reconstruction),
                MetricKind::Ssim => Ssim::frames(target, reconstruction)?,
                MetricKind::MsSsim => MsSsim::frames(target, reconstruction)?,
                MetricKind::LpipsVgg | MetricKind::LpipsAlex => {
                    let found = self.set.lpips.iter().find(|(found, _)| *found == kind);
                    let Some((_, lpips)) = found else { continue };
                    lpips.frames(target, reconstruction)?
                }
                MetricKind::Flicker => Flicker::frames(target, reconstruction)?,
                MetricKind::Seam => {
                    self.borders(target, reconstruction)?;
                    if self.set.kinds.contains(&MetricKind::Flicker) {
                        continue;
                    }
                    // What borders are compared with.
                    let inside = Flicker::frames(target, reconstruction)?;
                    self.measures.series.entry(MetricKind::Flicker).or_default().extend(to_vec(&inside));
                    continue;
                }
                MetricKind::Fvd => {
                    self.features(features, target, reconstruction)?;
                    continue;
                }
            };
            self.measures.series.entry(kind).or_default().extend(to_vec(&values));
        }
        Ok(())
    }

    /// Counts codes.
    pub fn count(&mut self, indices: &Tensor) {
        self.measures.codes.update(indices);
    }

    /// What came together.
    #[must_use]
    pub fn finish(self) -> Measures {
        self.measures
    }

    fn borders(&mut self, target: &Tensor, reconstruction: &Tensor) -> Result<(), MetricError> {
        for index in 0..target.size()[0] {
            let [x, y] = [target, reconstruction].map(|video| video.narrow(0, index, 1));
            if let Some(last) = &self.last {
                self.measures.borders.extend(to_vec(&Seam::border(last, &x, &y)?));
            }
            let last = target.size()[2] - 1;
            self.last = Some([x, y].map(|video| video.narrow(2, last, 1).copy()));
        }
        Ok(())
    }

    fn features(&mut self, known: Option<&Tensor>, target: &Tensor, reconstruction: &Tensor) -> Result<(), EvalError> {
        let before = match known {
            Some(known) => Some(known.shallow_clone()),
            None => self.set.features(target)?,
        };
        let (Some(before), Some(after)) = (before, self.set.features(reconstruction)?) else { return Ok(()) };
        self.measures.features = Some(match self.measures.features.take() {
            Some([x, y]) => [Tensor::cat(&[x, before], 0), Tensor::cat(&[y, after], 0)],
            None => [before, after],
        });
        Ok(())
    }
}

/// All values in order.
fn to_vec(values: &Tensor) -> impl Iterator<Item = f64> {
    let flat = values.detach().to_device(Device::Cpu).to_kind(Kind::Double).flatten(0, -1);
    (0..flat.size()[0]).map(move |index| flat.double_value(&[index]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_measured_is_looked_at_for_nan_and_infinity() {
        let series = |values: &[f64]| Measures {
            series: BTreeMap::from([(MetricKind::Psnr, vec![30.0]), (MetricKind::Ssim, values.to_vec())]),
            ..Measures::default()
        };
        assert_eq!(series(&[0.5, 1.0]).not_finite(), None);
        assert!(matches!(series(&[0.5, f64::NAN]).not_finite(), Some((MetricKind::Ssim, value)) if value.is_nan()));
        let borders = Measures { borders: vec![0.0, f64::INFINITY], ..Measures::default() };
        assert_eq!(borders.not_finite(), Some((MetricKind::Seam, f64::INFINITY)));
        let logits = Tensor::zeros([2, 400], (Kind::Float, Device::Cpu));
        let features = |x: f64| Measures { features: Some([logits.copy(), &logits + x]), ..Measures::default() };
        assert_eq!(features(1.0).not_finite(), None);
        assert!(matches!(features(f64::NAN).not_finite(), Some((MetricKind::Fvd, _))));
    }
}
