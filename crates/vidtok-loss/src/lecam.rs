//! LeCAM regularization (arXiv 2104.03310), which ties the discriminator's logits to their moving averages.

use tch::{Kind, Tensor};

/// Decay of the moving averages.
const DECAY: f64 = 0.999;

/// The moving averages of the logits, which start at 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LeCam {
    /// The average logit of real clips.
    pub real: f64,
    /// The average logit of reconstructed clips.
    pub fake: f64,
}

impl LeCam {
    /// Updates the moving averages with the mean logits of a batch.
    pub fn update(&mut self, real: f64, fake: f64) {
        let updated = |average: f64, mean: f64| average * DECAY + mean * (1.0 - DECAY);
        self.real = updated(self.real, real);
        self.fake = updated(self.fake, fake);
    }

    /// The regularization, a scalar: mean relu(real - average fake)^2 + mean relu(average real - fake)^2.
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
    fn averages_move_slowly_and_the_regularization_has_its_closed_form() {
        let mut lecam = LeCam::default();
        lecam.update(2.0, -2.0);
        assert!((lecam.real - 0.002).abs() < 1e-9 && (lecam.fake + 0.002).abs() < 1e-9);
        let (real, fake) = (Tensor::from_slice(&[3.0_f32, 1.0]), Tensor::from_slice(&[-1.0_f32, -3.0]));
        let lecam = LeCam { real: 1.0, fake: 2.0 };
        // relu(3 - 2)^2 / 2 + (2^2 + 4^2) / 2
        assert!((lecam.forward(&real, &fake).double_value(&[]) - 10.5).abs() < 1e-6);
    }
}
