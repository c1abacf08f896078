//! The mean squared error.

use tch::{Kind, Tensor};
use vidtok_core::{Loss, MetricError};

/// The mean of (x - y)^2 over all pixels: the loss that PSNR measures.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mse;

impl Loss for Mse {
    fn name(&self) -> &'static str {
        "mse"
    }

    fn forward(&self, target: &Tensor, reconstruction: &Tensor) -> Result<Tensor, MetricError> {
        let (expected, found) = (target.size(), reconstruction.size());
        if expected != found {
            let [expected, found] = [expected, found].map(|shape| format!("{shape:?}"));
            return Err(MetricError { metric: self.name(), expected, found });
        }
        Ok((target - reconstruction).square().mean(Kind::Float))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mse_is_the_mean_squared_error_and_refuses_different_shapes() {
        let x = Tensor::from_slice(&[-1.0_f32, 0.0, 1.0, 0.5]);
        let y = Tensor::from_slice(&[1.0_f32, 0.0, 0.0, 0.5]);
        assert_eq!(Mse.forward(&x, &y).unwrap().double_value(&[]), 1.25);
        assert!(Mse.forward(&x, &y.narrow(0, 0, 1)).is_err(), "shapes are not broadcast");
    }
}
