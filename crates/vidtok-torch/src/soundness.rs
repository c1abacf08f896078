//! What the layers do with operands that do not belong together: an error that says so, and never memory of others. The
//! border to C++ checks by itself, so it is tested without the layers' own checks too.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tch::{Device, Kind, Tensor};

use crate::nn::causal_context::CausalContext;
use crate::nn::conv::{Conv1d, Conv2d, Conv3d, ConvInit, RowEdges, SpatialConvConfig, TemporalConvConfig};
use crate::nn::conv_call::{Anchor, convolution, normed_convolution, upsampled_convolution};
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

/// What is said instead of an answer.
fn refusal<T>(work: impl FnOnce() -> T) -> String {
    match tch::no_grad(|| catch_unwind(AssertUnwindSafe(work))) {
        Ok(_) => panic!("an answer"),
        Err(payload) => panic_message(payload.as_ref()),
    }
}

/// Pictures or clips in channels-last memory under their public shape.
fn channels_last(shape: &[i64]) -> Tensor {
    let axes = shape.len() as i64;
    let stored: Vec<i64> = [shape[0]].iter().chain(&shape[2..]).chain([&shape[1]]).copied().collect();
    random(&stored).permute([0, axes - 1].into_iter().chain(1..axes - 1).collect::<Vec<_>>())
}

#[test]
fn a_past_of_another_shape_kind_or_number_of_axes_is_refused() {
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
        let said = [
            refusal(|| conv1d.forward_after(&context(), &x)),
            refusal(|| conv3d.forward_after(&context(), &x, RowEdges::Zeros)),
            refusal(|| conv3d.forward_after(&context(), &x, RowEdges::Given)),
            refusal(|| conv3d.forward_upsampled(&context(), &x, RowEdges::Zeros)),
        ];
        for said in said {
            let found = format!("the past is {:?} {:?} on Cpu, the input ", frames.size(), frames.kind());
            assert!(said.contains(&found), "{said}");
        }
    }
}

/// The border's own checks of a convolution over three axes whose operands fit but for `change`.
fn border_refusal(change: impl FnOnce(&mut [Tensor; 4], &mut [i64; 3], &mut [i64; 3])) -> String {
    let mut tensors = [
        channels_last(&[1, 64, 4, 16, 16]),
        channels_last(&[1, 64, 2, 16, 16]),
        random(&[64, 64, 3, 3, 3]),
        random(&[64]),
    ];
    let (mut stride, mut padding) = ([1; 3], [0, 1, 1]);
    change(&mut tensors, &mut stride, &mut padding);
    let [x, context, weight, bias] = tensors;
    refusal(|| convolution(&x, &CausalContext::Frames(context), &weight, &bias, stride, padding))
}

#[test]
fn the_border_refuses_operands_of_a_convolution_that_do_not_fit() {
    tch::manual_seed(0);
    let front = "convolution: the frames in front are ";
    for shape in [[1, 64, 2, 4, 4], [1, 32, 2, 16, 16], [2, 64, 2, 16, 16], [0, 64, 2, 16, 16], [1, 64, 2, 16, 15]] {
        let said = border_refusal(|tensors, _, _| tensors[1] = channels_last(&shape));
        assert!(said.contains(front), "{said}");
    }
    assert!(border_refusal(|tensors, _, _| tensors[1] = tensors[1].flatten(0, 1)).contains(front));
    assert!(border_refusal(|tensors, _, _| tensors[1] = tensors[1].to_kind(Kind::Int)).contains(front));
    assert!(border_refusal(|tensors, _, _| tensors[1] = Tensor::new()).contains("undefined"));
    assert!(border_refusal(|tensors, _, _| tensors[0] = Tensor::new()).contains("undefined"));

    for shape in [&[64, 32, 3, 3, 3][..], &[64, 64, 3, 3], &[64]] {
        let said = border_refusal(|tensors, _, _| tensors[2] = random(shape));
        assert!(said.contains("convolution") || said.contains("slice"), "{said}");
    }
    for shape in [[0, 64, 3, 3, 3], [64, 64, 0, 3, 3]] {
        assert!(border_refusal(|tensors, _, _| tensors[2] = random(&shape)).contains("is empty"));
    }
    for shape in [&[63][..], &[0], &[65], &[64, 1]] {
        let said = border_refusal(|tensors, _, _| tensors[3] = random(shape));
        assert!(said.contains("the bias must have one number for each of the 64 output channels"), "{said}");
    }
    for (stride, padding) in [([0, 1, 1], [0; 3]), ([-1, 1, 1], [0; 3]), ([1; 3], [-1, 0, 0]), ([1; 3], [1 << 62; 3])] {
        let said = border_refusal(|_, s, p| (*s, *p) = (stride, padding));
        assert!(said.contains("is out of range"), "{said}");
    }
    let zeros = |count| {
        let x = channels_last(&[1, 64, 4, 16, 16]);
        refusal(|| {
            convolution(
                &x,
                &CausalContext::Zeros(count),
                &random(&[64, 64, 3, 3, 3]),
                &random(&[64]),
                [1; 3],
                [0, 1, 1],
            )
        })
    };
    assert!(zeros(-1).contains("is out of range") && zeros(i64::MAX).contains("is out of range"));
}

