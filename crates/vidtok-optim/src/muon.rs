//! Muon (Jordan et al. 2024, <https://kellerjordan.github.io/posts/muon/>): steps along the orthogonalised momentum.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Configuration of [`Muon`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MuonConfig {
    /// Decay of the running mean of the gradients, in [0, 1).
    pub momentum: f64,
}

impl Default for MuonConfig {
    /// The published value.
    fn default() -> Self {
        Self { momentum: 0.95 }
    }
}

/// Iterations that make a matrix orthogonal.
const ITERATIONS: usize = 5;
/// Coefficients of an iteration x -> a x + b x x' x + c (x x')^2 x, which moves singular values in (0, 1] quickly to
/// about 1: between 0.7 and 1.2.
const COEFFICIENTS: [f64; 3] = [3.4445, -4.7750, 2.0315];
/// The root mean square of an update at learning rate 1, about that of Adam's, so that both take the same rate
/// (arXiv 2502.16982).
const UPDATE_SIZE: f64 = 0.2;

/// The optimizer, for named kernels of linear maps and convolutions.
///
/// A kernel `[output, input, ...]` is a matrix with a row for each output. Its step is the momentum with all singular
/// values made about equal, so that directions with small gradients move as far as those with large ones.
#[derive(Debug)]
pub struct Muon {
    config: MuonConfig,
    kind: Kind,
    parameters: BTreeMap<String, Momentum>,
}

#[derive(Debug)]
struct Momentum {
    parameter: Tensor,
    mean: Tensor,
}

/// The name of the momentum in saved states.
const MOMENTUM: &str = "momentum";

impl Muon {
    /// An optimizer of these parameters of two axes or more. `kind` is the number type of its matrix products, for which
    /// bfloat16 is enough.
    #[must_use]
    pub fn new<'a>(
        config: MuonConfig,
        kind: Kind,
        parameters: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
    ) -> Self {
        let momentum = |parameter: &Tensor| Momentum {
            mean: parameter.detach().zeros_like(),
            parameter: parameter.shallow_clone(),
        };
        let parameters = parameters.into_iter().map(|(name, parameter)| (name.to_owned(), momentum(parameter)));
        Self { config, kind, parameters: parameters.collect() }
    }

    /// Takes one step along the gradients with learning rate `lr`. Parameters without a gradient stay as they are.
    pub fn step(&mut self, lr: f64) {
        let decay = self.config.momentum;
        tch::no_grad(|| {
            for Momentum { parameter, mean } in self.parameters.values_mut() {
                let gradient = parameter.grad();
                if !gradient.defined() {
                    continue;
                }
                let _ = mean.lerp_(&gradient, 1.0 - decay);
                // Nesterov's momentum: the mean as the next gradient would leave it if it equalled this one.
                let direction = gradient.lerp(mean, decay).flatten(1, -1);
                let longest = direction.size().into_iter().max().unwrap_or(1);
                let scale = -lr * UPDATE_SIZE * (longest as f64).sqrt();
                let _ = parameter.g_add_(&(orthogonal(&direction, self.kind) * scale).view_as(parameter));
            }
        });
    }

    pub(crate) fn parameters(&self) -> impl Iterator<Item = &Tensor> {
        self.parameters.values().map(|momentum| &momentum.parameter)
    }

    /// The state: `momentum.NAME` for each parameter.
    pub fn state(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.parameters.iter().map(|(name, momentum)| (format!("{MOMENTUM}.{name}"), &momentum.mean))
    }

    /// Restores a saved [`state`](Self::state).
    ///
    /// # Errors
    /// The name of the first tensor that is missing or has another shape. The state is then incomplete.
    pub fn restore(&mut self, tensor: impl Fn(&str) -> Option<Tensor>) -> Result<(), String> {
        for (name, momentum) in &mut self.parameters {
            let name = format!("{MOMENTUM}.{name}");
            match tensor(&name) {
                Some(saved) if saved.size() == momentum.mean.size() => momentum.mean.copy_(&saved),
                _ => return Err(name),
            }
        }
        Ok(())
    }
}

