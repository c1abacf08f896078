//! Adam (arXiv 1412.6980) with its state in plain tensors of our own; tch's optimizer hides it.

use serde::{Deserialize, Serialize};
use tch::Tensor;

/// Configuration of [`Adam`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamConfig {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the mean of the gradients, in [0, 1).
    pub beta1: f64,
    /// Decay of the mean of their squares, in [0, 1).
    pub beta2: f64,
    /// Keeps the division finite; above 0.
    pub eps: f64,
}

impl Default for AdamConfig {
    /// The published values.
    fn default() -> Self {
        Self { lr: 1e-5, beta1: 0.9, beta2: 0.999, eps: 1e-8 }
    }
}

/// The optimizer of a list of parameters.
#[derive(Debug)]
pub struct Adam {
    config: AdamConfig,
    parameters: Vec<Moments>,
    steps: i32,
}

#[derive(Debug)]
struct Moments {
    parameter: Tensor,
    mean: Tensor,
    mean_square: Tensor,
}

impl Adam {
    /// For these parameters, in this order.
    #[must_use]
    pub fn new(config: AdamConfig, parameters: impl IntoIterator<Item = Tensor>) -> Self {
        let moments = |parameter: Tensor| Moments {
            mean: parameter.detach().zeros_like(),
            mean_square: parameter.detach().zeros_like(),
            parameter,
        };
        Self { config, parameters: parameters.into_iter().map(moments).collect(), steps: 0 }
    }

    /// Fills the gradients with zeros; a parameter without a gradient stays without.
    pub fn zero_grad(&mut self) {
        for moments in &mut self.parameters {
            moments.parameter.zero_grad();
        }
    }

    /// Scales the gradients so that their joint Euclidean norm is at most `limit`; gives the norm before.
    #[must_use]
    pub fn clip_grad_norm(&self, limit: f64) -> f64 {
        tch::no_grad(|| {
            let gradients: Vec<Tensor> =
                self.parameters.iter().map(|m| m.parameter.grad()).filter(Tensor::defined).collect();
            if gradients.is_empty() {
                return 0.0;
            }
            let norms: Vec<Tensor> = gradients.iter().map(Tensor::norm).collect();
            let norm = Tensor::stack(&norms, 0).norm().double_value(&[]);
            if norm > limit {
                let scale = limit / (norm + 1e-6);
                for mut gradient in gradients {
                    let _ = gradient.g_mul_scalar_(scale);
                }
            }
            norm
        })
    }

    /// Takes one step along the gradients, with the learning rate `lr`.
    pub fn step(&mut self, lr: f64) {
        self.steps += 1;
        let AdamConfig { beta1, beta2, eps, .. } = self.config;
        let correction1 = 1.0 - beta1.powi(self.steps);
        let correction2 = (1.0 - beta2.powi(self.steps)).sqrt();
        tch::no_grad(|| {
            for Moments { parameter, mean, mean_square } in &mut self.parameters {
                let gradient = parameter.grad();
                if !gradient.defined() {
                    continue;
                }
                let _ = mean.lerp_(&gradient, 1.0 - beta1);
                let _ = mean_square.g_mul_scalar_(beta2).addcmul_(&gradient, &(&gradient * (1.0 - beta2)));
                let scale = (mean_square.sqrt() / correction2).g_add_scalar_(eps);
                let _ = parameter.addcdiv_(&(&*mean * (-lr / correction1)), &scale);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    fn parameter(values: &[f64]) -> Tensor {
        Tensor::from_slice(values).set_requires_grad(true)
    }

    #[test]
    fn steps_follow_the_published_recurrence() {
        let x = parameter(&[1.0, -2.0]);
        let mut adam = Adam::new(AdamConfig { lr: 0.1, ..AdamConfig::default() }, [x.shallow_clone()]);
        let (mut expected, mut m, mut v) = ([1.0_f64, -2.0], [0.0_f64; 2], [0.0_f64; 2]);
        for step in 1..=5 {
            adam.zero_grad();
            (x.square() * 0.5).sum(Kind::Double).backward();
            adam.step(0.1);
            for i in 0..2 {
                let gradient = expected[i];
                m[i] = 0.9 * m[i] + 0.1 * gradient;
                v[i] = 0.999 * v[i] + 0.001 * gradient * gradient;
                let (m_hat, v_hat) = (m[i] / (1.0 - 0.9_f64.powi(step)), v[i] / (1.0 - 0.999_f64.powi(step)));
                expected[i] -= 0.1 * m_hat / (v_hat.sqrt() + 1e-8);
            }
        }
        for (i, expected) in expected.into_iter().enumerate() {
            assert!((x.double_value(&[i as i64]) - expected).abs() < 1e-9);
        }
    }

    #[test]
    fn clipping_keeps_the_direction_and_caps_the_joint_norm() {
        let (a, b) = (parameter(&[1.0]), parameter(&[1.0]));
        let adam = Adam::new(AdamConfig::default(), [a.shallow_clone(), b.shallow_clone()]);
        ((&a * 3.0).sum(Kind::Double) + (&b * 4.0).sum(Kind::Double)).backward();
        assert!((adam.clip_grad_norm(10.0) - 5.0).abs() < 1e-9);
        assert!((a.grad().double_value(&[0]) - 3.0).abs() < 1e-9);
        assert!((adam.clip_grad_norm(1.0) - 5.0).abs() < 1e-9);
        assert!((a.grad().double_value(&[0]) - 0.6).abs() < 1e-5);
        assert!((b.grad().double_value(&[0]) - 0.8).abs() < 1e-5);
    }
}
