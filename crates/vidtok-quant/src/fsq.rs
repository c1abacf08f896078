//! Finite scalar quantization (arXiv 2309.15505): every latent channel is rounded to one of a few levels, and the
//! codebook is the product of the levels.
//!
//! Because of the product, the assignment probabilities of the entropy loss factorise over the channels, and a
//! positions x codes matrix is never needed. All arithmetic is in float32, also in half-precision models.

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};
use vidtok_core::{ProcessGroup, Quantized, Quantizer, Regularized};

use crate::entropy::{entropy_of_mean, mean_entropy};
use crate::error::QuantizerError;

/// Widens the bound slightly, so that the outermost levels can be reached.
const EPS: f64 = 1e-3;
/// Inverse temperature of the soft assignment, times the factor 2 of the term -2 z.c of the squared distance.
const SHARPNESS: f64 = 200.0;

/// Configuration of [`Fsq`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FsqConfig {
    /// Levels of each latent channel; their product is the number of codes.
    pub levels: Vec<i64>,
    /// Weight of the entropy loss.
    #[serde(default = "FsqConfig::entropy_weight")]
    pub entropy_weight: f64,
    /// Factor on the weight of the entropy loss at the start of training.
    #[serde(default = "FsqConfig::annealing_factor")]
    pub annealing_factor: f64,
    /// Batches in which that factor falls linearly to 1.
    #[serde(default = "FsqConfig::annealing_steps")]
    pub annealing_steps: u64,
    /// Weight of the commitment loss.
    #[serde(default = "FsqConfig::commitment_weight")]
    pub commitment_weight: f64,
    /// Weight of the usage loss, which spreads the batch over the whole codebook. It is not part of the published loss,
    /// whose entropies depend on little more than the signs of the latent.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub usage_weight: f64,
    /// Batches at the start of training in which uniform noise as wide as the distance of two levels replaces the
    /// rounding (arXiv 1611.01704). The gradient through noise is exact; the one through rounding is an estimate.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub noise_steps: u64,
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl FsqConfig {
    /// The published loss weights, with these levels.
    #[must_use]
    pub fn new(levels: impl Into<Vec<i64>>) -> Self {
        Self {
            levels: levels.into(),
            entropy_weight: Self::entropy_weight(),
            annealing_factor: Self::annealing_factor(),
            annealing_steps: Self::annealing_steps(),
            commitment_weight: Self::commitment_weight(),
            usage_weight: 0.0,
            noise_steps: 0,
        }
    }

    fn entropy_weight() -> f64 {
        0.1
    }

    fn annealing_factor() -> f64 {
        3.0
    }

    fn annealing_steps() -> u64 {
        2000
    }

    fn commitment_weight() -> f64 {
        0.25
    }

    /// The weight of the entropy loss at batch `step`.
    #[must_use]
    pub fn entropy_weight_at(&self, step: u64) -> f64 {
        if step >= self.annealing_steps {
            return self.entropy_weight;
        }
        let progress = step as f64 / self.annealing_steps as f64;
        self.entropy_weight * (self.annealing_factor + progress * (1.0 - self.annealing_factor))
    }
}

/// The finite scalar quantizer.
#[derive(Debug)]
pub struct Fsq {
    config: FsqConfig,
    codebook_size: i64,
}

impl Fsq {
    /// Builds the quantizer.
    ///
    /// # Errors
    /// If there are no levels, a level is below 2, the indices do not fit 32 bits, or a weight is negative.
    pub fn new(config: &FsqConfig) -> Result<Self, QuantizerError> {
        let weights = [
            ("entropy_weight", config.entropy_weight),
            ("annealing_factor", config.annealing_factor),
            ("commitment_weight", config.commitment_weight),
            ("usage_weight", config.usage_weight),
        ];
        if let Some((field, value)) = weights.into_iter().find(|(_, value)| !(value.is_finite() && *value >= 0.0)) {
            return Err(QuantizerError::Weight { field, value });
        }
        let levels = &config.levels;
        let product = levels.iter().try_fold(1_i32, |product, &level| {
            i32::try_from(level).ok().filter(|level| *level >= 2).and_then(|level| product.checked_mul(level))
        });
        match product {
            Some(codes) if !levels.is_empty() => Ok(Self { config: config.clone(), codebook_size: i64::from(codes) }),
            _ => Err(QuantizerError::Levels(levels.clone())),
        }
    }

