//! The layers that take most of the networks' time, forward and backward, at the channels of the published models and of
//! small ones.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tch::{Kind, Tensor, no_grad};
use vidtok_benches::layers::{Case, Layer};
use vidtok_torch::ParameterError;

fn layers(criterion: &mut Criterion) -> Result<(), ParameterError> {
    tch::manual_seed(0);
    for (channels, size) in [(32, [4, 64, 64]), (128, [2, 64, 64]), (256, [2, 32, 32]), (512, [2, 16, 16])] {
        for layer in [Layer::Conv2d, Layer::Conv1d, Layer::Conv3d, Layer::NormSilu] {
            bench(criterion, &Case::new(layer, size, [channels; 2])?);
        }
    }
    for layer in [Layer::DownsampleSpace, Layer::UpsampleSpace, Layer::DownsampleTime, Layer::UpsampleTime] {
        bench(criterion, &Case::new(layer, [2, 32, 32], [128; 2])?);
    }
    bench(criterion, &Case::new(Layer::Pointwise, [2, 64, 64], [128, 256])?);
    bench(criterion, &Case::new(Layer::Attention, [2, 16, 16], [512; 2])?);
    Ok(())
}

fn bench(criterion: &mut Criterion, case: &Case) {
    let (layer, size) = (case.layer(), case.size());
    let x = case.input();
    criterion.bench_function(&format!("{layer}/{size}"), |b| b.iter(|| black_box(no_grad(|| case.forward(&x)))));

    case.parameters().set_requires_grad("", true);
    let x = x.set_requires_grad(true);
    let y = case.forward(&x);
    // Its backward pass is one product of the output's size, and a gradient like another layer's.
    let loss = (&y * y.detach().randn_like()).sum(Kind::Float);
    let parameters = case.parameters().trained().map(|(_, parameter)| parameter);
    let inputs: Vec<&Tensor> = [&x].into_iter().chain(parameters).collect();
    criterion.bench_function(&format!("{layer}_backward/{size}"), |b| {
        b.iter(|| black_box(Tensor::run_backward(&[&loss], &inputs, true, false)))
    });
}

fn run(criterion: &mut Criterion) {
    if let Err(error) = layers(criterion) {
        panic!("{error}");
    }
}

criterion_group! {
    name = benches;
    config = vidtok_benches::short_runs();
    targets = run
}
criterion_main!(benches);
