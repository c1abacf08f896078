//! Layer normalisation over channels, and the SiLU that follows it almost everywhere in VidTok.

#![allow(unsafe_code)] // Calls of the shim.

use tch::Tensor;

use crate::nn::init::Init;
use crate::nn::parameter::Parameter;
use crate::nn::params::ParamPath;
use crate::shim;

/// The epsilon of all norms.
pub(crate) const EPS: f64 = 1e-6;

/// Layer normalisation over the last axis (arXiv 1607.06450), eps 1e-6.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: Parameter,
    bias: Parameter,
    /// What is added to the input first.
    input_bias: Option<Parameter>,
}

impl LayerNorm {
    /// Creates or loads the layer: parameters `weight` and `bias` `[channels]`, initially 1 and 0.
    #[must_use]
    pub fn new(path: &ParamPath, channels: i64) -> Self {
        Self {
            weight: path.get("weight", &[channels], Init::Constant(1.0)).into(),
            bias: path.get("bias", &[channels], Init::Constant(0.0)).into(),
            input_bias: None,
        }
    }

    /// The layer for inputs to which `bias` `[channels]` is still to be added, see [`Conv2d::defer_bias`](crate::Conv2d::defer_bias).
    #[must_use]
    pub fn after_bias(self, bias: Option<Parameter>) -> Self {
        Self { input_bias: bias, ..self }
    }

    /// A layer with these parameters, unchecked.
    #[cfg(test)]
    pub(crate) fn of(weight: Tensor, bias: Tensor) -> Self {
        Self { weight: weight.into(), bias: bias.into(), input_bias: None }
    }

    /// Weight and bias, which say all of a layer whose inputs are complete.
    pub(crate) fn parameters(&self) -> Option<(&Tensor, &Tensor)> {
        self.input_bias.is_none().then_some((&self.weight, &self.bias))
    }