    fn per_level(&self, device: Device, value: impl Fn(i64) -> f64) -> Tensor {
        let values: Vec<f32> = self.config.levels.iter().map(|&level| value(level) as f32).collect();
        Tensor::from_slice(&values).to_device(device)
    }

    /// floor(L/2) of each channel, `[z]`.
    fn half_width(&self, device: Device) -> Tensor {
        self.per_level(device, |level| (level / 2) as f64)
    }

    /// The place value of each channel in an index, int64 `[z]`; the first channel is the least significant digit.
    fn basis(&self, device: Device) -> Tensor {
        let next = |value: &mut i64, level: &i64| Some(std::mem::replace(value, *value * level));
        let values: Vec<i64> = self.config.levels.iter().scan(1, next).collect();
        Tensor::from_slice(&values).to_device(device)
    }

    /// Maps `[..., z]` into the range whose rounding yields the levels.
    fn bound(&self, z: &Tensor) -> Tensor {
        let half = |level: i64| (level - 1) as f64 * (1.0 + EPS) / 2.0;
        let offset = |level: i64| if level % 2 == 0 { 0.5 } else { 0.0 };
        let shift = self.per_level(z.device(), |level| (offset(level) / half(level)).atanh());
        let half = self.per_level(z.device(), half);
        (z + shift).tanh() * half - self.per_level(z.device(), offset)
    }

    /// The indices, int32 `[...]`, of rounded values `[..., z]`.
    fn indices(&self, rounded: &Tensor) -> Tensor {
        let digits = (rounded + self.half_width(rounded.device())).to_kind(Kind::Int64);
        (digits * self.basis(rounded.device())).sum_dim_intlist(-1, false, Kind::Int64).to_kind(Kind::Int)
    }

    /// The assignment log-probabilities of `z` `[n, z]` for each channel separately, `[n, L]`.
    fn log_factors(&self, z: &Tensor) -> Vec<Tensor> {
        let factor = |(channel, &level): (usize, &i64)| {
            let half_width = (level / 2) as f64;
            let levels = Tensor::arange(level, (Kind::Float, z.device()));
            let values = (levels - half_width) / half_width;
            (z.narrow(1, channel as i64, 1) * values * SHARPNESS).log_softmax(1, Kind::Float)
        };
        self.config.levels.iter().enumerate().map(factor).collect()
    }

    /// The probability of each level of each channel, `[n, L]`, if uniform noise as wide as the distance of two levels is
    /// added to `bounded` `[n, z]` before the rounding: shared linearly between the two nearest levels.
    fn dithered_factors(&self, bounded: &Tensor) -> Vec<Tensor> {
        let factor = |(channel, &level): (usize, &i64)| {
            let levels = Tensor::arange(level, (Kind::Float, bounded.device())) - (level / 2) as f64;
            let distance = (bounded.narrow(1, channel as i64, 1) - levels).abs();
            (1.0_f64 - distance).relu()
        };
        self.config.levels.iter().enumerate().map(factor).collect()
    }

    /// The mean entropy of the assignments of `z` `[n, z]` minus the entropy of the codes' usage over all processes, in
    /// nats. The loss is low if assignments are sharp and all codes are used.
    fn entropy_loss(&self, z: &Tensor, group: &dyn ProcessGroup) -> Tensor {
        let factors: Vec<Tensor> = self.log_factors(z).iter().map(Tensor::exp).collect();
        mean_entropy(z, |part| self.log_factors(part)) - entropy_of_mean(&factors, group)
    }

    /// What the codes' usage lacks of the largest entropy, ln(codes), in nats.
    fn usage_loss(&self, bounded: &Tensor, group: &dyn ProcessGroup) -> Tensor {
        (self.codebook_size as f64).ln() - entropy_of_mean(&self.dithered_factors(bounded), group)
    }
}

