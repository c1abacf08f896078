//! The Frechet distance between Gaussians (Dowson & Landau 1982, J. Multivariate Analysis 12(3)).

use tch::{Device, Kind, Tensor};

/// Mean and covariance of samples, accumulated batch by batch in float64.
#[derive(Debug, Default)]
pub struct Gaussian {
    count: i64,
    moments: Option<Moments>,
}

#[derive(Debug)]
struct Moments {
    /// `[d]`
    mean: Tensor,
    /// Sum of the outer products of the deviations from the mean, `[d, d]`.
    scatter: Tensor,
}

impl Gaussian {
    /// Adds samples `[n, d]` of any float kind, on any device; d must not change between calls.
    pub fn update(&mut self, samples: &Tensor) {
        let samples = samples.detach().to_device(Device::Cpu).to_kind(Kind::Double);
        let count = samples.size()[0];
        if count == 0 {
            return;
        }
        let mean = samples.mean_dim(0, false, Kind::Double);
        let deviations = samples - &mean;
        let scatter = deviations.tr().matmul(&deviations);
        // Chan, Golub & LeVeque 1979, which avoids differences of large sums.
        self.moments = Some(match self.moments.take() {
            None => Moments { mean, scatter },
            Some(before) => {
                let weight = count as f64 / (self.count + count) as f64;
                let shift = mean - &before.mean;
                let between = shift.outer(&shift) * (self.count as f64 * weight);
                Moments { mean: before.mean + shift * weight, scatter: before.scatter + scatter + between }
            }
        });
        self.count += count;
    }

    /// The number of samples.
    #[must_use]
    pub fn count(&self) -> i64 {
        self.count
    }

    /// The mean `[d]` and the covariance `[d, d]`, normalised by n - 1; `None` below two samples.
    #[must_use]
    pub fn mean_and_covariance(&self) -> Option<(Tensor, Tensor)> {
        let Moments { mean, scatter } = self.moments.as_ref().filter(|_| self.count > 1)?;
        Some((mean.copy(), scatter / (self.count - 1) as f64))
    }
}

/// |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)): `None` if a side has fewer than two samples, NaN if a sample is not finite.
///
/// The trace of the root is the sum of the singular values of `F1^T F2`, where `F F^T = C`. This never takes the root of a
/// difference, which would amplify rounding errors where covariances are rank-deficient.
///
/// # Panics
/// If the sides have samples of different lengths.
#[must_use]
pub fn frechet_distance(a: &Gaussian, b: &Gaussian) -> Option<f64> {
    let ((mean_a, a), (mean_b, b)) = (a.mean_and_covariance()?, b.mean_and_covariance()?);
    let sum = |x: Tensor| x.sum(Kind::Double).double_value(&[]);
    let distance = sum((mean_a - mean_b).square()) + sum(a.diag(0)) + sum(b.diag(0));
    if !distance.is_finite() {
        return Some(f64::NAN);
    }
    let (_, singular_values, _) = factor(&a).tr().matmul(&factor(&b)).svd(true, false);
    Some((distance - 2.0 * sum(singular_values)).max(0.0))
}

