//! The distance of feature vectors that are scaled to unit length, which LPIPS averages over pixels.

#![allow(unsafe_code)] // Calls of the shim.

use tch::Tensor;

use crate::shim;

/// The mean over pixels of the sum over channels of weight * (x / |x| - y / |y|)^2, for vectors `x` and `y`
/// `[n, h, w, c]` and a weight `[c]`: float32 `[n]`.
///
/// Computed in the kind of the weight, with and without autocast. Vectors of zeros stay zero, and their gradient is
/// finite. Autograd saves only `x` and `y`. There are gradients with respect to them, not to the weight, and no second
/// derivatives.
///
/// # Panics
/// If a shape or device does not fit, a size is 0, or a tensor holds integers.
pub fn unit_distance(x: &Tensor, y: &Tensor, weight: &Tensor) -> Tensor {
    // SAFETY: the tensors live during the call.
    shim::tensor(|out| unsafe { shim::vidtok_unit_distance(x.as_ptr(), y.as_ptr(), weight.as_ptr(), out) })
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    /// In float64 by libtorch.
    fn plain(x: &Tensor, y: &Tensor, weight: &Tensor) -> Tensor {
        let unit = |x: &Tensor| x / x.square().sum_dim_intlist(-1, true, Kind::Double).sqrt();
        ((unit(x) - unit(y)).square() * weight).sum_dim_intlist(-1, false, Kind::Double).mean_dim(
            [1_i64, 2].as_slice(),
            false,
            Kind::Double,
        )
    }

    /// The distance and its gradients with respect to both inputs.
    fn differentiated(
        distance: impl Fn(&Tensor, &Tensor, &Tensor) -> Tensor,
        inputs: [&Tensor; 2],
        weight: &Tensor,
        kind: Kind,
    ) -> [Tensor; 3] {
        let [x, y] = inputs.map(|x| x.to_kind(kind).set_requires_grad(true));
        let distances = distance(&x, &y, weight);
        let each = Tensor::arange(distances.size()[0], (Kind::Double, Device::Cpu)) + 1.0;
        let gradients = Tensor::run_backward(&[(&distances * each).sum(Kind::Double)], &[&x, &y], false, false);
        let [by_x, by_y] = gradients.try_into().unwrap();
        [distances.detach(), by_x, by_y]
    }

    fn difference(a: &Tensor, b: &Tensor) -> f64 {
        let [a, b] = [a, b].map(|x| x.to_kind(Kind::Double));
        ((a - &b).abs().max() / b.abs().max()).double_value(&[])
    }

    #[test]
    fn values_and_gradients_equal_libtorch_for_any_number_of_channels_and_pixels() {
        tch::manual_seed(0);
        for [n, h, w, c] in [[2, 3, 5, 7], [1, 1, 1, 1], [3, 20, 40, 64], [2, 9, 1, 515]] {
            let [x, y] = [(); 2].map(|()| Tensor::randn([n, h, w, c], CPU));
            let weight = Tensor::rand([c], CPU);
            for (kind, tolerance) in [(Kind::Float, 1e-5), (Kind::BFloat16, 1e-2)] {
                // The same rounded values for both.
                let [x, y] = [&x, &y].map(|x| x.to_kind(kind).to_kind(Kind::Float));
                let found = differentiated(unit_distance, [&x, &y], &weight, kind);
                let expected = differentiated(plain, [&x, &y], &weight.to_kind(Kind::Double), Kind::Double);
                let differences: Vec<f64> = found.iter().zip(&expected).map(|(a, b)| difference(a, b)).collect();
                // One channel has unit vectors of 1 or -1, whose gradient is 0.
                let differences = if c == 1 { &differences[..1] } else { &differences };
                assert!(differences[0] < 1e-5 && differences.iter().all(|d| *d < tolerance), "{c}: {differences:?}");
                assert_eq!([found[1].kind(), found[2].kind()], [kind; 2]);
            }
        }
    }

    #[test]
    fn strided_inputs_and_float64_have_the_same_distance() {
        tch::manual_seed(1);
        let [x, y] = [(); 2].map(|()| Tensor::randn([2, 16, 6, 5], CPU));
        let weight = Tensor::rand([16], CPU);
        let [x, y] = [&x, &y].map(|x| x.permute([0, 2, 3, 1]));
        let expected = plain(&x.to_kind(Kind::Double), &y.to_kind(Kind::Double), &weight.to_kind(Kind::Double));
        assert!(difference(&unit_distance(&x, &y, &weight), &expected) < 1e-6);
        let double = |x: &Tensor| x.to_kind(Kind::Double);
        assert!(difference(&unit_distance(&double(&x), &double(&y), &double(&weight)), &expected) < 1e-6);
    }

    #[test]
    fn equal_vectors_have_the_distance_zero_and_vanishing_ones_a_finite_gradient() {
        let weight = Tensor::ones([4], CPU);
        let x = Tensor::rand([1, 2, 2, 4], CPU);
        assert_eq!(unit_distance(&x, &x.copy(), &weight).double_value(&[0]), 0.0);
        let [distance, by_x, by_y] =
            differentiated(unit_distance, [&x.zeros_like(), &x.zeros_like()], &weight, Kind::Float);
        assert_eq!([distance, by_x.abs().max(), by_y.abs().max()].map(|x| x.double_value(&[])), [0.0; 3]);
    }

    #[test]
    #[should_panic(expected = "unit_distance over 4 channels: the vectors are [1, 2, 2, 3] and [1, 2, 2, 3]")]
    fn another_number_of_channels_is_refused() {
        let x = Tensor::rand([1, 2, 2, 3], CPU);
        let _ = unit_distance(&x, &x, &Tensor::ones([4], CPU));
    }
}