#[test]
fn a_kernel_that_is_larger_than_its_input_is_refused_as_libtorch_refuses_it() {
    tch::manual_seed(0);
    for stride in [1, 2] {
        let conv = conv3d(TemporalConvConfig { stride, ..CAUSAL });
        for t in 0..3 {
            let said = refusal(|| conv.forward(&random(&[1, t, 16, 16, 64])));
            assert!(said.contains(&format!("where there are {t} with what stands beside it")), "{said}");
        }
        assert_eq!(conv.forward(&random(&[1, 3, 16, 16, 64])).size(), [1, 1, 16, 16, 64]);
        assert_eq!(conv.forward(&random(&[1, 4, 16, 16, 64])).size()[1], if stride == 1 { 2 } else { 1 });
    }
    let conv = conv3d(CAUSAL);
    assert!(
        refusal(|| conv.forward_upsampled(&CausalContext::NONE, &random(&[1, 1, 16, 16, 64]), RowEdges::Zeros))
            .contains("reaches over 2")
    );
    assert!(
        refusal(|| conv.forward_after(&CausalContext::NONE, &random(&[1, 3, 2, 16, 64]), RowEdges::Given))
            .contains("reaches over 3")
    );
    let conv = Conv2d::new(&ParamPath::fresh(Device::Cpu), 64, 64, Conv2d::SAME, ConvInit::Default);
    assert!(
        refusal(|| conv.forward_upsampled(&random(&[1, 1, 2, 16, 64]), RowEdges::Given)).contains("reaches over 3")
    );
    assert!(refusal(|| conv.forward(&random(&[1, 1, 0, 16, 64]))).contains("reaches over 3"));
}

#[test]
fn inputs_that_a_layer_does_not_read_are_named() {
    let path = ParamPath::fresh(Device::Cpu);
    let conv2d = Conv2d::new(&path.sub("2d"), 64, 64, Conv2d::SAME, ConvInit::Default);
    let wide = SpatialConvConfig { kernel: 5, stride: 1, padding: 2 };
    let wide = Conv2d::new(&path.sub("wide"), 64, 64, wide, ConvInit::Default);
    let norm = LayerNorm::new(&path.sub("norm"), 64);
    let x = random(&[1, 2, 8, 8, 32]);
    let expected = "the input is [1, 2, 8, 8, 32] on Cpu; expected [b, t, h, w, 64] on Cpu";
    assert_eq!(refusal(|| conv2d.forward(&x)), format!("internal error: Conv2d: {expected}"));
    assert_eq!(
        refusal(|| conv2d.forward_normed(&norm, x.shallow_clone())),
        format!("internal error: Conv2d: {expected}")
    );
    assert_eq!(refusal(|| conv3d(CAUSAL).forward(&x)), format!("internal error: Conv3d: {expected}"));
    assert!(refusal(|| conv2d.forward(&x.flatten(0, 1))).contains("[2, 8, 8, 32]"));
    assert!(
        refusal(|| wide.forward_upsampled(&random(&[1, 2, 8, 8, 64]), RowEdges::Zeros)).contains("expected 3 taps")
    );
    assert!(refusal(|| conv3d(CAUSAL).scaled(&random(&[2]))).contains("expected one number"));
}

#[test]
fn norms_refuse_parameters_and_inputs_that_do_not_fit() {
    let norm = |weight: &[i64], bias: &[i64]| LayerNorm::of(random(weight), random(bias));
    let x = random(&[3, 64]);
    for (weight, bias) in [(&[64][..], &[63][..]), (&[64], &[0]), (&[64], &[64, 1]), (&[0], &[0]), (&[8, 8], &[8, 8])] {
        assert!(refusal(|| norm(weight, bias).forward_silu(&x)).contains("expected is [channels] for both"));
    }
    let fit = norm(&[64], &[64]);
    assert!(refusal(|| fit.forward_silu(&random(&[3, 32]))).contains("norm over 64 channels: the input is [3, 32]"));
    assert!(refusal(|| fit.forward_silu(&x.to_kind(Kind::Int64))).contains("the input is Long"));
    let mixed = LayerNorm::of(random(&[64]), random(&[64]).to_kind(Kind::Half));
    assert!(refusal(|| mixed.forward_silu(&x)).contains("the bias Half"));
    let pictures = channels_last(&[1, 64, 16, 16]);
    let short = norm(&[32], &[32]);
    let fused = |norm: &LayerNorm| {
        tch::no_grad(|| normed_convolution(norm, &pictures, &random(&[64, 64, 3, 3]), &random(&[64]), [1; 2]))
    };
    assert!(fused(&short).is_none(), "left to the norm, which refuses");
    let said = refusal(|| normed_convolution(&fit, &pictures, &random(&[64, 64, 3, 3]), &random(&[32]), [1; 2]));
    assert!(said.contains("the bias must have one number"), "{said}");
}

