//! Adam (arXiv 1412.6980) and AdamW (arXiv 1711.05101) with their state in plain tensors. The optimizers of tch hide it,
//! so that it cannot be saved.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tch::Tensor;
use vidtok_torch::{AdamStep, adam_many};

/// Configuration of [`Adam`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamConfig {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the running mean of the gradients, in [0, 1).
    pub beta1: f64,
    /// Decay of the running mean of the squared gradients, in [0, 1).
    pub beta2: f64,
    /// Added to the denominator to keep the division finite; above 0.
    pub eps: f64,
    /// Decoupled weight decay (AdamW): each update first scales the weights by 1 - lr * weight_decay; 0 is Adam.
    pub weight_decay: f64,
}

impl Default for AdamConfig {
    /// The published values.
    fn default() -> Self {
        Self { lr: 1e-5, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 }
    }
}

/// The optimizer, for named parameters.
#[derive(Debug)]
pub struct Adam {
    config: AdamConfig,
    parameters: BTreeMap<String, Moments>,
    updates: i32,
}

#[derive(Debug)]
struct Moments {
    parameter: Tensor,
    mean: Tensor,
    mean_square: Tensor,
}

/// The names of the two moments in saved states.
const MEAN: &str = "mean";
const MEAN_SQUARE: &str = "mean_square";

impl Adam {
    /// An optimizer of these parameters.
    #[must_use]
    pub fn new<'a>(config: AdamConfig, parameters: impl IntoIterator<Item = (&'a str, &'a Tensor)>) -> Self {
        let moments = |parameter: &Tensor| Moments {
            mean: parameter.detach().zeros_like(),
            mean_square: parameter.detach().zeros_like(),
            parameter: parameter.shallow_clone(),
        };
        let parameters = parameters.into_iter().map(|(name, parameter)| (name.to_owned(), moments(parameter)));
        Self { config, parameters: parameters.collect(), updates: 0 }
    }

    pub(crate) fn parameters(&self) -> impl Iterator<Item = &Tensor> {
        self.parameters.values().map(|moments| &moments.parameter)
    }

    /// Takes one step along the gradients with learning rate `lr`. Parameters without a gradient stay as they are.
    pub fn step(&mut self, lr: f64) {
        self.updates += 1;
        let AdamConfig { beta1, beta2, eps, weight_decay, .. } = self.config;
        let numbers = AdamStep { step: self.updates, lr, betas: [beta1, beta2], weight_decay, eps };
        let [mut parameters, mut gradients, mut means, mut squares] = [(); 4].map(|()| Vec::new());
        for Moments { parameter, mean, mean_square } in self.parameters.values() {
            let gradient = parameter.grad();
            if gradient.defined() {
                parameters.push(parameter.shallow_clone());
                gradients.push(gradient);
                means.push(mean.shallow_clone());
                squares.push(mean_square.shallow_clone());
            }
        }
        adam_many(numbers, &parameters, &gradients, [&means, &squares]);
    }

    /// The number of steps taken.
    #[must_use]
    pub fn updates(&self) -> i32 {
        self.updates
    }

    /// Sets the number of steps taken, to continue from a saved state.
    pub fn set_updates(&mut self, updates: i32) {
        self.updates = updates;
    }

    /// The state apart from the number of steps: `mean.NAME` and `mean_square.NAME` for each parameter.
    pub fn state(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.parameters.iter().flat_map(|(name, moments)| {
            [(MEAN, &moments.mean), (MEAN_SQUARE, &moments.mean_square)]
                .map(|(part, tensor)| (format!("{part}.{name}"), tensor))
        })
    }

    /// Restores a saved [`state`](Self::state).
    ///
    /// # Errors
    /// The name of the first tensor that is missing or has another shape. The state is then incomplete.
    pub fn restore(&mut self, tensor: impl Fn(&str) -> Option<Tensor>) -> Result<(), String> {
        for (name, moments) in &mut self.parameters {
            for (part, own) in [(MEAN, &mut moments.mean), (MEAN_SQUARE, &mut moments.mean_square)] {
                let name = format!("{part}.{name}");
                match tensor(&name) {
                    Some(saved) if saved.size() == own.size() => own.copy_(&saved),
                    _ => return Err(name),
                }
            }
        }
        Ok(())
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
        let mut adam = Adam::new(AdamConfig { lr: 0.1, ..AdamConfig::default() }, [("x", &x)]);
        let (mut expected, mut m, mut v) = ([1.0_f64, -2.0], [0.0_f64; 2], [0.0_f64; 2]);
        for step in 1..=5 {
            x.shallow_clone().zero_grad();
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
    fn weight_decay_is_decoupled_from_the_gradient() {
        let x = parameter(&[2.0]);
        let mut adam = Adam::new(AdamConfig { weight_decay: 0.5, ..AdamConfig::default() }, [("x", &x)]);
        (&x * 0.0).sum(Kind::Double).backward();
        adam.step(0.1);
        assert!((x.double_value(&[0]) - 2.0 * (1.0 - 0.1 * 0.5)).abs() < 1e-12);
    }

    #[test]
    fn a_restored_state_continues_exactly() {
        let run = |restored: bool| {
            let x = parameter(&[1.0, -2.0]);
            let mut adam = Adam::new(AdamConfig::default(), [("x", &x)]);
            for step in 0..4 {
                if restored && step == 2 {
                    let saved: BTreeMap<_, _> = adam.state().map(|(name, tensor)| (name, tensor.copy())).collect();
                    let updates = adam.updates();
                    adam = Adam::new(AdamConfig::default(), [("x", &x)]);
                    adam.set_updates(updates);
                    adam.restore(|name| saved.get(name).map(Tensor::shallow_clone)).unwrap();
                }
                x.shallow_clone().zero_grad();
                x.square().sum(Kind::Double).backward();
                adam.step(0.1);
            }
            x.detach()
        };
        assert!(run(true).equal(&run(false)));
    }

    #[test]
    fn a_missing_tensor_of_a_state_is_named() {
        let x = parameter(&[1.0]);
        let mut adam = Adam::new(AdamConfig::default(), [("x", &x)]);
        assert_eq!(adam.restore(|_| None).unwrap_err(), "mean.x");
    }
}
