//! Whole passes of small models with the published layouts.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use tch::{Device, Kind, Tensor};
use vidtok::{Config, EncodeOptions, Error, Tokenizer};

fn passes(criterion: &mut Criterion) -> Result<(), Error> {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    tch::manual_seed(0);
    let video = Tensor::rand([1, 3, 17, 64, 64], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
    for name in ["vidtok_kl_causal_488_4chn", "vidtok_fsq_causal_888_32768_v1_1"] {
        let config = Config::load(configs.join(format!("{name}.toml")), &["model.ch=32".to_owned()])?;
        let tokenizer = Tokenizer::init(config, 0, Device::Cpu)?;
        let encoded = tokenizer.encode(&video, EncodeOptions::default())?;
        let title = |pass: &str| format!("{pass}/{name}_ch32_17x64x64");
        criterion.bench_function(&title("encode"), |b| {
            b.iter(|| black_box(tokenizer.encode(&video, EncodeOptions::default())))
        });
        criterion.bench_function(&title("decode"), |b| b.iter(|| black_box(tokenizer.decode(&encoded))));
    }
    Ok(())
}

fn run(criterion: &mut Criterion) {
    if let Err(error) = passes(criterion) {
        panic!("{error}");
    }
}

criterion_group! {
    name = benches;
    config = vidtok_benches::short_runs();
    targets = run
}
criterion_main!(benches);