fn channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 4, 1])
}

fn channels_first(x: &Tensor) -> Tensor {
    x.permute([0, 4, 1, 2, 3])
}

impl Quantizer for Fsq {
    fn latent_channels(&self) -> i64 {
        self.config.levels.len() as i64
    }

    fn codebook_size(&self) -> Option<i64> {
        Some(self.codebook_size)
    }

    fn quantize(&self, encoded: &Tensor, _noise: Option<&Tensor>) -> Quantized {
        let rounded = self.bound(&channels_last(encoded).to_kind(Kind::Float)).round();
        let latent = channels_first(&(&rounded / self.half_width(encoded.device())));
        let indices = self.indices(&rounded);
        Quantized { latent: latent.to_kind(encoded.kind()), indices: Some(indices), logvar: None }
    }

    /// In the first [`FsqConfig::noise_steps`] batches the latent has noise from libtorch's generator and the indices are
    /// those of the nearest code.
    ///
    /// The loss is entropy_weight(step) * (per-sample entropy - codebook entropy) + commitment_weight *
    /// mean((z - sg(code))^2) + usage_weight * (ln(codes) - usage entropy), where z is the encoder's output before the
    /// bound. Terms of weight 0 are not computed.
    fn regularize(&self, encoded: &Tensor, step: u64, group: &dyn ProcessGroup) -> Regularized {
        let z = channels_last(encoded).to_kind(Kind::Float);
        let bounded = self.bound(&z);
        let rounded = bounded.detach().round();
        let error = if step < self.config.noise_steps {
            bounded.rand_like() - 0.5
        } else {
            // Straight-through estimator: the rounded value with the gradient of the bound.
            (&rounded - &bounded).detach()
        };
        let half_width = self.half_width(encoded.device());
        let code = &rounded / &half_width;
        let terms: [(f64, &dyn Fn() -> Tensor); 3] = [
            (self.config.entropy_weight_at(step), &|| self.entropy_loss(&z.flatten(0, 3), group)),
            (self.config.commitment_weight, &|| (&z - &code).square().mean(Kind::Float)),
            (self.config.usage_weight, &|| self.usage_loss(&bounded.flatten(0, 3), group)),
        ];
        let loss = terms
            .into_iter()
            .filter(|(weight, _)| *weight > 0.0)
            .fold(z.new_zeros([], (Kind::Float, z.device())), |loss, (weight, term)| loss + term() * weight);
        Regularized {
            latent: channels_first(&((bounded + error) / half_width)).to_kind(encoded.kind()),
            loss,
            indices: Some(self.indices(&rounded)),
        }
    }

    fn indices_to_codes(&self, indices: &Tensor) -> Option<Tensor> {
        let levels: Tensor = Tensor::from_slice(&self.config.levels).to_device(indices.device());
        let quotients =
            indices.to_kind(Kind::Int64).unsqueeze(-1).divide_tensor_mode(&self.basis(indices.device()), "floor");
        let digits = quotients.remainder_tensor(&levels).to_kind(Kind::Float);
        let half_width = self.half_width(indices.device());
        Some(channels_first(&((digits - &half_width) / half_width)))
    }
}

#[cfg(test)]
mod tests {
    use vidtok_core::SingleProcess;

    use super::*;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn fsq(levels: &[i64]) -> Fsq {
        Fsq::new(&FsqConfig::new(levels)).unwrap()
    }

    #[test]
    fn every_index_is_the_index_of_its_own_code() {
        for levels in [&[8, 8, 8][..], &[8, 5, 4, 3], &[2]] {
            let fsq = fsq(levels);
            let all = Tensor::arange(fsq.codebook_size, (Kind::Int, Device::Cpu)).view([1, -1, 1, 1]);
            let codes = fsq.indices_to_codes(&all).unwrap();
            let rounded = (channels_last(&codes) * fsq.half_width(Device::Cpu)).round();
            assert!(fsq.indices(&rounded).equal(&all), "{levels:?}");
        }
    }

