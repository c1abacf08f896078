//! Tests that operands which do not fit each other are errors and never cause reads of foreign memory. The C++ boundary
//! has checks of its own, so it is tested without the layers' checks, too.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tch::{Device, Kind, Tensor};

use crate::nn::causal_context::CausalContext;
use crate::nn::conv::{Conv1d, Conv2d, Conv3d, ConvInit, RowEdges, SpatialConvConfig, TemporalConvConfig};
use crate::nn::conv_call::{KernelAlignment, convolution, normed_convolution, upsampled_convolution};
use crate::nn::norm::LayerNorm;
use crate::nn::params::ParamPath;
use crate::runtime::panic_message::panic_message;

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);
const CAUSAL: TemporalConvConfig = TemporalConvConfig { kernel: 3, stride: 1, padding: 0 };

fn random(shape: &[i64]) -> Tensor {
    Tensor::randn(shape, CPU)
}

fn conv3d(config: TemporalConvConfig) -> Conv3d {
    Conv3d::new(&ParamPath::fresh(Device::Cpu), 64, 64, config, ConvInit::Default)
}

/// The message with which `work` fails.
fn failure<T>(work: impl FnOnce() -> T) -> String {
    match tch::no_grad(|| catch_unwind(AssertUnwindSafe(work))) {
        Ok(_) => panic!("expected a failure"),
        Err(payload) => panic_message(payload.as_ref()),
    }
}

/// Random images or clips of a public shape in channels-last memory.
fn channels_last(shape: &[i64]) -> Tensor {
    let axes = shape.len() as i64;
    let stored: Vec<i64> = [shape[0]].iter().chain(&shape[2..]).chain([&shape[1]]).copied().collect();
    random(&stored).permute([0, axes - 1].into_iter().chain(1..axes - 1).collect::<Vec<_>>())
}

#[test]
fn a_causal_context_of_another_shape_kind_or_rank_is_an_error() {
    tch::manual_seed(0);
    let conv1d = Conv1d::new(&ParamPath::fresh(Device::Cpu), 64, 64, CAUSAL, ConvInit::Default);
    let conv3d = conv3d(CAUSAL);
    let x = random(&[1, 8, 32, 32, 64]);
    let right = || random(&[1, 2, 32, 32, 64]);
    let wrong: [Tensor; 7] = [
        random(&[1, 2, 4, 4, 64]),
        random(&[1, 2, 32, 16, 64]),
        random(&[1, 2, 32, 32, 32]),
        random(&[0, 2, 32, 32, 64]),
        random(&[2, 2, 32, 32, 64]),
        right().to_kind(Kind::Int64),
        right().flatten(0, 1),
    ];
    for frames in &wrong {
        let context = || CausalContext::Frames(frames.shallow_clone());
        let messages = [
            failure(|| conv1d.forward_after(&context(), &x)),
            failure(|| conv3d.forward_after(&context(), &x, RowEdges::Zeros)),
            failure(|| conv3d.forward_after(&context(), &x, RowEdges::Neighbours)),
            failure(|| conv3d.forward_upsampled(&context(), &x, RowEdges::Zeros)),
        ];
        for message in messages {
            let found = format!("the causal context is {:?} {:?} on Cpu, the input ", frames.size(), frames.kind());
            assert!(message.contains(&found), "{message}");
        }
    }
}

/// The failure at the C++ boundary of a convolution over three axes whose operands fit, apart from `change`.
fn boundary_failure(change: impl FnOnce(&mut [Tensor; 4], &mut [i64; 3], &mut [i64; 3])) -> String {
    let mut tensors = [
        channels_last(&[1, 64, 4, 16, 16]),
        channels_last(&[1, 64, 2, 16, 16]),
        random(&[64, 64, 3, 3, 3]),
        random(&[64]),
    ];
    let (mut stride, mut padding) = ([1; 3], [0, 1, 1]);
    change(&mut tensors, &mut stride, &mut padding);
    let [x, context, weight, bias] = tensors;
    failure(|| convolution(&x, &CausalContext::Frames(context), &weight, Some(&bias), stride, padding))
}