    /// Normalises `[..., c]` over c.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let biased = self.input_bias.as_ref().map(|bias| x + &**bias);
        biased.as_ref().unwrap_or(x).layer_norm(self.weight.size(), Some(&*self.weight), Some(&*self.bias), EPS, false)
    }

    /// Normalises `[..., c]` and applies SiLU, y * sigmoid(y). Autograd saves only `x`. There are no second
    /// derivatives.
    ///
    /// Computes in the kind of the parameters and returns the kind of `x`, with and without autocast.
    ///
    /// # Panics
    /// If the last axis of `x` does not have the layer's channels, or if `x` holds integers or is on another device.
    pub fn forward_silu(&self, x: &Tensor) -> Tensor {
        let (weight, bias) = (self.weight.as_ptr(), self.bias.as_ptr());
        let input_bias = shim::pointer(self.input_bias.as_deref());
        // SAFETY: the tensors live during the call.
        shim::tensor(|out| unsafe { shim::vidtok_norm_silu(x.as_ptr(), input_bias, weight, bias, EPS, out) })
    }

    /// Like [`forward_silu`](Self::forward_silu), into `[b, frames + t, h, w, c]`, whose first frames are left for the
    /// caller to write. Returns `None` where no kernel of ours writes there: on CPUs, or if autograd records the call.
    pub fn forward_silu_after(&self, frames: i64, x: &Tensor) -> Option<Tensor> {
        let (weight, bias) = (self.weight.as_ptr(), self.bias.as_ptr());
        let input_bias = shim::pointer(self.input_bias.as_deref());
        // SAFETY: the tensors live during the call.
        shim::maybe_tensor(|out| unsafe {
            shim::vidtok_norm_silu_after(x.as_ptr(), input_bias, weight, bias, EPS, frames, out)
        })
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn normalised_channels_have_zero_mean_and_unit_variance() {
        tch::manual_seed(0);
        let norm = LayerNorm::new(&ParamPath::fresh(Device::Cpu), 64);
        let x = Tensor::randn([2, 3, 64], (Kind::Float, Device::Cpu)) * 5.0 + 2.0;
        let y = norm.forward(&x);
        assert!(y.mean_dim(-1, false, Kind::Float).abs().max().double_value(&[]) < 1e-5);
        assert!((y.square().mean(Kind::Float).double_value(&[]) - 1.0).abs() < 1e-4);
    }

    fn random(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu))
    }

    /// A layer with random parameters that require gradients.
    fn trained(channels: i64) -> LayerNorm {
        let trained = |offset: f64| Parameter::from((random(&[channels]) + offset).set_requires_grad(true));
        LayerNorm { weight: trained(1.0), bias: trained(0.0), input_bias: None }
    }

    fn plain(norm: &LayerNorm, x: &Tensor) -> Tensor {
        let y = norm.forward(x);
        y.sigmoid() * y
    }

    /// The largest difference, relative to the largest value.
    fn difference(a: &Tensor, b: &Tensor) -> f64 {
        assert_eq!((a.size(), a.kind()), (b.size(), b.kind()));
        let [a, b] = [a, b].map(|x| x.to_kind(Kind::Double));
        ((a - &b).abs().max() / b.abs().max()).double_value(&[])
    }

    #[test]
    fn silu_is_the_same_with_and_without_gradients() {
        tch::manual_seed(0);
        let norm = trained(8);
        let x = random(&[4, 8]);
        let expected = plain(&norm, &x);
        assert!(norm.forward_silu(&x).requires_grad());
        for y in [norm.forward_silu(&x), tch::no_grad(|| norm.forward_silu(&x))] {
            assert!(difference(&y, &expected) < 1e-6);
        }
    }

    /// Gradients of the input and the parameters.
    fn gradients(norm: &LayerNorm, x: &Tensor, y: Tensor, cotangent: &Tensor) -> [Tensor; 3] {
        let loss = (y * cotangent).sum(cotangent.kind());
        Tensor::run_backward(&[loss], &[x, &*norm.weight, &*norm.bias], false, false).try_into().unwrap()
    }

    #[test]
    fn values_and_gradients_equal_libtorch_for_any_number_of_channels() {
        tch::manual_seed(0);
        // Fewer channels than a vector, whole vectors, and a remainder; more rows than one part.
        for (channels, rows) in [(3, 7), (16, 9000), (21, 50), (64, 30), (512, 300)] {
            let norm = trained(channels);
            // Spreads the values: in a row of nearly equal numbers rounding would dominate.
            let spread = Tensor::arange(channels, (Kind::Float, Device::Cpu)).remainder(2.0) * 3.0;
            let x = ((random(&[2, rows, channels]).tanh() + spread) * 3.0 + 1.0).set_requires_grad(true);
            let cotangent = random(&[2, rows, channels]);
            let y = norm.forward_silu(&x);
            let found = [y.shallow_clone()].into_iter().chain(gradients(&norm, &x, y, &cotangent));

            let wide = |x: &Tensor| x.detach().to_kind(Kind::Double).set_requires_grad(true);
            let norm = LayerNorm::of(wide(&norm.weight), wide(&norm.bias));
            let x = wide(&x);
            let y = plain(&norm, &x);
            let expected = [y.shallow_clone()].into_iter().chain(gradients(&norm, &x, y, &wide(&cotangent)));
            for (found, expected) in found.zip(expected) {
                let difference = difference(&found.to_kind(Kind::Double), &expected);
                assert!(difference < 3e-6, "{channels}: {difference}");
            }
        }
    }

    #[test]
    fn a_deferred_bias_equals_one_that_the_convolution_adds() {
        tch::manual_seed(0);
        let norm = trained(16);
        let [x, bias] = [random(&[5, 16]), random(&[16])].map(|t| t.set_requires_grad(true));
        let later = norm.clone().after_bias(Some(bias.shallow_clone().into()));
        let cotangent = random(&[5, 16]);
        let of = |y: Tensor| {
            let inputs = [&x, &bias, &*norm.weight, &*norm.bias];
            Tensor::run_backward(&[(&y * &cotangent).sum(Kind::Float)], &inputs, false, false).into_iter().chain([y])
        };
        for (found, expected) in of(later.forward_silu(&x)).zip(of(norm.forward_silu(&(&x + &bias)))) {
            assert!(difference(&found, &expected) < 1e-6);
        }
    }

    #[test]
    fn extreme_inputs_stay_finite_and_non_finite_inputs_become_nan() {
        let channels = 16;
        let norm = LayerNorm {
            weight: Tensor::full([channels], 1e3, (Kind::Float, Device::Cpu)).into(),
            bias: Tensor::zeros([channels], (Kind::Float, Device::Cpu)).into(),
            input_bias: None,
        };
        let x = Tensor::linspace(-1e4, 1e4, channels, (Kind::Float, Device::Cpu));
        assert!(difference(&norm.forward_silu(&x), &plain(&norm, &x)) < 1e-6);
        for bad in [f64::NAN, f64::INFINITY] {
            let _ = x.get(3).fill_(bad);
            assert!(norm.forward_silu(&x).isnan().all().int64_value(&[]) == 1);
        }
    }

    #[test]
    fn gradients_do_not_depend_on_the_number_of_threads() {
        tch::manual_seed(0);
        let norm = trained(16);
        let x = random(&[40_000, 16]).set_requires_grad(true);
        let cotangent = random(&[40_000, 16]);
        let threads = tch::get_num_threads();
        let [one, two] = [1, 2].map(|count| {
            tch::set_num_threads(count);
            gradients(&norm, &x, norm.forward_silu(&x), &cotangent)
        });
        tch::set_num_threads(threads);
        assert_eq!(one, two);
    }

    #[test]
    fn half_precision_inputs_are_computed_on_in_float32() {
        tch::manual_seed(0);
        let norm = trained(64);
        let x = random(&[10, 64]).to_kind(Kind::BFloat16).set_requires_grad(true);
        let wide = x.detach().to_kind(Kind::Float).set_requires_grad(true);
        let (found, expected) = (norm.forward_silu(&x), plain(&norm, &wide));
        assert_eq!(found, expected.to_kind(Kind::BFloat16));
        let ones = found.ones_like().detach();
        let (found, expected) =
            (gradients(&norm, &x, found, &ones), gradients(&norm, &wide, expected, &ones.to_kind(Kind::Float)));
        assert!(difference(&found[0].to_kind(Kind::Float), &expected[0]) < 4e-3);
        for i in [1, 2] {
            assert!(difference(&found[i], &expected[i]) < 1e-6, "parameters keep float32");
        }
    }
}
