//! Measuring a model on fixed clips while it is trained.

use std::rc::Rc;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use vidtok::{EncodeOptions, Tokenizer};
use vidtok_core::{Metric, MetricError};
use vidtok_data::to_unit_range;
use vidtok_metrics::{CodebookUse, Lpips, LpipsMetric, Psnr, Ssim};

use crate::error::TrainError;

/// What is measured on the clips; means over all frames.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Mean of |x - y| + weight * LPIPS, with the weight of the training loss; without that term where `lpips` is none.
    pub rec: f64,
    /// PSNR in dB.
    pub psnr: f64,
    /// SSIM; none for frames smaller than its window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssim: Option<f64>,
    /// LPIPS (VGG16); none without its weights or for frames too small for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lpips: Option<f64>,
    /// Different codes used; discrete models only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codes: Option<usize>,
    /// Tokens among which they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Their entropy in bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_entropy: Option<f64>,
}

/// A look at a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Steps taken before.
    pub step: u64,
    /// With its weights.
    pub model: Scores,
    /// With their moving averages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema: Option<Scores>,
}

impl Validation {
    /// What is compared to find the best.
    pub(crate) fn rec(&self) -> f64 {
        self.model.rec
    }
}

/// The clips to look at, and the instruments.
#[derive(Debug)]
pub struct Validator {
    clips: Vec<Tensor>,
    lpips: Option<Rc<Lpips>>,
    perceptual_weight: f64,
}

impl Validator {
    /// Measures on these clips, each `[1, 3, t, h, w]` in [-1, 1]. `perceptual_weight` is that of LPIPS in the training
    /// loss.
    #[must_use]
    pub fn new(clips: Vec<Tensor>, lpips: Option<Rc<Lpips>>, perceptual_weight: f64) -> Self {
        Self { clips, lpips, perceptual_weight }
    }

    /// The clips.
    pub fn clips(&self) -> &[Tensor] {
        &self.clips
    }

    /// The model's numbers, and its reconstructions on the CPU; none without clips.
    ///
    /// # Errors
    /// If a clip has another shape, the model gives numbers that are not finite, or some of the clips are too small for a
    /// metric and others are not.
    pub fn measure(&self, tokenizer: &Tokenizer) -> Result<Option<(Scores, Vec<Tensor>)>, TrainError> {
        self.measure_unless(&|| false, tokenizer)
    }

    /// The same; none also if `stopped` says so before the last clip.
    pub(crate) fn measure_unless(
        &self,
        stopped: &dyn Fn() -> bool,
        tokenizer: &Tokenizer,
    ) -> Result<Option<(Scores, Vec<Tensor>)>, TrainError> {
        if self.clips.is_empty() {
            return Ok(None);
        }
        let mut instruments = Instruments::new(self.lpips.as_ref());
        let mut reconstructions = Vec::with_capacity(self.clips.len());
        for clip in &self.clips {
            if stopped() {
                return Ok(None);
            }
            let clip = clip.to_device(tokenizer.device());
            let encoded = tokenizer.encode(&clip, EncodeOptions::default())?;
            let reconstruction = tokenizer.decode(&encoded)?;
            instruments.update(&clip, &reconstruction, encoded.indices.as_ref())?;
            reconstructions.push(reconstruction.to_device(tch::Device::Cpu));
        }
        Ok(Some((instruments.quality(self.perceptual_weight)?, reconstructions)))
    }
}

struct Instruments {
    l1: f64,
    clips: usize,
    psnr: Psnr,
    ssim: IfLarge<Ssim>,
    lpips: Option<IfLarge<LpipsMetric>>,
    codes: CodebookUse,
}

/// A metric that is not defined for small frames: it has no value if all clips are too small. A mean over some of them
/// would be taken for that of all.
#[derive(Default)]
struct IfLarge<M> {
    metric: M,
    refused: Option<MetricError>,
}

impl<M: Metric> IfLarge<M> {
    fn new(metric: M) -> Self {
        Self { metric, refused: None }
    }

    fn update(&mut self, target: &Tensor, reconstruction: &Tensor) {
        if let Err(error) = self.metric.update(target, reconstruction) {
            self.refused.get_or_insert(error);
        }
    }

    /// Its value; an error if it is not that of all clips.
    fn value(&self) -> Result<Option<f64>, MetricError> {
        match (self.metric.value(), &self.refused) {
            (Some(_), Some(refused)) => Err(refused.clone()),
            (value, _) => Ok(value),
        }
    }
}

impl Instruments {
    fn new(lpips: Option<&Rc<Lpips>>) -> Self {
        Self {
            l1: 0.0,
            clips: 0,
            psnr: Psnr::default(),
            ssim: IfLarge::default(),
            lpips: lpips.map(|lpips| IfLarge::new(LpipsMetric::new(Rc::clone(lpips)))),
            codes: CodebookUse::default(),
        }
    }

    fn update(&mut self, clip: &Tensor, reconstruction: &Tensor, indices: Option<&Tensor>) -> Result<(), MetricError> {
        self.l1 += (clip - reconstruction).abs().mean(Kind::Float).double_value(&[]);
        self.clips += 1;
        let [target, reconstruction] = [clip, reconstruction].map(to_unit_range);
        self.psnr.update(&target, &reconstruction)?;
        self.ssim.update(&target, &reconstruction);
        if let Some(lpips) = &mut self.lpips {
            lpips.update(&target, &reconstruction);
        }
        if let Some(indices) = indices {
            self.codes.update(indices);
        }
        Ok(())
    }

    fn quality(&self, perceptual_weight: f64) -> Result<Scores, MetricError> {
        let lpips = self.lpips.as_ref().map_or(Ok(None), IfLarge::value)?;
        let discrete = self.codes.total() > 0;
        Ok(Scores {
            rec: self.l1 / self.clips.max(1) as f64 + perceptual_weight * lpips.unwrap_or(0.0),
            psnr: self.psnr.value().unwrap_or(0.0),
            ssim: self.ssim.value()?,
            lpips,
            codes: discrete.then(|| self.codes.used()),
            tokens: discrete.then(|| self.codes.total()),
            code_entropy: discrete.then(|| self.codes.entropy_bits()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tch::Device;
    use vidtok::Config;

    use super::*;

    fn measure(sides: &[i64]) -> Result<Scores, TrainError> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/tiny_kl.toml");
        let tokenizer = Tokenizer::init(Config::load(&path, &[]).unwrap(), 0, Device::Cpu).unwrap();
        let clip = |&side: &i64| Tensor::zeros([1, 3, 3, side, side], (Kind::Float, Device::Cpu));
        let validator = Validator::new(sides.iter().map(clip).collect(), None, 1.0);
        validator.measure(&tokenizer).map(|measured| measured.unwrap().0)
    }

    #[test]
    fn a_metric_that_some_clips_are_too_small_for_is_an_error_and_not_a_mean_over_the_others() {
        assert!(measure(&[16, 16]).unwrap().ssim.is_some());
        assert_eq!(measure(&[8, 8]).unwrap().ssim, None);
        for mixed in [[16, 8], [8, 16]] {
            let error = measure(&mixed).unwrap_err().to_string();
            assert!(error.starts_with("ssim: expected") && error.contains("8, 8"), "{error}");
        }
    }
}
