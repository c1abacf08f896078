//! The mean absolute difference.

use tch::{Kind, Tensor};
use vidtok_core::Loss;

/// mean |x - y| over all pixels.
#[derive(Clone, Copy, Debug, Default)]
pub struct L1;

impl Loss for L1 {
    fn name(&self) -> &'static str {
        "l1"
    }

    fn forward(&self, target: &Tensor, reconstruction: &Tensor) -> Tensor {
        (target - reconstruction).abs().mean(Kind::Float)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l1_is_the_mean_absolute_difference_and_zero_for_equals() {
        let x = Tensor::from_slice(&[-1.0_f32, 0.0, 1.0, 0.5]);
        let y = Tensor::from_slice(&[1.0_f32, 0.0, 0.0, 0.5]);
        assert_eq!(L1.forward(&x, &y).double_value(&[]), 0.75);
        assert_eq!(L1.forward(&x, &x).double_value(&[]), 0.0);
    }
}
