//! Tests of the kernels for GPUs: their source (`shim/gpu/kernels`), compiled for the CPU, against libtorch in float64.

#![allow(unsafe_code)] // Calls of the shim.

use std::ptr::null_mut;

use tch::{Device, Kind, Tensor};

use crate::nn::norm::EPS;
use crate::shim;

/// Those of all published models, and others that leave lanes of a warp idle.
const WIDTHS: [i64; 7] = [8, 48, 64, 128, 192, 256, 512];

/// Kinds of activations and of parameters, with the largest error relative to the largest value.
const KINDS: [(Kind, Kind, f64); 5] = [
    (Kind::Float, Kind::Float, 1e-6),
    (Kind::BFloat16, Kind::Float, 4e-3),
    (Kind::BFloat16, Kind::BFloat16, 4e-3),
    (Kind::Half, Kind::Float, 5e-4),
    (Kind::Half, Kind::Half, 5e-4),
];

/// Clips and rows of each: one row, fewer rows than a warp has, and a number that fills no warp.
const SHAPES: [[i64; 2]; 3] = [[1, 1], [3, 2], [2, 37]];

struct Operands {
    x: Tensor,
    input_bias: Option<Tensor>,
    weight: Tensor,
    bias: Tensor,
    cotangent: Tensor,
}

impl Operands {
    fn random([clips, rows]: [i64; 2], channels: i64, kind: Kind, parameters: Kind, is_biased: bool) -> Self {
        let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let parameter = |offset: f64| (random(&[channels]) * 0.5 + offset).to_kind(parameters);
        Self {
            x: (random(&[clips, rows, channels]) * 3.0 + 1.0).to_kind(kind),
            input_bias: is_biased.then(|| parameter(0.0)),
            weight: parameter(1.0),
            bias: parameter(0.0),
            cotangent: random(&[clips, rows, channels]).to_kind(kind),
        }
    }

    /// The output, and the gradients of x, weight, bias and the bias of the input, by libtorch in float64.
    fn expected(&self) -> [Tensor; 5] {
        let wide = |x: &Tensor| x.to_kind(Kind::Double).set_requires_grad(true);
        let [x, weight, bias] = [&self.x, &self.weight, &self.bias].map(wide);
        let input_bias = wide(self.input_bias.as_ref().unwrap_or(&self.bias.zeros_like()));
        let normed = (&x + &input_bias).layer_norm(weight.size(), Some(&weight), Some(&bias), EPS, false);
        let y = normed.silu();
        let loss = (&y * self.cotangent.to_kind(Kind::Double)).sum(Kind::Double);
        let mut all = vec![y];
        all.extend(Tensor::run_backward(&[loss], &[&x, &weight, &bias, &input_bias], false, false));
        all.try_into().unwrap()
    }

    fn each(test: impl Fn(&Self, Kind, f64)) {
        tch::manual_seed(0);
        for channels in WIDTHS {
            for (kind, parameters, tolerance) in KINDS {
                for shape in SHAPES {
                    for is_biased in [false, true] {
                        test(&Self::random(shape, channels, kind, parameters, is_biased), kind, tolerance);
                    }
                }
            }
        }
    }
}

fn assert_close(found: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!(found.size(), expected.size());
    let difference = (found.to_kind(Kind::Double) - expected).abs().max() / expected.abs().max();
    let difference = difference.double_value(&[]);
    assert!(difference < tolerance, "{:?} {:?}: {difference}", found.kind(), found.size());
}

#[test]
fn norm_and_silu_equal_libtorch_and_leave_room_for_earlier_frames() {
    Operands::each(|operands, kind, tolerance| {
        let [expected, ..] = operands.expected();
        let Operands { x, input_bias, weight, bias, .. } = operands;
        for frames in [0, 5] {
            // SAFETY: the tensors live during the call, are contiguous, and have the kinds and channels of an instance.
            let y = shim::tensor(|out| unsafe {
                let input_bias = shim::pointer(input_bias.as_ref());
                let (weight, bias) = (weight.as_ptr(), bias.as_ptr());
                shim::vidtok_gpu_norm_silu_on_cpu(x.as_ptr(), input_bias, weight, bias, EPS, frames, out)
            });
            assert_eq!(y.kind(), kind);
            assert!(y.narrow(1, 0, frames).isnan().all().int64_value(&[]) == 1, "the room is not written");
            assert_close(&y.narrow(1, frames, x.size()[1]), &expected, tolerance);
        }
    });
}

#[test]
fn gradients_of_norm_and_silu_equal_libtorch() {
    Operands::each(|operands, kind, tolerance| {
        let [_, of_x, of_weight, of_bias, of_input_bias] = operands.expected();
        let [x, cotangent] = [&operands.x, &operands.cotangent].map(|x| x.flatten(0, 1));
        let Operands { input_bias, weight, bias, .. } = operands;
        let mut sums = null_mut();
        // SAFETY: as above; the second tensor is written to `sums`.
        let found = shim::tensor(|out| unsafe {
            let input_bias = shim::pointer(input_bias.as_ref());
            let (weight, bias) = (weight.as_ptr(), bias.as_ptr());
            let (x, cotangent) = (x.as_ptr(), cotangent.as_ptr());
            shim::vidtok_gpu_norm_silu_backward_on_cpu(x, cotangent, input_bias, weight, bias, EPS, out, &raw mut sums)
        });
        // SAFETY: the call has succeeded, so this is a tensor that C++ made for us.
        let sums = unsafe { Tensor::from_ptr(sums) };
        assert_eq!(found.kind(), kind);
        assert_close(&found, &of_x.flatten(0, 1), tolerance);
        for (index, expected) in [of_weight, of_bias, of_input_bias].iter().enumerate() {
            // Sums of float32 addends. In a single row the last one is a difference of nearly equal numbers.
            let scale = if index == 2 { of_x.abs().max() * x.size()[0] } else { expected.abs().max() };
            let difference = (sums.get(index as i64).to_kind(Kind::Double) - expected).abs().max() / scale;
            assert!(difference.double_value(&[]) < 2e-6, "{index}: {difference}");
        }
    });
}

#[test]
fn the_sum_with_bias_and_residual_is_rounded_once() {
    Operands::each(|operands, kind, _| {
        let [x, residual] = [&operands.x, &operands.cotangent].map(|x| x.flatten(0, 1));
        let bias = &operands.bias;
        // SAFETY: as above.
        let y = shim::tensor(|out| unsafe {
            shim::vidtok_gpu_biased_sum_on_cpu(x.as_ptr(), bias.as_ptr(), residual.as_ptr(), out)
        });
        let wide = |x: &Tensor| x.to_kind(Kind::Float);
        assert_eq!(y, (wide(&x) + (wide(bias) + wide(&residual))).to_kind(kind));
    });
}
