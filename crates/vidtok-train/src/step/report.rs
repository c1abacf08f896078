//! The numbers of one training step.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use tch::{Device, Kind, Tensor};
use vidtok_core::ProcessGroup;

/// The numbers of one step: means over its batches. A number that is not finite is `null` in JSON and is read as NaN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// The index of the step, from 0.
    pub step: u64,
    /// The generator's total loss.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// The negative log-likelihood, a term of the total loss.
    #[serde(deserialize_with = "number")]
    pub nll: f64,
    /// The weighted sum of the reconstruction losses: |x - y| + weight * LPIPS, unless you train with your own.
    #[serde(deserialize_with = "number")]
    pub rec: f64,
    /// The mean LPIPS distance, before its weight.
    #[serde(default, deserialize_with = "present_number", skip_serializing_if = "Option::is_none")]
    pub lpips: Option<f64>,
    /// Other reconstruction losses by name, before their weights. L1 is not listed: it is the rest of `rec`.
    #[serde(default, deserialize_with = "numbers_by_name", skip_serializing_if = "BTreeMap::is_empty")]
    pub other_losses: BTreeMap<String, f64>,
    /// The quantizer's loss, before its weight.
    #[serde(deserialize_with = "number")]
    pub quantizer: f64,
    /// The learned log-variance, after the step.
    #[serde(deserialize_with = "number")]
    pub logvar: f64,
    /// PSNR of the batches in dB, before the step.
    #[serde(deserialize_with = "number")]
    pub psnr: f64,
    /// Norm of the generator's gradients, before clipping.
    #[serde(deserialize_with = "number")]
    pub gradient_norm: f64,
    /// The learning rate.
    pub learning_rate: f64,
    /// The numbers of the GAN loss, from its start on.
    #[serde(flatten)]
    pub gan: Option<GanReport>,
    /// Whether the step was skipped because of its [`faults`](Self::faults).
    #[serde(default)]
    pub skipped: bool,
}

/// The numbers of the GAN loss in one step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GanReport {
    /// The generator loss, before its weight.
    #[serde(deserialize_with = "number")]
    pub generator: f64,
    /// The weight of the generator loss: the adaptive times the configured weight.
    #[serde(deserialize_with = "number")]
    pub adaptive_weight: f64,
    /// The discriminator's total loss.
    #[serde(deserialize_with = "number")]
    pub discriminator: f64,
    /// The term of the discriminator's loss on the logits.
    #[serde(deserialize_with = "number")]
    pub discriminator_logits: f64,
    /// The LeCAM regularization, before its weight.
    #[serde(deserialize_with = "number")]
    pub lecam: f64,
    /// Mean logit of real clips.
    #[serde(deserialize_with = "number")]
    pub logits_real: f64,
    /// Mean logit of reconstructions.
    #[serde(deserialize_with = "number")]
    pub logits_fake: f64,
    /// Norm of the discriminator's gradients, before clipping.
    #[serde(deserialize_with = "number")]
    pub discriminator_gradient_norm: f64,
}

/// Reads a number, or `null` as NaN: JSON has no form for numbers that are not finite.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Option::deserialize(deserializer).map(|number| number.unwrap_or(f64::NAN))
}

fn present_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    number(deserializer).map(Some)
}

fn numbers_by_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, f64>, D::Error> {
    let numbers = BTreeMap::<String, Option<f64>>::deserialize(deserializer)?;
    Ok(numbers.into_iter().map(|(name, number)| (name, number.unwrap_or(f64::NAN))).collect())
}

/// Adds each scalar, times `weight`, to its number, with a single transfer from the scalars' device.
pub(crate) fn add_scalars<const N: usize>(numbers: [&mut f64; N], scalars: [&Tensor; N], weight: f64) {
    let scalars = scalars.map(|scalar| scalar.detach().to_kind(Kind::Double).reshape([1]));
    let values = Tensor::cat(&scalars, 0).to_device(Device::Cpu);
    for (index, number) in numbers.into_iter().enumerate() {
        *number += values.double_value(&[index as i64]) * weight;
    }
}

/// Replaces numbers of this rank's part of a batch by their means over the process group.
pub(crate) fn average<'a>(group: &dyn ProcessGroup, numbers: impl IntoIterator<Item = &'a mut f64>) {
    if group.world_size() == 1 {
        return;
    }
    let numbers: Vec<&mut f64> = numbers.into_iter().collect();
    let own: Vec<f64> = numbers.iter().map(|number| **number).collect();
    let means = group.mean(&Tensor::from_slice(&own));
    for (index, number) in numbers.into_iter().enumerate() {
        *number = means.double_value(&[index as i64]);
    }
}

impl GanReport {
    /// The numbers that the discriminator's half of a step computes, in the order of its terms.
    pub(crate) fn discriminator_numbers_mut(&mut self) -> [&mut f64; 5] {
        [
            &mut self.discriminator,
            &mut self.discriminator_logits,
            &mut self.lecam,
            &mut self.logits_real,
            &mut self.logits_fake,
        ]
    }
}

impl StepReport {
    /// The number of a reconstruction loss by its name; `None` for L1, the rest of `rec`.
    pub(crate) fn loss_named(&mut self, name: &str) -> Option<&mut f64> {
        match name {
            "l1" => None,
            "lpips" => Some(self.lpips.get_or_insert(0.0)),
            other => Some(self.other_losses.entry(other.to_owned()).or_default()),
        }
    }

    /// The numbers that the generator's half of a step computes.
    pub(crate) fn generator_numbers_mut(&mut self) -> impl Iterator<Item = &mut f64> {
        let gan = self.gan.iter_mut().flat_map(|all| [&mut all.generator, &mut all.adaptive_weight]);
        [&mut self.loss, &mut self.nll, &mut self.rec, &mut self.quantizer, &mut self.psnr]
            .into_iter()
            .chain(&mut self.lpips)
            .chain(self.other_losses.values_mut())
            .chain(gan)
    }

    /// Names and values of the losses and gradient norms that are not finite, for which the step is skipped.
    #[must_use]
    pub fn faults(&self) -> Vec<(&'static str, f64)> {
        let mut faults = vec![("loss", self.loss), ("gradient_norm", self.gradient_norm)];
        if let Some(gan) = &self.gan {
            faults.push(("discriminator", gan.discriminator));
            faults.push(("discriminator_gradient_norm", gan.discriminator_gradient_norm));
        }
        faults.retain(|(_, value)| !value.is_finite());
        faults
    }

    /// Names and values of all numbers except the step, for logs and curves.
    pub fn numbers(&self) -> Vec<(&str, f64)> {
        let mut numbers: Vec<(&str, f64)> = vec![
            ("loss", self.loss),
            ("nll", self.nll),
            ("rec", self.rec),
            ("quantizer", self.quantizer),
            ("logvar", self.logvar),
            ("psnr", self.psnr),
            ("gradient_norm", self.gradient_norm),
            ("learning_rate", self.learning_rate),
        ];
        numbers.extend(self.lpips.map(|value| ("lpips", value)));
        numbers.extend(self.other_losses.iter().map(|(name, value)| (name.as_str(), *value)));
        if let Some(gan) = &self.gan {
            numbers.extend([
                ("generator", gan.generator),
                ("adaptive_weight", gan.adaptive_weight),
                ("discriminator", gan.discriminator),
                ("discriminator_logits", gan.discriminator_logits),
                ("lecam", gan.lecam),
                ("logits_real", gan.logits_real),
                ("logits_fake", gan.logits_fake),
                ("discriminator_gradient_norm", gan.discriminator_gradient_norm),
            ]);
        }
        numbers
    }
}