#[test]
fn the_boundary_rejects_operands_of_a_convolution_that_do_not_fit() {
    tch::manual_seed(0);
    let prefix = "convolution: the causal context is ";
    for shape in [[1, 64, 2, 4, 4], [1, 32, 2, 16, 16], [2, 64, 2, 16, 16], [0, 64, 2, 16, 16], [1, 64, 2, 16, 15]] {
        let message = boundary_failure(|tensors, _, _| tensors[1] = channels_last(&shape));
        assert!(message.contains(prefix), "{message}");
    }
    assert!(boundary_failure(|tensors, _, _| tensors[1] = tensors[1].flatten(0, 1)).contains(prefix));
    assert!(boundary_failure(|tensors, _, _| tensors[1] = tensors[1].to_kind(Kind::Int)).contains(prefix));
    assert!(boundary_failure(|tensors, _, _| tensors[1] = Tensor::new()).contains("undefined"));
    assert!(boundary_failure(|tensors, _, _| tensors[0] = Tensor::new()).contains("undefined"));

    for shape in [&[64, 32, 3, 3, 3][..], &[64, 64, 3, 3], &[64]] {
        let message = boundary_failure(|tensors, _, _| tensors[2] = random(shape));
        assert!(message.contains("convolution") || message.contains("slice"), "{message}");
    }
    for shape in [[0, 64, 3, 3, 3], [64, 64, 0, 3, 3]] {
        assert!(boundary_failure(|tensors, _, _| tensors[2] = random(&shape)).contains("is empty"));
    }
    for shape in [&[63][..], &[0], &[65], &[64, 1]] {
        let message = boundary_failure(|tensors, _, _| tensors[3] = random(shape));
        assert!(message.contains("the bias must have one element for each of the 64 output channels"), "{message}");
    }
    for (stride, padding) in [([0, 1, 1], [0; 3]), ([-1, 1, 1], [0; 3]), ([1; 3], [-1, 0, 0]), ([1; 3], [1 << 62; 3])] {
        let message = boundary_failure(|_, s, p| (*s, *p) = (stride, padding));
        assert!(message.contains("is out of range"), "{message}");
    }
    let zeros = |count| {
        let x = channels_last(&[1, 64, 4, 16, 16]);
        failure(|| {
            convolution(
                &x,
                &CausalContext::Zeros(count),
                &random(&[64, 64, 3, 3, 3]),
                Some(&random(&[64])),
                [1; 3],
                [0, 1, 1],
            )
        })
    };
    assert!(zeros(-1).contains("is out of range") && zeros(i64::MAX).contains("is out of range"));
}

#[test]
fn a_kernel_larger_than_its_input_is_an_error_as_in_libtorch() {
    tch::manual_seed(0);
    for stride in [1, 2] {
        let conv = conv3d(TemporalConvConfig { stride, ..CAUSAL });
        for t in 0..3 {
            let message = failure(|| conv.forward(&random(&[1, t, 16, 16, 64])));
            assert!(message.contains(&format!("which has {t} with context and padding")), "{message}");
        }
        assert_eq!(conv.forward(&random(&[1, 3, 16, 16, 64])).size(), [1, 1, 16, 16, 64]);
        assert_eq!(conv.forward(&random(&[1, 4, 16, 16, 64])).size()[1], if stride == 1 { 2 } else { 1 });
    }
    let conv = conv3d(CAUSAL);
    assert!(
        failure(|| conv.forward_upsampled(&CausalContext::NONE, &random(&[1, 1, 16, 16, 64]), RowEdges::Zeros))
            .contains("reaches over 2")
    );
    assert!(
        failure(|| conv.forward_after(&CausalContext::NONE, &random(&[1, 3, 2, 16, 64]), RowEdges::Neighbours))
            .contains("reaches over 3")
    );
    let conv = Conv2d::new(&ParamPath::fresh(Device::Cpu), 64, 64, Conv2d::SAME, ConvInit::Default);
    assert!(
        failure(|| conv.forward_upsampled(&random(&[1, 1, 2, 16, 64]), RowEdges::Neighbours))
            .contains("reaches over 3")
    );
    assert!(failure(|| conv.forward(&random(&[1, 1, 0, 16, 64]))).contains("reaches over 3"));
}