    #[test]
    fn the_first_channel_is_the_least_significant_digit() {
        let index = Tensor::from_slice(&[5 + 8 * 3_i32]).view([1, 1, 1, 1]);
        let code: Vec<f32> = Vec::try_from(fsq(&[8, 8]).indices_to_codes(&index).unwrap().flatten(0, -1)).unwrap();
        assert_eq!(code, [(5.0 - 4.0) / 4.0, (3.0 - 4.0) / 4.0]);
    }

    #[test]
    fn quantizing_reaches_the_outermost_levels_and_stays_within_them() {
        let z = Tensor::from_slice(&[-1e3_f32, 1e3]).view([1, 1, 2, 1, 1]);
        for level in [2, 3, 4, 7, 8] {
            let indices = fsq(&[level]).quantize(&z, None).indices.unwrap();
            assert_eq!(Vec::<i32>::try_from(indices.flatten(0, -1)).unwrap(), [0, level as i32 - 1]);
        }
    }

    #[test]
    fn the_latent_is_the_code_of_the_index_in_half_precision_too() {
        tch::manual_seed(0);
        let fsq = fsq(&[8, 8, 8, 8]);
        for kind in [Kind::Float, Kind::BFloat16] {
            let encoded = (Tensor::randn([2, 4, 3, 4, 5], CPU) * 2.0).to_kind(kind);
            let quantized = fsq.quantize(&encoded, None);
            assert_eq!(quantized.latent.kind(), kind);
            let codes = fsq.indices_to_codes(&quantized.indices.unwrap()).unwrap().to_kind(kind);
            assert!(quantized.latent.equal(&codes));
        }
    }

    #[test]
    fn the_gradient_passes_through_the_rounding_unchanged() {
        tch::manual_seed(0);
        let fsq = fsq(&[8, 8]);
        let z = Tensor::randn([1, 2, 2, 2, 2], CPU).set_requires_grad(true);
        fsq.regularize(&z, 0, &SingleProcess).latent.sum(Kind::Float).backward();
        let through = z.grad().copy();
        let z = z.detach().set_requires_grad(true);
        (channels_first(&(fsq.bound(&channels_last(&z)) / 4.0))).sum(Kind::Float).backward();
        assert!(through.allclose(&z.grad(), 1e-5, 1e-6, false));
    }

    #[test]
    fn noise_of_one_level_replaces_the_rounding_in_the_first_batches() {
        tch::manual_seed(0);
        let fsq = Fsq::new(&FsqConfig { noise_steps: 5, ..FsqConfig::new([8, 8]) }).unwrap();
        let z = Tensor::randn([1, 2, 8, 16, 16], CPU);
        let bounded = channels_first(&fsq.bound(&channels_last(&z)));
        let error = |step| (fsq.regularize(&z, step, &SingleProcess).latent * 4.0 - &bounded).abs();
        let mean = error(4).mean(Kind::Float).double_value(&[]);
        assert!(error(4).max().double_value(&[]) <= 0.5 + 1e-5);
        // The mean of |u| for u uniform in [-1/2, 1/2].
        assert!((mean - 0.25).abs() < 0.01, "{mean}");
        assert!((error(5) - (bounded.round() - &bounded).abs()).abs().max().double_value(&[]) < 1e-5);
        let parts = fsq.regularize(&z, 4, &SingleProcess);
        assert_eq!(parts.indices, fsq.quantize(&z, None).indices);
    }

    #[test]
    fn the_loss_equals_a_direct_computation_over_the_whole_codebook() {
        tch::manual_seed(0);
        let fsq = fsq(&[4, 3, 5]);
        let encoded = Tensor::randn([2, 3, 2, 3, 4], CPU) * 0.3;
        let step = 500;

        let z = channels_last(&encoded).reshape([-1, 3]);
        let all = Tensor::arange(60, (Kind::Int, Device::Cpu)).view([1, -1, 1, 1]);
        let codebook = channels_last(&fsq.indices_to_codes(&all).unwrap()).reshape([-1, 3]);
        let p = (z.matmul(&codebook.tr()) * 200.0).softmax(-1, Kind::Float);
        let direct = |p: &Tensor| -(p * p.clamp_min(1e-5).log()).sum_dim_intlist(-1, false, Kind::Float);
        let per_sample = direct(&p).mean(Kind::Float);
        let codebook_entropy = direct(&p.mean_dim(0, false, Kind::Float));
        let code = channels_last(&fsq.quantize(&encoded, None).latent).reshape([-1, 3]);
        let commitment = (z - code).square().mean(Kind::Float);
        let expected = (per_sample - codebook_entropy) * (0.3 - 0.2 * 0.25) + commitment * 0.25;

        let loss = fsq.regularize(&encoded, step, &SingleProcess).loss;
        let difference = (loss - expected).double_value(&[]);
        assert!(difference.abs() < 1e-4, "{difference}");
    }

