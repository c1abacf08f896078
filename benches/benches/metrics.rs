//! Metrics of 64x64 clips, and the gradient of LPIPS that training uses.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tch::{Device, Kind, Tensor, no_grad};
use vidtok_metrics::{FrameMetric, Lpips, LpipsNet, Ssim};
use vidtok_torch::ParamPath;

fn metrics(criterion: &mut Criterion) {
    tch::manual_seed(0);
    let clip = |frames| Tensor::rand([1, 3, frames, 64, 64], (Kind::Float, Device::Cpu));
    let (x, y) = (clip(16), clip(16));
    criterion.bench_function("ssim/16x64x64", |b| b.iter(|| black_box(Ssim.frames(&x, &y))));

    let images = |clip: Tensor| (clip * 2.0 - 1.0).transpose(1, 2).flatten(0, 1);
    let (x, y) = (images(clip(2)), images(clip(2)));
    for net in [LpipsNet::Vgg, LpipsNet::Alex] {
        let lpips = Lpips::new(&ParamPath::fresh(Device::Cpu), net);
        criterion.bench_function(&format!("lpips_{net}/2x64x64"), |b| {
            b.iter(|| black_box(no_grad(|| lpips.forward(&x, &y))))
        });
        let gradient = || {
            let target = no_grad(|| lpips.features(&x)).ok()?;
            let y = y.detach().copy().set_requires_grad(true);
            lpips.distance(&target, &lpips.features(&y).ok()?).sum(Kind::Float).backward();
            Some(y.grad())
        };
        criterion.bench_function(&format!("lpips_{net}_gradient/2x64x64"), |b| b.iter(|| black_box(gradient())));
    }
}

criterion_group! {
    name = benches;
    config = vidtok_benches::short_runs();
    targets = metrics
}
criterion_main!(benches);
