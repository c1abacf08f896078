//! The layers that the networks spend their time in, at the sizes of a 128x128 clip.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tch::{Device, Kind, Tensor};
use vidtok_core::Quantizer;
use vidtok_quant::{Fsq, FsqConfig};
use vidtok_torch::{Conv1d, Conv2d, Conv3d, ConvInit, LayerNorm, ParamPath, TemporalGeometry};

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);
const CAUSAL: TemporalGeometry = TemporalGeometry { kernel: 3, stride: 1, padding: 0 };

fn layers(criterion: &mut Criterion) {
    let _guard = tch::no_grad_guard();
    let path = ParamPath::fresh(Device::Cpu);
    // Channels of a level, frames, and side of the activation there.
    for (channels, frames, side) in [(128, 4, 128), (256, 4, 64), (512, 2, 32)] {
        let x = Tensor::randn([1, frames, side, side, channels], CPU);
        let size = format!("{frames}x{side}x{side}x{channels}");
        let name = |layer: &str| format!("{layer}/{size}");

        let norm = LayerNorm::new(&path.sub(name("norm")), channels);
        criterion.bench_function(&name("norm_silu"), |b| b.iter(|| black_box(norm.forward_silu(&x))));
        let conv = Conv2d::new(&path.sub(name("2d")), channels, channels, Conv2d::SAME, ConvInit::Default);
        criterion.bench_function(&name("conv2d_3x3"), |b| b.iter(|| black_box(conv.forward(&x))));
        let x = Tensor::randn([1, frames + 2, side, side, channels], CPU);
        let conv = Conv1d::new(&path.sub(name("1d")), channels, channels, CAUSAL, ConvInit::Default);
        criterion.bench_function(&name("conv1d_3"), |b| b.iter(|| black_box(conv.forward(&x))));
        let conv = Conv3d::new(&path.sub(name("3d")), channels, channels, CAUSAL, ConvInit::Default);
        criterion.bench_function(&name("conv3d_3x3x3"), |b| b.iter(|| black_box(conv.forward(&x))));
    }
}

fn quantizers(criterion: &mut Criterion) {
    let _guard = tch::no_grad_guard();
    let Ok(fsq) = Fsq::new(&FsqConfig::new([8; 6])) else { return };
    let encoded = Tensor::randn([1, 6, 5, 32, 32], CPU);
    criterion.bench_function("fsq_262144_quantize/5x32x32", |b| b.iter(|| black_box(fsq.quantize(&encoded, None))));
    criterion.bench_function("fsq_262144_regularize/5x32x32", |b| b.iter(|| black_box(fsq.regularize(&encoded, 0))));
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = layers, quantizers
}
criterion_main!(benches);
