//! Values whose gradient is known already.

use tch::{Kind, Tensor};

/// The scalar `value` with the gradient `gradient` at `x`, both of the shape of `x`.
///
/// A loss that is differentiated right away, part by part, needs no graph until the backward pass through the network
/// before it: that one starts from here.
pub fn with_gradient(value: &Tensor, x: &Tensor, gradient: &Tensor) -> Tensor {
    let product = (x * gradient.detach()).sum(Kind::Float);
    &product - product.detach() + value.detach()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_value_and_the_gradient_that_it_was_given() {
        let x = Tensor::from_slice(&[1.0_f32, 2.0]).set_requires_grad(true);
        let y = with_gradient(&Tensor::from(7.0_f32), &(&x * 3.0), &Tensor::from_slice(&[0.5_f32, -1.0]));
        assert_eq!(y.double_value(&[]), 7.0);
        y.backward();
        assert_eq!(Vec::<f32>::try_from(x.grad()).unwrap(), [1.5, -3.0]);
    }
}
