//! Adam, alone or with Muon for some of the parameters.

use tch::Tensor;
use vidtok_torch::{norm_of_many, scale_many, zero_many};

use crate::adam::Adam;
use crate::muon::Muon;

/// [`Adam`], alone or beside [`Muon`] for other parameters of the same model.
#[derive(Debug)]
pub struct Optimizer {
    adam: Adam,
    muon: Option<Muon>,
}

impl Optimizer {
    /// Combines optimizers, which must have no parameter in common.
    #[must_use]
    pub fn new(adam: Adam, muon: Option<Muon>) -> Self {
        Self { adam, muon }
    }

    fn parameters(&self) -> impl Iterator<Item = &Tensor> {
        self.adam.parameters().chain(self.muon.iter().flat_map(Muon::parameters))
    }

    fn gradients(&self) -> Vec<Tensor> {
        self.parameters().map(Tensor::grad).filter(Tensor::defined).collect()
    }

    /// Sets the gradients to zero in place, since they may lie in the buckets of a gradient reducer.
    pub fn zero_grad(&mut self) {
        zero_many(&self.gradients());
    }

    /// Scales the gradients so that their joint Euclidean norm is at most `limit`, and returns the norm before scaling.
    #[must_use]
    pub fn clip_grad_norm(&self, limit: f64) -> f64 {
        let gradients = self.gradients();
        let norm = norm_of_many(&gradients);
        if norm > limit {
            scale_many(&gradients, limit / (norm + 1e-6));
        }
        norm
    }

    /// Takes one step along the gradients with learning rate `lr`. Parameters without a gradient stay as they are.
    pub fn step(&mut self, lr: f64) {
        self.adam.step(lr);
        if let Some(muon) = &mut self.muon {
            muon.step(lr);
        }
    }

    /// The number of steps taken.
    #[must_use]
    pub fn updates(&self) -> i32 {
        self.adam.updates()
    }

    /// Sets the number of steps taken, to continue from a saved state.
    pub fn set_updates(&mut self, updates: i32) {
        self.adam.set_updates(updates);
    }

    /// The state apart from the number of steps: that of both optimizers.
    pub fn state(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.adam.state().chain(self.muon.iter().flat_map(Muon::state))
    }

    /// Restores a saved [`state`](Self::state).
    ///
    /// # Errors
    /// The name of the first tensor that is missing or has another shape. The state is then incomplete.
    pub fn restore(&mut self, tensor: impl Fn(&str) -> Option<Tensor>) -> Result<(), String> {
        self.adam.restore(&tensor)?;
        self.muon.as_mut().map_or(Ok(()), |muon| muon.restore(&tensor))
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::adam::AdamConfig;
    use crate::muon::MuonConfig;

    #[test]
    fn clipping_keeps_the_direction_and_caps_the_joint_norm() {
        let [a, b] = [(); 2].map(|()| Tensor::from_slice(&[1.0_f64]).set_requires_grad(true));
        let mut optimizer = Optimizer::new(Adam::new(AdamConfig::default(), [("a", &a), ("b", &b)]), None);
        ((&a * 3.0).sum(Kind::Double) + (&b * 4.0).sum(Kind::Double)).backward();
        assert!((optimizer.clip_grad_norm(10.0) - 5.0).abs() < 1e-9);
        assert!((a.grad().double_value(&[0]) - 3.0).abs() < 1e-9);
        assert!((optimizer.clip_grad_norm(1.0) - 5.0).abs() < 1e-9);
        assert!((a.grad().double_value(&[0]) - 0.6).abs() < 1e-5);
        assert!((b.grad().double_value(&[0]) - 0.8).abs() < 1e-5);
        optimizer.zero_grad();
        assert_eq!(optimizer.clip_grad_norm(1.0), 0.0);
    }

    #[test]
    fn gradients_are_clipped_jointly_and_both_optimizers_step() {
        tch::manual_seed(0);
        let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let (bias, kernel) = (random(&[3]), random(&[3, 4]));
        let before = [&bias, &kernel].map(|x| x.detach().copy());
        let adam = Adam::new(AdamConfig::default(), [("bias", &bias)]);
        let muon = Muon::new(MuonConfig::default(), Kind::Float, [("kernel", &kernel)]);
        let mut optimizer = Optimizer::new(adam, Some(muon));
        let backward = || ((&bias * 3.0).sum(Kind::Float) + (&kernel * 2.0).sum(Kind::Float)).backward();
        backward();
        optimizer.zero_grad();
        backward();
        let norm = (3.0 * 9.0 + 12.0 * 4.0_f64).sqrt();
        assert!((optimizer.clip_grad_norm(1.0) - norm).abs() < 1e-5);
        assert!((optimizer.clip_grad_norm(1.0) - 1.0).abs() < 1e-5);
        optimizer.step(0.1);
        assert_eq!(optimizer.updates(), 1);
        assert!(!bias.detach().equal(&before[0]) && !kernel.detach().equal(&before[1]));
        let names: Vec<String> = optimizer.state().map(|(name, _)| name).collect();
        assert_eq!(names, ["mean.bias", "mean_square.bias", "momentum.kernel"]);
        assert_eq!(
            optimizer.restore(|name| name.ends_with("bias").then(|| bias.detach())),
            Err("momentum.kernel".to_owned())
        );
    }
}
