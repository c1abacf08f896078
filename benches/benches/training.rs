//! Training steps of a small model on one small clip, with L1 alone and with the whole recipe.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;
use std::path::Path;
use std::rc::Rc;

use anyhow::Result;
use criterion::{Criterion, criterion_group, criterion_main};
use tch::{Device, Kind, Tensor};
use vidtok::{Config, Tokenizer};
use vidtok_data::Batch;
use vidtok_metrics::{Lpips, LpipsNet};
use vidtok_torch::ParamPath;
use vidtok_train::{Losses, TrainConfig, Trainer};

const CONFIG: &str = "../configs/vidtok_kl_causal_488_4chn.toml";

fn steps(criterion: &mut Criterion) -> Result<()> {
    // As `vidtok` does.
    vidtok_torch::reuse_freed_memory();
    for (name, losses) in [("l1", "{}"), ("lpips_gan", "{ perceptual = {}, gan = { start = 0 } }")] {
        tch::manual_seed(0);
        let clips = Tensor::rand([1, 3, 5, 64, 64], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
        let batch = [Batch { clips, names: vec!["random".to_owned()] }];
        let mut trainer = trainer(losses)?;
        trainer.step(&batch)?;
        criterion.bench_function(&format!("train_step_{name}/kl_causal_488_4chn_ch32_5x64x64"), |b| {
            b.iter(|| black_box(trainer.step(&batch)))
        });
    }
    Ok(())
}

fn trainer(losses: &str) -> Result<Trainer> {
    let config = Config::load(Path::new(env!("CARGO_MANIFEST_DIR")).join(CONFIG), &["model.ch=32".to_owned()])?;
    let tokenizer = Tokenizer::init(config, 0, Device::Cpu)?;
    let table = format!("steps = 1000\nbatch_size = 1\ndata = {{ frames = 5, size = [64, 64] }}\nloss = {losses}");
    let config = TrainConfig::from_table(toml::from_str(&table)?)?;
    let lpips = Lpips::new(&ParamPath::fresh(Device::Cpu), LpipsNet::Vgg);
    let losses = Losses::new(&config.loss, Some(Rc::new(lpips)), Device::Cpu);
    Ok(Trainer::new(tokenizer, losses, config))
}

fn run(criterion: &mut Criterion) {
    if let Err(error) = steps(criterion) {
        panic!("{error:#}");
    }
}

criterion_group! {
    name = benches;
    config = vidtok_benches::short_runs();
    targets = run
}
criterion_main!(benches);