    fn usage_loss(levels: &[i64], z: &Tensor) -> f64 {
        let weights = FsqConfig { entropy_weight: 0.0, commitment_weight: 0.0, ..FsqConfig::new(levels) };
        let fsq = Fsq::new(&FsqConfig { usage_weight: 2.0, ..weights }).unwrap();
        fsq.regularize(z, 0, &SingleProcess).loss.double_value(&[]) / 2.0
    }

    #[test]
    fn the_usage_loss_is_zero_for_even_use_and_the_log_of_the_codes_for_one_code() {
        let levels = [3, 4];
        let fsq = fsq(&levels);
        let all = Tensor::arange(12, (Kind::Int, Device::Cpu)).view([1, 12, 1, 1]);
        // Where the bound maps to the levels themselves; the outermost lie at infinity but for the bound's margin.
        let levels_of_all = channels_last(&fsq.indices_to_codes(&all).unwrap()) * fsq.half_width(Device::Cpu);
        let half = fsq.per_level(Device::Cpu, |level| (level - 1) as f64 * (1.0 + EPS) / 2.0);
        let offset = fsq.per_level(Device::Cpu, |level| if level % 2 == 0 { 0.5 } else { 0.0 });
        let z = channels_first(&(((levels_of_all + &offset) / &half).atanh() - (&offset / &half).atanh()));
        assert!(usage_loss(&levels, &z).abs() < 1e-3);
        let one = z.narrow(2, 5, 1).repeat([1, 1, 12, 1, 1]);
        assert!((usage_loss(&levels, &one) - 12.0_f64.ln()).abs() < 1e-3);
    }

    #[test]
    fn the_usage_loss_is_that_of_codes_rounded_after_noise() {
        tch::manual_seed(0);
        let levels = [4, 5, 3];
        let fsq = fsq(&levels);
        let z = Tensor::randn([1, 3, 1, 8, 8], CPU) * 0.8;
        let bounded = fsq.bound(&channels_last(&z).repeat([4000, 1, 1, 1, 1]));
        let noisy = (&bounded + bounded.rand_like() - 0.5).round();
        let half = Tensor::from_slice(&[2.0_f32, 2.0, 1.0]);
        let upper = Tensor::from_slice(&levels.map(|level| (level - 1) as f32)) - &half;
        let noisy = noisy.maximum(&half.neg()).minimum(&upper);
        let usage = fsq.indices(&noisy).flatten(0, -1).bincount::<Tensor>(None, 60) / (4000.0 * 64.0);
        let entropy = -(&usage * usage.clamp_min(1e-9).log()).sum(Kind::Float).double_value(&[]);
        let expected = 60.0_f64.ln() - entropy;
        assert!((usage_loss(&levels, &z) - expected).abs() < 2e-3, "{expected}");
    }

    #[test]
    fn the_entropy_weight_falls_linearly_to_its_end() {
        let config = FsqConfig::new([8]);
        for (step, weight) in [(0, 0.3), (1000, 0.2), (2000, 0.1), (9000, 0.1)] {
            assert!((config.entropy_weight_at(step) - weight).abs() < 1e-12, "{step}");
        }
    }

    #[test]
    fn levels_without_a_32_bit_codebook_are_refused() {
        for levels in [&[][..], &[1], &[8, 0], &[8, -8], &[65536, 65536]] {
            assert!(Fsq::new(&FsqConfig::new(levels)).is_err(), "{levels:?}");
        }
    }
}
