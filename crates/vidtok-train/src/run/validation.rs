//! Measures a model on fixed clips during training.

use std::rc::Rc;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};
use vidtok::{EncodeOptions, Tokenizer};
use vidtok_data::to_unit_range;
use vidtok_metrics::{Lpips, LpipsNet, MetricKind, MetricNetworks, MetricSet, RunningMetrics};

use crate::error::TrainError;

/// The results of a validation; means over all frames of all clips.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Mean of |x - y| + weight * LPIPS with the weight of the training loss; without the second term if `lpips` is `None`,
    /// and always without losses of your own.
    pub rec: f64,
    /// PSNR in dB.
    pub psnr: f64,
    /// SSIM; `None` if the frames are smaller than its window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssim: Option<f64>,
    /// LPIPS (VGG16); `None` if its weights were not fetched or the frames are too small for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lpips: Option<f64>,
    /// The number of different codes used; `None` for continuous models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codes: Option<usize>,
    /// The number of tokens; `None` for continuous models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// The entropy of the codes in bits; `None` for continuous models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_entropy: Option<f64>,
}

/// The results of a validation of the model and of its averaged weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Steps taken before it.
    pub step: u64,
    /// The model with its own weights.
    pub model: Scores,
    /// The model with the moving averages of its weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema: Option<Scores>,
}

impl Validation {
    /// The number by which the best model is chosen.
    pub(crate) fn rec(&self) -> f64 {
        self.model.rec
    }
}

/// Measures models on fixed clips.
#[derive(Debug)]
pub struct Validator {
    clips: Vec<Tensor>,
    metrics: MetricSet,
    perceptual_weight: f64,
}

impl Validator {
    /// A validator on these clips, each `[1, 3, t, h, w]` in [-1, 1]. `perceptual_weight` is the weight of LPIPS in the
    /// training loss. Metrics for which all clips are too small are left out.
    #[must_use]
    pub fn new(clips: Vec<Tensor>, lpips: Option<Rc<Lpips>>, perceptual_weight: f64) -> Self {
        let side = |clip: &Tensor| clip.size().iter().rev().take(2).copied().min().unwrap_or_default();
        let largest = clips.iter().map(side).max().unwrap_or_default();
        let lpips_kind = lpips.as_ref().map(|lpips| lpips_kind(lpips.net()));
        let kinds = [MetricKind::Psnr, MetricKind::Ssim].into_iter().chain(lpips_kind);
        // If only some clips are too small, measuring them is an error: a mean over the others would pass for that of all.
        let kinds: Vec<MetricKind> = kinds.filter(|kind| kind.min_side() <= largest).collect();
        let networks = MetricNetworks { lpips: lpips.into_iter().collect(), i3d: None };
        Self { clips, metrics: MetricSet::new(&kinds, networks), perceptual_weight }
    }

    /// The clips.
    pub fn clips(&self) -> &[Tensor] {
        &self.clips
    }

    /// The scores of the model and its reconstructions, on the CPU; `None` without clips.
    ///
    /// # Errors
    /// If the model cannot process a clip, its output is not finite, or only some of the clips are too small for a metric.
    pub fn measure(&self, tokenizer: &Tokenizer) -> Result<Option<(Scores, Vec<Tensor>)>, TrainError> {
        self.measure_unless(&|| false, tokenizer)
    }

    /// [`measure`](Self::measure), but `None` also if `stopped` returns true before the last clip.
    pub(crate) fn measure_unless(
        &self,
        stopped: &dyn Fn() -> bool,
        tokenizer: &Tokenizer,
    ) -> Result<Option<(Scores, Vec<Tensor>)>, TrainError> {
        if self.clips.is_empty() {
            return Ok(None);
        }
        let mut metrics = self.metrics.start();
        let mut l1 = 0.0;
        let mut reconstructions = Vec::with_capacity(self.clips.len());
        for clip in &self.clips {
            if stopped() {
                return Ok(None);
            }
            let clip = clip.to_device(tokenizer.device());
            let encoded = tokenizer.encode(&clip, EncodeOptions::default())?;
            let reconstruction = tokenizer.decode(&encoded)?;
            l1 += (&clip - &reconstruction).abs().mean(Kind::Float).double_value(&[]);
            metrics.update(&to_unit_range(&clip), &to_unit_range(&reconstruction))?;
            if let Some(indices) = &encoded.indices {
                metrics.update_codes(indices);
            }
            reconstructions.push(reconstruction.to_device(Device::Cpu));
        }
        Ok(Some((self.scores(l1 / self.clips.len() as f64, &metrics), reconstructions)))
    }

    fn scores(&self, l1: f64, metrics: &RunningMetrics) -> Scores {
        let lpips = [MetricKind::LpipsVgg, MetricKind::LpipsAlex].into_iter().find_map(|kind| metrics.value(kind));
        let codes = Some(metrics.codes()).filter(|codes| codes.total() > 0);
        Scores {
            rec: l1 + self.perceptual_weight * lpips.unwrap_or(0.0),
            psnr: metrics.value(MetricKind::Psnr).unwrap_or(0.0),
            ssim: metrics.value(MetricKind::Ssim),
            lpips,
            codes: codes.map(|codes| codes.used()),
            tokens: codes.map(|codes| codes.total()),
            code_entropy: codes.map(|codes| codes.entropy_bits()),
        }
    }
}

fn lpips_kind(net: LpipsNet) -> MetricKind {
    match net {
        LpipsNet::Vgg => MetricKind::LpipsVgg,
        LpipsNet::Alex => MetricKind::LpipsAlex,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use vidtok::Config;
    use vidtok_torch::ParamPath;

    use super::*;

    fn tokenizer() -> Tokenizer {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/tiny_kl.toml");
        Tokenizer::init(Config::load(&path, &[]).unwrap(), 0, Device::Cpu).unwrap()
    }

    fn measure(tokenizer: &Tokenizer, sides: &[i64], lpips: bool) -> Result<Scores, TrainError> {
        let clip = |&side: &i64| Tensor::zeros([1, 3, 3, side, side], (Kind::Float, Device::Cpu));
        let lpips = lpips.then(|| Rc::new(Lpips::new(&ParamPath::fresh(Device::Cpu), LpipsNet::Vgg)));
        let validator = Validator::new(sides.iter().map(clip).collect(), lpips, 1.0);
        validator.measure(tokenizer).map(|results| results.unwrap().0)
    }

    #[test]
    fn a_metric_for_which_only_some_clips_are_too_small_is_an_error() {
        let tokenizer = tokenizer();
        assert!(measure(&tokenizer, &[16, 16], false).unwrap().ssim.is_some());
        assert_eq!(measure(&tokenizer, &[8, 8], false).unwrap().ssim, None);
        for mixed in [[16, 8], [8, 16]] {
            let error = measure(&tokenizer, &mixed, false).unwrap_err().to_string();
            assert!(error.starts_with("ssim: expected") && error.contains("8, 8"), "{error}");
        }
    }

    #[test]
    fn rec_includes_lpips_exactly_if_it_is_measured() {
        let tokenizer = tokenizer();
        let [without, with] = [false, true].map(|lpips| measure(&tokenizer, &[16], lpips).unwrap());
        assert!(without.lpips.is_none() && with.lpips.is_some_and(|lpips| lpips != 0.0));
        assert!((with.rec - without.rec - with.lpips.unwrap()).abs() < 1e-6, "{with:?} {without:?}");
        assert_eq!(measure(&tokenizer, &[8], true).unwrap().lpips, None);
    }
}
