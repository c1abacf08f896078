//! The quantizers at inference and in training, on the latent of a 17x128x128 clip.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tch::{Device, Kind, Tensor, no_grad};
use vidtok_core::{Quantizer, SingleProcess};
use vidtok_quant::{Fsq, FsqConfig, Kl, KlConfig, QuantizerError};

fn quantizers(criterion: &mut Criterion) -> Result<(), QuantizerError> {
    bench(criterion, "fsq_262144", &Fsq::new(&FsqConfig::new([8; 6]))?);
    bench(criterion, "kl_4chn", &Kl::new(&KlConfig { z_channels: 4, sample: true })?);
    Ok(())
}

fn bench(criterion: &mut Criterion, name: &str, quantizer: &dyn Quantizer) {
    tch::manual_seed(0);
    let encoded = Tensor::randn([1, quantizer.encoder_channels(), 5, 16, 16], (Kind::Float, Device::Cpu));
    let title = |work: &str| format!("{name}_{work}/5x16x16");
    criterion
        .bench_function(&title("quantize"), |b| b.iter(|| black_box(no_grad(|| quantizer.quantize(&encoded, None)))));
    let encoded = encoded.set_requires_grad(true);
    criterion.bench_function(&title("regularize"), |b| {
        b.iter(|| black_box(quantizer.regularize(&encoded, 0, &SingleProcess)))
    });
    let regularized = quantizer.regularize(&encoded, 0, &SingleProcess);
    let loss = regularized.latent.square().sum(Kind::Float) + regularized.loss;
    criterion.bench_function(&title("regularize_backward"), |b| {
        b.iter(|| black_box(Tensor::run_backward(&[&loss], &[&encoded], true, false)))
    });
}

fn run(criterion: &mut Criterion) {
    if let Err(error) = quantizers(criterion) {
        panic!("{error}");
    }
}

criterion_group! {
    name = benches;
    config = vidtok_benches::short_runs();
    targets = run
}
criterion_main!(benches);