#[test]
fn errors_name_the_layer_its_input_and_the_expected_shape() {
    let path = ParamPath::fresh(Device::Cpu);
    let conv2d = Conv2d::new(&path.sub("2d"), 64, 64, Conv2d::SAME, ConvInit::Default);
    let wide = SpatialConvConfig { kernel: 5, stride: 1, padding: 2 };
    let wide = Conv2d::new(&path.sub("wide"), 64, 64, wide, ConvInit::Default);
    let norm = LayerNorm::new(&path.sub("norm"), 64);
    let x = random(&[1, 2, 8, 8, 32]);
    let expected = "the input is [1, 2, 8, 8, 32] on Cpu; expected [b, t, h, w, 64] on Cpu";
    assert_eq!(failure(|| conv2d.forward(&x)), format!("internal error: Conv2d: {expected}"));
    assert_eq!(
        failure(|| conv2d.forward_normed(&norm, x.shallow_clone())),
        format!("internal error: Conv2d: {expected}")
    );
    assert_eq!(failure(|| conv3d(CAUSAL).forward(&x)), format!("internal error: Conv3d: {expected}"));
    assert!(failure(|| conv2d.forward(&x.flatten(0, 1))).contains("[2, 8, 8, 32]"));
    assert!(
        failure(|| wide.forward_upsampled(&random(&[1, 2, 8, 8, 64]), RowEdges::Zeros)).contains("expected 3 taps")
    );
    assert!(failure(|| conv3d(CAUSAL).scaled(&random(&[2]))).contains("expected one element"));
}

#[test]
fn norms_reject_parameters_and_inputs_that_do_not_fit() {
    let norm = |weight: &[i64], bias: &[i64]| LayerNorm::of(random(weight), random(bias));
    let x = random(&[3, 64]);
    for (weight, bias) in [(&[64][..], &[63][..]), (&[64], &[0]), (&[64], &[64, 1]), (&[0], &[0]), (&[8, 8], &[8, 8])] {
        assert!(failure(|| norm(weight, bias).forward_silu(&x)).contains("expected [channels] for both"));
    }
    let fit = norm(&[64], &[64]);
    assert!(failure(|| fit.forward_silu(&random(&[3, 32]))).contains("norm over 64 channels: the input is [3, 32]"));
    assert!(failure(|| fit.forward_silu(&x.to_kind(Kind::Int64))).contains("the input is Long"));
    let mixed = LayerNorm::of(random(&[64]), random(&[64]).to_kind(Kind::Half));
    assert!(failure(|| mixed.forward_silu(&x)).contains("the bias Half"));
    let images = channels_last(&[1, 64, 16, 16]);
    let short = norm(&[32], &[32]);
    let fused = |norm: &LayerNorm| {
        tch::no_grad(|| normed_convolution(norm, &images, &random(&[64, 64, 3, 3]), &random(&[64]), [1; 2]))
    };
    assert!(fused(&short).is_none(), "left to the norm, which rejects it");
    let message = failure(|| normed_convolution(&fit, &images, &random(&[64, 64, 3, 3]), &random(&[32]), [1; 2]));
    assert!(message.contains("the bias must have one element"), "{message}");
}

#[test]
fn upsampled_frames_with_more_zeros_than_our_kernel_supports_are_left_to_libtorch() {
    tch::manual_seed(0);
    let (x, weight, bias) = (channels_last(&[1, 64, 4, 16, 16]), random(&[64, 64, 3, 3, 3]), random(&[64]));
    let upsampled = |zeros, alignment, padding| {
        tch::no_grad(|| {
            upsampled_convolution(&x, &CausalContext::Zeros(zeros), &weight, &bias, alignment, [padding, 1, 1])
        })
    };
    for (zeros, alignment, padding) in [
        (2, KernelAlignment::Causal, 0),
        (1, KernelAlignment::Centered, 1),
        (0, KernelAlignment::Centered, 2),
        (0, KernelAlignment::Causal, 1),
    ] {
        assert!(upsampled(zeros, alignment, padding).is_none());
    }
    let conv = conv3d(CAUSAL);
    let clip = random(&[1, 4, 16, 16, 64]);
    let frames = CausalContext::Frames(Tensor::zeros([1, 2, 16, 16, 64], CPU));
    let [zeros, frames] = [CausalContext::Zeros(2), frames]
        .map(|context| tch::no_grad(|| conv.forward_upsampled(&context, &clip, RowEdges::Zeros)));
    assert!((zeros - frames).abs().max().double_value(&[]) < 1e-4);
}

