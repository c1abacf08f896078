//! The numbers of one training step.

use serde::{Deserialize, Deserializer, Serialize};
use tch::Tensor;
use vidtok_core::ProcessGroup;

/// The numbers of one step: means over its batches. One that is not finite is `null` in JSON, and read back as NaN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// The step, from 0.
    pub step: u64,
    /// What the generator minimised.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// The negative log-likelihood in it.
    #[serde(deserialize_with = "number")]
    pub nll: f64,
    /// The mean of |x - y| + weight * LPIPS.
    #[serde(deserialize_with = "number")]
    pub rec: f64,
    /// The mean LPIPS distance in it.
    #[serde(default, deserialize_with = "number_that_is_there", skip_serializing_if = "Option::is_none")]
    pub lpips: Option<f64>,
    /// The quantizer's loss, before its weight.
    #[serde(deserialize_with = "number")]
    pub quantizer: f64,
    /// The learned log-variance, after the step.
    #[serde(deserialize_with = "number")]
    pub logvar: f64,
    /// PSNR of the batch in dB, before the step.
    #[serde(deserialize_with = "number")]
    pub psnr: f64,
    /// Norm of the generator's gradients before clipping.
    #[serde(deserialize_with = "number")]
    pub gradient_norm: f64,
    /// The learning rate.
    pub learning_rate: f64,
    /// The adversary's numbers, once it has begun.
    #[serde(flatten)]
    pub gan: Option<GanReport>,
    /// Whether this step changed nothing, because of its [`faults`](Self::faults).
    #[serde(default)]
    pub skipped: bool,
}

/// The adversary's numbers of one step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GanReport {
    /// The generator's loss, before its weight.
    #[serde(deserialize_with = "number")]
    pub generator: f64,
    /// That weight, the adaptive one included.
    #[serde(deserialize_with = "number")]
    pub adaptive_weight: f64,
    /// What the discriminator minimised.
    #[serde(deserialize_with = "number")]
    pub discriminator: f64,
    /// The loss on the logits in it.
    #[serde(deserialize_with = "number")]
    pub discriminator_logits: f64,
    /// LeCAM's loss in it, before its weight.
    #[serde(deserialize_with = "number")]
    pub lecam: f64,
    /// Mean logit of clips.
    #[serde(deserialize_with = "number")]
    pub logits_real: f64,
    /// Mean logit of reconstructions.
    #[serde(deserialize_with = "number")]
    pub logits_fake: f64,
    /// Norm of the discriminator's gradients before clipping.
    #[serde(deserialize_with = "number")]
    pub discriminator_gradient_norm: f64,
}

/// Reads a number that JSON has no form for, and was written as `null`, as NaN.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Option::deserialize(deserializer).map(|number| number.unwrap_or(f64::NAN))
}

fn number_that_is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    number(deserializer).map(Some)
}

/// Means over the processes of numbers that each has of its part of a batch.
pub(crate) fn average<'a>(group: &dyn ProcessGroup, numbers: impl IntoIterator<Item = &'a mut f64>) {
    if group.world_size() == 1 {
        return;
    }
    let numbers: Vec<&mut f64> = numbers.into_iter().collect();
    let own: Vec<f64> = numbers.iter().map(|number| **number).collect();
    let means = group.mean(&Tensor::from_slice(&own));
    for (place, number) in numbers.into_iter().enumerate() {
        *number = means.double_value(&[place as i64]);
    }
}

impl GanReport {
    /// Those that the discriminator's half of a step has.
    pub(crate) fn of_discriminator(&mut self) -> [&mut f64; 5] {
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
    /// The numbers of this process's part of the batch that the generator's half of a step has.
    pub(crate) fn of_generator(&mut self) -> impl Iterator<Item = &mut f64> {
        let gan = self.gan.iter_mut().flat_map(|all| [&mut all.generator, &mut all.adaptive_weight]);
        [&mut self.loss, &mut self.nll, &mut self.rec, &mut self.quantizer, &mut self.psnr]
            .into_iter()
            .chain(&mut self.lpips)
            .chain(gan)
    }

    /// Names and values of those numbers that are not finite and must be: the losses that are minimised, and the norms of
    /// their gradients.
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

    /// Names and values of all numbers but the step, for logs and curves.
    pub fn numbers(&self) -> Vec<(&'static str, f64)> {
        let mut numbers = vec![
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
