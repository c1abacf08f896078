//! LeCAM regularization (arXiv 2104.03310): the discriminator's logits must not run away from their moving means.

use tch::{Kind, Tensor};

/// Share of the old mean that stays.
const DECAY: f64 = 0.999;

/// The moving means of the logits, starting at 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LeCam {
    /// Of real clips.
    pub real: f64,
    /// Of reconstructed ones.
    pub fake: f64,
}

impl LeCam {
    /// Counts the means of a batch's logits into the moving ones.
    pub fn update(&mut self, real: f64, fake: f64) {
        let moved = |mean: f64, logits: f64| mean * DECAY + logits * (1.0 - DECAY);
        self.real = moved(self.real, real);
        self.fake = moved(self.fake, fake);
    }

    /// mean relu(real - mean of fake)^2 + mean relu(mean of real - fake)^2, a scalar.
    pub fn forward(&self, real: &Tensor, fake: &Tensor) -> Tensor {
        let real = (real - self.fake).relu().square();
        let fake = (fake.neg() + self.real).relu().square();
        real.mean(Kind::Float) + fake.mean(Kind::Float)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_move_slowly_and_the_loss_has_its_closed_form() {
        let mut lecam = LeCam::default();
        lecam.update(2.0, -2.0);
        assert!((lecam.real - 0.002).abs() < 1e-9 && (lecam.fake + 0.002).abs() < 1e-9);
        let (real, fake) = (Tensor::from_slice(&[3.0_f32, 1.0]), Tensor::from_slice(&[-1.0_f32, -3.0]));
        let lecam = LeCam { real: 1.0, fake: 2.0 };
        // relu(3 - 2)^2 / 2 + (2^2 + 4^2) / 2
        assert!((lecam.forward(&real, &fake).double_value(&[]) - 10.5).abs() < 1e-6);
    }
}