/// F with F F^T = C, `[d, d]`, for a positive semi-definite C. Eigenvalues within rounding of 0 count as 0.
fn factor(covariance: &Tensor) -> Tensor {
    let (values, vectors) = covariance.linalg_eigh("L");
    let noise = values.max() * (values.numel() as f64 * f64::EPSILON);
    let kept = values.where_self(&values.gt_tensor(&noise), &values.zeros_like());
    vectors * kept.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaussian(samples: &[[f64; 2]]) -> Gaussian {
        let mut gaussian = Gaussian::default();
        gaussian.update(&Tensor::from_slice2(samples));
        gaussian
    }

    /// Samples along the axes around a mean, with variances `v` and `w`.
    fn axes([x, y]: [f64; 2], [v, w]: [f64; 2]) -> Gaussian {
        let (a, b) = ((v * 1.5).sqrt(), (w * 1.5).sqrt());
        gaussian(&[[x + a, y], [x - a, y], [x, y + b], [x, y - b]])
    }

    fn near(found: Option<f64>, expected: f64) -> bool {
        (found.unwrap() - expected).abs() < 1e-10
    }

    #[test]
    fn equal_gaussians_are_at_zero_and_shifted_ones_at_the_square_of_the_shift() {
        let gaussian = axes([1.0, 2.0], [3.0, 0.5]);
        assert!(near(frechet_distance(&gaussian, &gaussian), 0.0));
        assert!(near(frechet_distance(&gaussian, &axes([4.0, -2.0], [3.0, 0.5])), 25.0));
    }

    #[test]
    fn diagonal_covariances_have_their_closed_form() {
        let expected = 1.0 + (3_f64.sqrt() - 0.2_f64.sqrt()).powi(2) + (0.5_f64.sqrt() - 4_f64.sqrt()).powi(2);
        let found = frechet_distance(&axes([0.0, 1.0], [3.0, 0.5]), &axes([0.0, 2.0], [0.2, 4.0]));
        assert!(near(found, expected), "{found:?} {expected}");
    }

    #[test]
    fn rank_deficient_covariances_have_their_closed_form() {
        let line = gaussian(&[[0.0, 0.0], [2.0, 2.0]]);
        let other = gaussian(&[[0.0, 0.0], [2.0, -2.0]]);
        assert!(near(frechet_distance(&line, &line), 0.0));
        // For orthogonal lines the root vanishes.
        assert!(near(frechet_distance(&line, &other), 4.0 + 4.0 + 4.0));
    }

    /// Four samples on each side span three of a hundred dimensions, so the distance equals that of the same samples in
    /// three dimensions.
    #[test]
    fn dimensions_without_variance_add_nothing() {
        let samples = |scale: f64| {
            Tensor::from_slice(&[3.0, 0.0, 1.0, -3.0, 1.0, 0.0, 0.5, -2.0, 0.0, -0.5, 1.0, -1.0]).view([4, 3]) * scale
        };
        // An orthonormal basis: the first rows of a reflection.
        let normal = Tensor::arange(100, (Kind::Double, Device::Cpu)).cos();
        let normal = &normal / normal.square().sum(Kind::Double).sqrt();
        let basis = (Tensor::eye(100, (Kind::Double, Device::Cpu)) - normal.outer(&normal) * 2.0).narrow(0, 0, 3);
        let distance = |basis: &Tensor| {
            let [mut a, mut b] = [Gaussian::default(), Gaussian::default()];
            a.update(&samples(100.0).matmul(basis));
            b.update(&samples(100.0).flip([1]).matmul(basis));
            frechet_distance(&a, &b).unwrap()
        };
        let (expected, found) = (distance(&Tensor::eye(3, (Kind::Double, Device::Cpu))), distance(&basis));
        assert!((found / expected - 1.0).abs() < 1e-11, "{found}, expected {expected}");
        let mut line = Gaussian::default();
        line.update(&samples(100.0).matmul(&basis));
        assert!(frechet_distance(&line, &line).unwrap() < 1e-8);
    }

    #[test]
    fn a_sample_that_is_not_finite_makes_the_distance_nan() {
        let broken = gaussian(&[[0.0, f64::NAN], [1.0, 2.0]]);
        assert!(frechet_distance(&broken, &axes([0.0; 2], [1.0; 2])).unwrap().is_nan());
    }

    #[test]
    fn moments_do_not_depend_on_the_batches() {
        let samples = Tensor::randn([40, 7], (Kind::Double, Device::Cpu)) + 1000.0;
        let whole = {
            let mut all = Gaussian::default();
            all.update(&samples);
            all
        };
        let mut parts = Gaussian::default();
        samples.split(9, 0).iter().for_each(|part| parts.update(part));
        let ((mean, covariance), (mean_of_parts, covariance_of_parts)) =
            (whole.mean_and_covariance().unwrap(), parts.mean_and_covariance().unwrap());
        assert!(mean.allclose(&mean_of_parts, 1e-12, 1e-12, false));
        assert!(covariance.allclose(&covariance_of_parts, 1e-9, 1e-9, false));
        assert!(covariance.allclose(&samples.tr().cov(1, None::<&Tensor>, None::<&Tensor>), 1e-9, 1e-9, false));
        assert!(frechet_distance(&whole, &parts).unwrap() < 1e-8);
    }

    #[test]
    fn one_sample_has_no_covariance() {
        assert!(frechet_distance(&gaussian(&[[0.0, 0.0]]), &axes([0.0; 2], [1.0; 2])).is_none());
    }
}