#[test]
fn a_batch_of_zero_clips_returns_zero_clips() {
    let path = ParamPath::fresh(Device::Cpu);
    let x = Tensor::zeros([0, 4, 8, 8, 64], CPU);
    let conv1d = Conv1d::new(&path.sub("1d"), 64, 32, CAUSAL, ConvInit::Default);
    let conv2d = Conv2d::new(&path.sub("2d"), 64, 32, Conv2d::SAME, ConvInit::Default);
    let norm = LayerNorm::new(&path.sub("norm"), 64);
    let context = CausalContext::Frames(x.narrow(1, 0, 2));
    tch::no_grad(|| {
        assert_eq!(conv1d.forward_after(&context, &x).size(), [0, 4, 8, 8, 32]);
        assert_eq!(conv2d.forward(&x).size(), [0, 4, 8, 8, 32]);
        assert_eq!(conv2d.forward_normed(&norm, x.shallow_clone()).size(), [0, 4, 8, 8, 32]);
        assert_eq!(conv2d.forward_upsampled(&x, RowEdges::Zeros).size(), [0, 4, 16, 16, 32]);
        assert_eq!(conv3d(CAUSAL).forward_after(&context, &x, RowEdges::Zeros).size(), [0, 4, 8, 8, 64]);
        assert_eq!(
            conv3d(CAUSAL).forward_upsampled(&CausalContext::Zeros(1), &x, RowEdges::Zeros).size(),
            [0, 8, 8, 8, 64]
        );
        assert_eq!(norm.forward_silu(&x).size(), x.size());
    });
}

#[test]
fn tensors_whose_memory_does_not_hold_their_values_are_handled() {
    tch::manual_seed(0);
    let (x, weight, bias) = (channels_last(&[1, 64, 32, 32]), random(&[64, 64, 3, 3]), random(&[64]));
    let of = |x: &Tensor, weight: &Tensor, bias: &Tensor| {
        tch::no_grad(|| convolution(x, &CausalContext::NONE, weight, Some(bias), [1; 2], [1; 2]))
    };
    let assert_close = |a: Tensor, b: Tensor| assert!((a - b).abs().max().double_value(&[]) < 1e-3);
    // Views that libtorch negates on reading.
    assert_close(of(&x.internal_neg_view(), &weight, &bias), of(&-&x, &weight, &bias));
    assert_close(of(&x, &weight.internal_neg_view(), &bias), of(&x, &-&weight, &bias));
    assert_close(of(&x, &weight, &bias.internal_neg_view()), of(&x, &weight, &-&bias));
    let norm = |weight: Tensor, x: &Tensor| LayerNorm::of(weight, bias.shallow_clone()).forward_silu(x);
    let (rows, scale) = (random(&[5, 64]), random(&[64]));
    assert_close(norm(scale.internal_neg_view(), &rows), norm(-&scale, &rows));
    assert_close(norm(scale.shallow_clone(), &rows.internal_neg_view()), norm(scale.shallow_clone(), &-&rows));
    // A strided view, and one element expanded to a whole tensor.
    let strided = random(&[128]).slice(0, 0, 128, 2);
    assert_close(norm(strided.shallow_clone(), &rows), norm(strided.contiguous(), &rows));
    assert_close(of(&x, &weight, &strided), of(&x, &weight, &strided.contiguous()));
    let one = random(&[1, 1, 1, 1]).expand([1, 64, 32, 32], false);
    assert_close(of(&one, &weight, &bias), of(&one.contiguous(), &weight, &bias));
    // A tensor without memory.
    let none = Tensor::internal_efficientzerotensor([64], CPU);
    assert_close(of(&x, &weight, &bias) - bias.view([64, 1, 1]), of(&x, &weight, &bias.zeros_like()));
    let _ = catch_unwind(AssertUnwindSafe(|| of(&x, &weight, &none))); // a result or an error, but no read of missing memory
    let _ = catch_unwind(AssertUnwindSafe(|| norm(none, &rows)));
}

#[test]
fn replacing_the_data_of_a_weight_before_backward_is_an_error() {
    tch::manual_seed(0);
    let x = channels_last(&[1, 64, 16, 16]);
    let mut weight = random(&[64, 64, 3, 3]).set_requires_grad(true);
    let y = convolution(&x, &CausalContext::NONE, &weight, Some(&random(&[64])), [1; 2], [1; 2]);
    weight.set_data(&random(&[16, 16, 3, 3]));
    assert!(y.sum(Kind::Float).f_backward().is_err());

    let mut weight = random(&[64]).set_requires_grad(true);
    let y = LayerNorm::of(weight.shallow_clone(), random(&[64])).forward_silu(&random(&[9, 64]));
    weight.set_data(&random(&[4]));
    assert!(y.sum(Kind::Float).f_backward().is_err());
}
