//! The mean absolute error.

use tch::{Kind, Tensor};
use vidtok_core::{Loss, MetricError};

/// The mean of |x - y| over all pixels.
#[derive(Clone, Copy, Debug, Default)]
pub struct L1;

impl Loss for L1 {
    fn name(&self) -> &'static str {
        "l1"
    }

    fn forward(&self, target: &Tensor, reconstruction: &Tensor) -> Result<Tensor, MetricError> {
        let (expected, found) = (target.size(), reconstruction.size());
        if expected != found {
            let [expected, found] = [expected, found].map(|shape| format!("{shape:?}"));
            return Err(MetricError { metric: self.name(), expected, found });
        }
        Ok((target - reconstruction).abs().mean(Kind::Float))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l1_is_the_mean_absolute_error_and_refuses_different_shapes() {
        let x = Tensor::from_slice(&[-1.0_f32, 0.0, 1.0, 0.5]);
        let y = Tensor::from_slice(&[1.0_f32, 0.0, 0.0, 0.5]);
        assert_eq!(L1.forward(&x, &y).unwrap().double_value(&[]), 0.75);
        assert_eq!(L1.forward(&x, &x).unwrap().double_value(&[]), 0.0);
        assert!(L1.forward(&x, &y.narrow(0, 0, 1)).is_err(), "shapes are not broadcast");
    }
}
