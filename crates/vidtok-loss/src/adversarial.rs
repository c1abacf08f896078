//! GAN losses on a discriminator's logits.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// The loss of the discriminator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiscriminatorLoss {
    /// Half of mean relu(1 - real) + mean relu(1 + fake) (arXiv 1705.02894).
    #[default]
    Hinge,
    /// Half of mean softplus(-real) + mean softplus(fake) (arXiv 1406.2661).
    Vanilla,
}

impl DiscriminatorLoss {
    /// The loss, a scalar, given the logits of real and of reconstructed clips.
    pub fn forward(self, real: &Tensor, fake: &Tensor) -> Tensor {
        let [real, fake] = match self {
            Self::Hinge => [(real.neg() + 1.0).relu(), (fake + 1.0).relu()],
            Self::Vanilla => [real.neg().softplus(), fake.softplus()],
        };
        (real.mean(Kind::Float) + fake.mean(Kind::Float)) * 0.5
    }
}

/// The loss of the generator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GeneratorLoss {
    /// softplus(-mean of the logits), averaged over frames or clips: cross entropy with the label "real"
    /// (arXiv 1406.2661).
    #[default]
    NonSaturating,
    /// The negative mean of the logits (arXiv 1705.02894).
    Logits,
}

impl GeneratorLoss {
    /// The loss, a scalar, given the logits of reconstructed clips `[n, ...]`.
    pub fn forward(self, fake: &Tensor) -> Tensor {
        match self {
            Self::NonSaturating => {
                fake.flatten(1, -1).mean_dim(1, false, Kind::Float).neg().softplus().mean(Kind::Float)
            }
            Self::Logits => fake.mean(Kind::Float).neg(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logits(values: &[f32]) -> Tensor {
        Tensor::from_slice(values).view([2, 1, -1])
    }

    #[test]
    fn losses_have_their_closed_forms() {
        let (real, fake) = (logits(&[2.0, 0.0]), logits(&[-3.0, 1.0]));
        let softplus = |x: f64| x.exp().ln_1p();
        let cases = [
            (DiscriminatorLoss::Hinge.forward(&real, &fake), 0.5 * (0.5 + 1.0)),
            (
                DiscriminatorLoss::Vanilla.forward(&real, &fake),
                0.25 * (softplus(-2.0) + softplus(0.0) + softplus(-3.0) + softplus(1.0)),
            ),
            (GeneratorLoss::NonSaturating.forward(&fake), 0.5 * (softplus(3.0) + softplus(-1.0))),
            (GeneratorLoss::Logits.forward(&fake), 1.0),
        ];
        for (i, (value, expected)) in cases.into_iter().enumerate() {
            assert!((value.double_value(&[]) - expected).abs() < 1e-6, "{i}");
        }
    }

    #[test]
    fn the_non_saturating_loss_averages_logits_within_a_clip_first() {
        let spread = logits(&[-50.0, 50.0, 0.0, 0.0]);
        let value = GeneratorLoss::NonSaturating.forward(&spread).double_value(&[]);
        assert!((value - 2.0_f64.ln()).abs() < 1e-6);
    }
}
