//! The continuous latent of a variational autoencoder (arXiv 1312.6114), as latent diffusion uses it.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use vidtok_core::{ProcessGroup, Quantized, Quantizer, Regularized};

use crate::error::QuantizerError;

/// Log-variances are clamped to this range.
const LOGVAR_RANGE: (f64, f64) = (-30.0, 20.0);

/// Configuration of [`Kl`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KlConfig {
    /// Channels of the latent. The encoder's output has twice as many: means, then log-variances.
    pub z_channels: i64,
    /// Whether training samples the latent from the Gaussian (the default) or uses its mean.
    #[serde(default = "yes")]
    pub sample: bool,
}

fn yes() -> bool {
    true
}

/// A diagonal Gaussian per latent position, regularised towards N(0, 1).
#[derive(Debug)]
pub struct Kl {
    z_channels: i64,
    sample: bool,
}

impl Kl {
    /// Builds the quantizer.
    ///
    /// # Errors
    /// If the number of channels is out of range.
    pub fn new(config: &KlConfig) -> Result<Self, QuantizerError> {
        let &KlConfig { z_channels, sample } = config;
        if !(1..=1 << 16).contains(&z_channels) {
            return Err(QuantizerError::Channels(z_channels));
        }
        Ok(Self { z_channels, sample })
    }

    /// Mean and clamped log-variance of `[b, 2z, t, h, w]`, each `[b, z, t, h, w]`, in float32 if they come in half precision.
    fn moments(&self, encoded: &Tensor) -> (Tensor, Tensor) {
        let encoded = match encoded.kind() {
            Kind::BFloat16 | Kind::Half => encoded.to_kind(Kind::Float),
            _ => encoded.shallow_clone(),
        };
        let mean = encoded.narrow(1, 0, self.z_channels);
        let logvar = encoded.narrow(1, self.z_channels, self.z_channels);
        (mean, logvar.clamp(LOGVAR_RANGE.0, LOGVAR_RANGE.1))
    }
}

/// mean + exp(logvar / 2) * noise.
fn sample(mean: &Tensor, logvar: &Tensor, noise: &Tensor) -> Tensor {
    mean + (logvar * 0.5).exp() * noise
}

impl Quantizer for Kl {
    fn encoder_channels(&self) -> i64 {
        2 * self.z_channels
    }

    fn latent_channels(&self) -> i64 {
        self.z_channels
    }

    fn codebook_size(&self) -> Option<i64> {
        None
    }

    fn loss_weight(&self) -> f64 {
        1e-6
    }

    fn quantize(&self, encoded: &Tensor, noise: Option<&Tensor>) -> Quantized {
        let (mean, logvar) = self.moments(encoded);
        let latent = match noise {
            Some(noise) => sample(&mean, &logvar, noise),
            None => mean,
        };
        let [latent, logvar] = [latent, logvar].map(|moment| moment.to_kind(encoded.kind()));
        Quantized { latent, indices: None, logvar: Some(logvar) }
    }

    /// The loss is the KL divergence from N(0, 1), 0.5 * sum(mean^2 + var - 1 - logvar) / b.
    fn regularize(&self, encoded: &Tensor, _step: u64, group: &dyn ProcessGroup) -> Regularized {
        let (mean, logvar) = self.moments(encoded);
        let divergence = mean.square() + logvar.exp() - 1.0 - &logvar;
        let loss = divergence.sum(Kind::Float) * (0.5 / encoded.size()[0] as f64);
        let noise = || group.randn(&mean.size(), (mean.kind(), mean.device()));
        let latent = if self.sample { sample(&mean, &logvar, &noise()) } else { mean };
        Regularized { latent, loss, indices: None }
    }

    fn indices_to_codes(&self, _indices: &Tensor) -> Option<Tensor> {
        None
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;
    use vidtok_core::SingleProcess;

    use super::*;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn kl(sample: bool) -> Kl {
        Kl::new(&KlConfig { z_channels: 2, sample }).unwrap()
    }

    #[test]
    fn the_loss_is_zero_for_a_standard_normal_and_half_the_square_of_a_shift() {
        let encoded = Tensor::zeros([3, 4, 1, 2, 2], CPU);
        assert_eq!(kl(false).regularize(&encoded, 0, &SingleProcess).loss.double_value(&[]), 0.0);
        let _ = encoded.narrow(1, 0, 2).fill_(3.0);
        let loss = kl(false).regularize(&encoded, 0, &SingleProcess).loss.double_value(&[]);
        assert!((loss - 0.5 * 9.0 * 8.0).abs() < 1e-4, "{loss}");
    }

    #[test]
    fn quantizing_returns_the_mean_unless_noise_is_given() {
        let encoded = Tensor::randn([1, 4, 2, 2, 2], CPU);
        let (mean, logvar) = (encoded.narrow(1, 0, 2), encoded.narrow(1, 2, 2));
        assert!(kl(true).quantize(&encoded, None).latent.equal(&mean));
        let noise = Tensor::randn([1, 2, 2, 2, 2], CPU);
        let drawn = kl(true).quantize(&encoded, Some(&noise)).latent;
        assert!(drawn.allclose(&(mean + (logvar * 0.5).exp() * noise), 1e-6, 1e-6, false));
    }

    #[test]
    fn extreme_log_variances_stay_finite() {
        let encoded = Tensor::full([1, 4, 1, 1, 1], 1e4, CPU);
        let logvar = kl(true).quantize(&encoded, None).logvar.unwrap();
        assert_eq!(logvar.max().double_value(&[]), 20.0);
        assert!(kl(true).regularize(&encoded, 0, &SingleProcess).loss.double_value(&[]).is_finite());
    }
}
