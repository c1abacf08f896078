//! Values with known gradients.

use tch::{Kind, Tensor};

/// Returns the scalar `value` as a function of `x` whose gradient is `gradient`, a tensor of the shape of `x`.
///
/// A loss that is differentiated part by part need not keep its graph until the backward pass of the network that
/// computed `x`: that pass starts from this value.
pub fn with_gradient(value: &Tensor, x: &Tensor, gradient: &Tensor) -> Tensor {
    let product = (x * gradient.detach()).sum(Kind::Float);
    &product - product.detach() + value.detach()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_and_its_gradient_are_the_given_ones() {
        let x = Tensor::from_slice(&[1.0_f32, 2.0]).set_requires_grad(true);
        let y = with_gradient(&Tensor::from(7.0_f32), &(&x * 3.0), &Tensor::from_slice(&[0.5_f32, -1.0]));
        assert_eq!(y.double_value(&[]), 7.0);
        y.backward();
        assert_eq!(Vec::<f32>::try_from(x.grad()).unwrap(), [1.5, -3.0]);
    }
}
