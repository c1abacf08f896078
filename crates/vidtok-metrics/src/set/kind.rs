//! The metrics by name.

use serde::{Deserialize, Serialize};

use crate::frame::ms_ssim::MsSsim;
use crate::frame::ssim::Ssim;
use crate::fvd::Fvd;
use crate::lpips::network::LpipsNet;

/// A metric by its name.
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
    /// Flicker across the borders of windows, divided by the flicker inside them.
    Seam,
}

/// A text names no metric.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("metric: expected {}, found {found:?}", MetricKind::ALL.map(MetricKind::key).join(", "))]
pub struct UnknownMetric {
    /// The text.
    pub found: String,
}

impl MetricKind {
    /// All metrics.
    pub const ALL: [Self; 8] =
        [Self::Psnr, Self::Ssim, Self::MsSsim, Self::LpipsVgg, Self::LpipsAlex, Self::Fvd, Self::Flicker, Self::Seam];

    /// PSNR, SSIM and LPIPS as published, and three metrics of motion, to which those are blind.
    pub const DEFAULT: [Self; 6] = [Self::Psnr, Self::Ssim, Self::LpipsVgg, Self::Fvd, Self::Flicker, Self::Seam];

    /// The name in files and arguments.
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

    /// The name in tables.
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

    /// Whether higher values are better. (A seam is best at 1.)
    #[must_use]
    pub fn higher_is_better(self) -> bool {
        match self {
            Self::Psnr | Self::Ssim | Self::MsSsim => true,
            Self::LpipsVgg | Self::LpipsAlex | Self::Fvd | Self::Flicker | Self::Seam => false,
        }
    }

    /// The exact definition, for the stamp of an evaluation.
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

    /// The smallest height and width of frames for which it is defined.
    #[must_use]
    pub fn min_side(self) -> i64 {
        match self {
            Self::Ssim => Ssim::MIN_SIDE,
            Self::MsSsim => MsSsim::MIN_SIDE,
            Self::Psnr | Self::Fvd | Self::Flicker | Self::Seam => 1,
            Self::LpipsVgg | Self::LpipsAlex => self.lpips_net().map_or(1, LpipsNet::least_side),
        }
    }

    /// The fewest frames of a window that it can measure.
    pub(crate) fn min_frames(self) -> i64 {
        if self == Self::Fvd { Fvd::MIN_FRAMES } else { 0 }
    }

    /// The network of an LPIPS metric.
    pub(crate) fn lpips_net(self) -> Option<LpipsNet> {
        match self {
            Self::LpipsVgg => Some(LpipsNet::Vgg),
            Self::LpipsAlex => Some(LpipsNet::Alex),
            _ => None,
        }
    }
}

impl std::str::FromStr for MetricKind {
    type Err = UnknownMetric;

    fn from_str(text: &str) -> Result<Self, UnknownMetric> {
        let kind = Self::ALL.into_iter().find(|kind| kind.key() == text);
        kind.ok_or_else(|| UnknownMetric { found: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_found_by_their_keys_and_other_names_are_refused_with_the_keys() {
        for kind in MetricKind::ALL {
            assert_eq!(kind.key().parse(), Ok(kind));
        }
        let error = "psnr2".parse::<MetricKind>().unwrap_err().to_string();
        assert!(MetricKind::ALL.iter().all(|kind| error.contains(kind.key())) && error.ends_with("found \"psnr2\""));
    }
}