#[test]
fn repeated_frames_beside_more_zeros_than_the_kernel_walks_over_are_left_to_others() {
    tch::manual_seed(0);
    let (x, weight, bias) = (channels_last(&[1, 64, 4, 16, 16]), random(&[64, 64, 3, 3, 3]), random(&[64]));
    let repeated = |zeros, anchor, padding| {
        tch::no_grad(|| {
            upsampled_convolution(&x, &CausalContext::Zeros(zeros), &weight, &bias, anchor, [padding, 1, 1])
        })
    };
    for (zeros, anchor, padding) in
        [(2, Anchor::End, 0), (1, Anchor::Middle, 1), (0, Anchor::Middle, 2), (0, Anchor::End, 1)]
    {
        assert!(repeated(zeros, anchor, padding).is_none());
    }
    let conv = conv3d(CAUSAL);
    let clip = random(&[1, 4, 16, 16, 64]);
    let frames = CausalContext::Frames(Tensor::zeros([1, 2, 16, 16, 64], CPU));
    let [zeros, frames] = [CausalContext::Zeros(2), frames]
        .map(|context| tch::no_grad(|| conv.forward_upsampled(&context, &clip, RowEdges::Zeros)));
    assert!((zeros - frames).abs().max().double_value(&[]) < 1e-4);
}

#[test]
fn no_clips_are_answered_with_none() {
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
fn memory_that_does_not_hold_the_numbers_is_not_read_as_if_it_did() {
    tch::manual_seed(0);
    let (x, weight, bias) = (channels_last(&[1, 64, 32, 32]), random(&[64, 64, 3, 3]), random(&[64]));
    let of = |x: &Tensor, weight: &Tensor, bias: &Tensor| {
        tch::no_grad(|| convolution(x, &CausalContext::NONE, weight, bias, [1; 2], [1; 2]))
    };
    let assert_close = |a: Tensor, b: Tensor| assert!((a - b).abs().max().double_value(&[]) < 1e-3);
    // Negated only when they are read.
    assert_close(of(&x.internal_neg_view(), &weight, &bias), of(&-&x, &weight, &bias));
    assert_close(of(&x, &weight.internal_neg_view(), &bias), of(&x, &-&weight, &bias));
    assert_close(of(&x, &weight, &bias.internal_neg_view()), of(&x, &weight, &-&bias));
    let norm = |weight: Tensor, x: &Tensor| LayerNorm::of(weight, bias.shallow_clone()).forward_silu(x);
    let (rows, scale) = (random(&[5, 64]), random(&[64]));
    assert_close(norm(scale.internal_neg_view(), &rows), norm(-&scale, &rows));
    assert_close(norm(scale.shallow_clone(), &rows.internal_neg_view()), norm(scale.shallow_clone(), &-&rows));
    // Every second number of a longer one, and one number for all.
    let strided = random(&[128]).slice(0, 0, 128, 2);
    assert_close(norm(strided.shallow_clone(), &rows), norm(strided.contiguous(), &rows));
    assert_close(of(&x, &weight, &strided), of(&x, &weight, &strided.contiguous()));
    let one = random(&[1, 1, 1, 1]).expand([1, 64, 32, 32], false);
    assert_close(of(&one, &weight, &bias), of(&one.contiguous(), &weight, &bias));
    // Without any memory.
    let none = Tensor::internal_efficientzerotensor([64], CPU);
    assert_close(of(&x, &weight, &bias) - bias.view([64, 1, 1]), of(&x, &weight, &bias.zeros_like()));
    let _ = catch_unwind(AssertUnwindSafe(|| of(&x, &weight, &none))); // an answer or an error, but no read
    let _ = catch_unwind(AssertUnwindSafe(|| norm(none, &rows)));
}

#[test]
fn a_weight_that_was_given_other_data_since_fails_in_backward() {
    tch::manual_seed(0);
    let x = channels_last(&[1, 64, 16, 16]);
    let mut weight = random(&[64, 64, 3, 3]).set_requires_grad(true);
    let y = convolution(&x, &CausalContext::NONE, &weight, &random(&[64]), [1; 2], [1; 2]);
    weight.set_data(&random(&[16, 16, 3, 3]));
    assert!(y.sum(Kind::Float).f_backward().is_err());

    let mut weight = random(&[64]).set_requires_grad(true);
    let y = LayerNorm::of(weight.shallow_clone(), random(&[64])).forward_silu(&random(&[9, 64]));
    weight.set_data(&random(&[4]));
    assert!(y.sum(Kind::Float).f_backward().is_err());
}