/// A matrix with the singular vectors of `matrix` and singular values of about 1, float32.
fn orthogonal(matrix: &Tensor, kind: Kind) -> Tensor {
    let [rows, columns] = matrix.size()[..] else { return matrix.shallow_clone() };
    let tall = rows > columns;
    // The products are as large as the number of rows.
    let wide = if tall { matrix.transpose(0, 1) } else { matrix.shallow_clone() };
    let [a, b, c] = COEFFICIENTS;
    // No singular value is larger than the norm.
    let mut x = (&wide / (wide.norm() + f64::from(f32::MIN_POSITIVE))).to_kind(kind);
    for _ in 0..ITERATIONS {
        let squares = x.matmul(&x.transpose(0, 1));
        let polynomial = &squares * b + squares.matmul(&squares) * c;
        x = &x * a + polynomial.matmul(&x);
    }
    let x = x.to_kind(Kind::Float);
    if tall { x.transpose(0, 1).contiguous() } else { x }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn kernel(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, CPU).set_requires_grad(true)
    }

    /// Scattered values in (-1, 1). By formula: other tests draw from libtorch's generator at the same time.
    fn scattered(shape: &[i64]) -> Tensor {
        let index = Tensor::arange(shape.iter().product::<i64>(), (Kind::Double, Device::Cpu));
        ((index * 12.9898).sin() * 43758.5453).frac().to_kind(Kind::Float).view(shape)
    }

    #[test]
    fn orthogonal_matrices_keep_the_singular_vectors_and_have_values_near_one() {
        for shape in [[6, 20], [20, 6], [5, 5]] {
            let matrix = scattered(&shape) * 1e-3;
            for (kind, tolerance) in [(Kind::Float, 1e-4), (Kind::BFloat16, 0.05)] {
                let (u, _, v) = matrix.svd(true, true);
                let values = u.transpose(0, 1).matmul(&orthogonal(&matrix, kind)).matmul(&v);
                let diagonal = values.diagonal(0, 0, 1);
                let off_diagonal = (&values - diagonal.diag(0)).abs().max().double_value(&[]);
                assert!(off_diagonal < tolerance, "{shape:?}: {off_diagonal}");
                let [least, most] = [diagonal.min(), diagonal.max()].map(|x| x.double_value(&[]));
                assert!(least > 0.6 && most < 1.25, "{shape:?}: {least} to {most}");
            }
        }
    }

    #[test]
    fn the_size_of_a_step_follows_from_the_rate_and_not_from_the_gradient() {
        tch::manual_seed(1);
        for scale in [1e-6, 1.0, 1e6] {
            let x = kernel(&[8, 4, 3, 3]);
            let before = x.detach().copy();
            let mut muon = Muon::new(MuonConfig::default(), Kind::Float, [("x", &x)]);
            (&x * Tensor::randn([8, 4, 3, 3], CPU) * scale).sum(Kind::Float).backward();
            muon.step(0.01);
            let size = (x.detach() - before).square().mean(Kind::Float).sqrt().double_value(&[]);
            assert!((size / 0.01 / UPDATE_SIZE - 1.0).abs() < 0.2, "{scale}: {size}");
        }
    }

    #[test]
    fn gradients_of_zero_change_nothing() {
        let x = kernel(&[3, 4]);
        let before = x.detach().copy();
        let mut muon = Muon::new(MuonConfig::default(), Kind::Float, [("x", &x)]);
        (&x * 0.0).sum(Kind::Float).backward();
        muon.step(0.1);
        assert!(x.detach().equal(&before));
    }

    #[test]
    fn badly_scaled_least_squares_converge() {
        tch::manual_seed(2);
        let scales = Tensor::logspace(-1.0, 0.0, 16, 10.0, CPU);
        let x = kernel(&[8, 16]);
        let target = Tensor::randn([8, 16], CPU);
        let mut muon = Muon::new(MuonConfig::default(), Kind::Float, [("x", &x)]);
        let steps = 400;
        for step in 0..steps {
            let mut gradient = x.grad();
            if gradient.defined() {
                let _ = gradient.zero_();
            }
            ((&x - &target) * &scales).square().sum(Kind::Float).backward();
            muon.step(0.1 * (1.0 - f64::from(step) / f64::from(steps)));
        }
        // Directions whose gradients are a hundred times smaller are found as well.
        let error = (&x - &target).abs().max().double_value(&[]);
        assert!(error < 0.1, "{error}");
    }

    #[test]
    fn a_restored_state_continues_exactly() {
        tch::manual_seed(3);
        let start = Tensor::randn([3, 4], CPU);
        let run = |restored: bool| {
            let x = start.copy().set_requires_grad(true);
            let new = || Muon::new(MuonConfig::default(), Kind::Float, [("x", &x)]);
            let mut muon = new();
            for step in 0..4 {
                if restored && step == 2 {
                    let saved: BTreeMap<_, _> = muon.state().map(|(name, tensor)| (name, tensor.copy())).collect();
                    muon = new();
                    muon.restore(|name| saved.get(name).map(Tensor::shallow_clone)).unwrap();
                }
                x.square().sum(Kind::Float).backward();
                muon.step(0.1);
            }
            x.detach()
        };
        assert!(run(true).equal(&run(false)));
        assert_eq!(
            Muon::new(MuonConfig::default(), Kind::Float, [("x", &start)]).restore(|_| None),
            Err("momentum.x".to_owned())
        );
    }
}
