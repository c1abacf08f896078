//! The mean and standard deviation of each latent channel, with which generative models normalise latents.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::error::Error;

/// The mean and the standard deviation of each channel of the latent over many clips: the table `[latent_statistics]` of a
/// configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatentStatistics {
    /// The mean of each channel.
    pub mean: Vec<f64>,
    /// The standard deviation of each channel.
    pub std: Vec<f64>,
}

impl LatentStatistics {
    /// Checks that there are `channels` finite means and as many positive finite standard deviations.
    ///
    /// # Errors
    /// [`Error::Shape`] otherwise.
    pub fn validate(&self, channels: i64) -> Result<(), Error> {
        let Self { mean, std } = self;
        let are_finite =
            mean.iter().all(|mean| mean.is_finite()) && std.iter().all(|std| std.is_finite() && *std > 0.0);
        if are_finite && [mean.len(), std.len()] == [channels as usize; 2] {
            return Ok(());
        }
        Err(Error::Shape {
            what: "latent_statistics",
            expected: format!("{channels} finite means and as many positive standard deviations"),
            found: format!("mean = {mean:?}, std = {std:?}"),
        })
    }

    /// `(latent - mean) / std` of a latent `[b, z, t, h, w]`, in its number type.
    pub fn normalize(&self, latent: &Tensor) -> Tensor {
        (latent - per_channel(&self.mean, latent)) / per_channel(&self.std, latent)
    }

    /// `latent * std + mean`, the inverse of [`normalize`](Self::normalize).
    pub fn denormalize(&self, latent: &Tensor) -> Tensor {
        latent * per_channel(&self.std, latent) + per_channel(&self.mean, latent)
    }

    /// The log-variance `[b, z, t, h, w]` of a normalised latent.
    pub fn normalize_logvar(&self, logvar: &Tensor) -> Tensor {
        logvar - self.log_variances(logvar)
    }

    /// The inverse of [`normalize_logvar`](Self::normalize_logvar).
    pub fn denormalize_logvar(&self, logvar: &Tensor) -> Tensor {
        logvar + self.log_variances(logvar)
    }

    /// The standard deviation over all channels together.
    #[must_use]
    pub fn std_of_all(&self) -> f64 {
        let channels = self.mean.len() as f64;
        let mean = self.mean.iter().sum::<f64>() / channels;
        let squares = self.mean.iter().zip(&self.std).map(|(of_channel, std)| std * std + (of_channel - mean).powi(2));
        (squares.sum::<f64>() / channels).sqrt()
    }

    fn log_variances(&self, like: &Tensor) -> Tensor {
        let logs: Vec<f64> = self.std.iter().map(|std| 2.0 * std.ln()).collect();
        per_channel(&logs, like)
    }
}

/// `[z, 1, 1, 1]`, in the number type and on the device of `like`.
fn per_channel(values: &[f64], like: &Tensor) -> Tensor {
    Tensor::from_slice(values).to_device(like.device()).to_kind(like.kind()).view([-1, 1, 1, 1])
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn latents_normalised_by_their_own_statistics_have_mean_0_and_standard_deviation_1() {
        let latent = Tensor::rand([2, 3, 4, 5, 6], (Kind::Double, Device::Cpu)) * 7.0 - 2.0;
        let axes = Some(&[0_i64, 2, 3, 4][..]);
        let moments = |latent: &Tensor| -> [Vec<f64>; 2] {
            let mean = latent.mean_dim(axes, false, Kind::Double);
            let std = latent.std_dim(axes, false, false);
            [mean, std].map(|values| Vec::try_from(values).unwrap())
        };
        let [mean, std] = moments(&latent);
        let statistics = LatentStatistics { mean, std };
        let normalised = statistics.normalize(&latent);
        let [mean, std] = moments(&normalised);
        assert!(mean.iter().all(|mean| mean.abs() < 1e-12) && std.iter().all(|std| (std - 1.0).abs() < 1e-12));
        assert!(statistics.denormalize(&normalised).allclose(&latent, 1e-12, 1e-12, false));
        // The variance of a scaled variable is scaled by the square.
        let variance = latent.abs() + 1.0;
        let logvar = statistics.normalize_logvar(&variance.log());
        let scaled = &variance / Tensor::from_slice(&statistics.std).square().view([3, 1, 1, 1]);
        assert!(logvar.exp().allclose(&scaled, 1e-12, 1e-12, false));
        assert!(statistics.denormalize_logvar(&logvar).exp().allclose(&variance, 1e-12, 1e-12, false));
    }

    #[test]
    fn statistics_of_other_channels_or_without_spread_are_refused() {
        let valid = LatentStatistics { mean: vec![0.0, 1.0], std: vec![1.0, 2.0] };
        assert!(valid.validate(2).is_ok());
        assert!(valid.validate(3).is_err());
        for std in [vec![1.0, 0.0], vec![1.0, f64::NAN], vec![1.0, f64::INFINITY], vec![1.0]] {
            assert!(LatentStatistics { std, ..valid.clone() }.validate(2).is_err());
        }
        assert!(LatentStatistics { mean: vec![0.0, f64::NAN], ..valid }.validate(2).is_err());
    }
}
