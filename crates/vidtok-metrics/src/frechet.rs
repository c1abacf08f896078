//! The Frechet distance between Gaussians (Dowson & Landau 1982, J. Multivariate Analysis 12(3)).

use tch::{Device, Kind, Tensor};

/// Mean and covariance of samples that come in batches, in float64.
#[derive(Debug, Default)]
pub struct Gaussian {
    count: i64,
    moments: Option<Moments>,
}

#[derive(Debug)]
struct Moments {
    /// `[d]`
    mean: Tensor,
    /// Sum of the outer products of what samples are off the mean, `[d, d]`.
    scatter: Tensor,
}

impl Gaussian {
    /// Takes samples `[n, d]` of any float kind, on any device; d is that of the samples before.
    pub fn update(&mut self, samples: &Tensor) {
        let samples = samples.detach().to_device(Device::Cpu).to_kind(Kind::Double);
        let count = samples.size()[0];
        if count == 0 {
            return;
        }
        let mean = samples.mean_dim(0, false, Kind::Double);
        let off = samples - &mean;
        let scatter = off.tr().matmul(&off);
        // Chan, Golub & LeVeque 1979: no difference of large sums.
        self.moments = Some(match self.moments.take() {
            None => Moments { mean, scatter },
            Some(before) => {
                let share = count as f64 / (self.count + count) as f64;
                let apart = mean - &before.mean;
                let between = apart.outer(&apart) * (self.count as f64 * share);
                Moments { mean: before.mean + apart * share, scatter: before.scatter + scatter + between }
            }
        });
        self.count += count;
    }

    /// Samples that came.
    #[must_use]
    pub fn count(&self) -> i64 {
        self.count
    }

    /// The mean `[d]` and the covariance `[d, d]` over n - 1; `None` below two samples.
    #[must_use]
    pub fn mean_and_covariance(&self) -> Option<(Tensor, Tensor)> {
        let Moments { mean, scatter } = self.moments.as_ref().filter(|_| self.count > 1)?;
        Some((mean.copy(), scatter / (self.count - 1) as f64))
    }
}

/// |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)); `None` if a side has less than two samples.
///
/// The trace of the root is that of (C1^(1/2) C2 C1^(1/2))^(1/2), of a symmetric matrix, so nothing leaves the real
/// numbers, whatever the rank of the covariances.
#[must_use]
pub fn frechet_distance(a: &Gaussian, b: &Gaussian) -> Option<f64> {
    let ((mean_a, a), (mean_b, b)) = (a.mean_and_covariance()?, b.mean_and_covariance()?);
    let trace = |x: &Tensor| x.trace().double_value(&[]);
    let root = symmetric_root(&a);
    let product = root.matmul(&b).matmul(&root);
    let eigenvalues = ((&product + product.tr()) / 2.0).linalg_eigvalsh("L");
    let root_trace = eigenvalues.clamp_min(0.0).sqrt().sum(Kind::Double).double_value(&[]);
    let apart = (mean_a - mean_b).square().sum(Kind::Double).double_value(&[]);
    Some((apart + trace(&a) + trace(&b) - 2.0 * root_trace).max(0.0))
}

/// The root of a symmetric matrix without negative eigenvalues but those of rounding.
fn symmetric_root(matrix: &Tensor) -> Tensor {
    let (values, vectors) = matrix.linalg_eigh("L");
    (&vectors * values.clamp_min(0.0).sqrt()).matmul(&vectors.tr())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(samples: &[[f64; 2]]) -> Gaussian {
        let mut gaussian = Gaussian::default();
        gaussian.update(&Tensor::from_slice2(samples));
        gaussian
    }

    /// Samples along the axes with the variances `v` and `w`, around a mean.
    fn axes([x, y]: [f64; 2], [v, w]: [f64; 2]) -> Gaussian {
        let (a, b) = ((v * 1.5).sqrt(), (w * 1.5).sqrt());
        of(&[[x + a, y], [x - a, y], [x, y + b], [x, y - b]])
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
    fn covariances_without_full_rank_are_no_trouble() {
        let line = of(&[[0.0, 0.0], [2.0, 2.0]]);
        let other = of(&[[0.0, 0.0], [2.0, -2.0]]);
        assert!(near(frechet_distance(&line, &line), 0.0));
        // Orthogonal lines: nothing of the root is left.
        assert!(near(frechet_distance(&line, &other), 4.0 + 4.0 + 4.0));
    }

    #[test]
    fn batches_do_not_matter() {
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
        assert!(frechet_distance(&of(&[[0.0, 0.0]]), &axes([0.0; 2], [1.0; 2])).is_none());
    }
}
