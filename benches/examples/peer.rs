//! A measurement of ours, that is taken in a process of its own and printed as a line of JSON.
//!
//! `cargo xtask peer` starts it, in turn with the program that does the same with the reference
//! (`benches/peer/reference.py`): the same arguments, formula weights, input and form of the result.

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use serde_json::{Map, Value, json};
use tch::{Device, Kind};
use vidtok::{Config, QuantizerConfig, Tokenizer};
use vidtok_benches::memory;
use vidtok_data::Batch;
use vidtok_golden::{fill, unit, weights};
use vidtok_metrics::{Lpips, LpipsNet};
use vidtok_torch::ParamPath;
use vidtok_train::{Losses, TrainConfig, Trainer};

#[derive(Parser)]
#[command(about = "A measurement of ours for `cargo xtask peer`")]
struct Arguments {
    /// What to measure
    work: Work,
    /// A file in configs, without .toml
    #[arg(long)]
    config: String,
    /// Base channels
    #[arg(long)]
    ch: i64,
    /// Frames of a clip
    #[arg(long)]
    frames: i64,
    /// Rows and columns of a frame
    #[arg(long)]
    size: i64,
    /// Clips at once
    #[arg(long)]
    batch: i64,
    /// Timed repeats, after one that is not
    #[arg(long)]
    steps: usize,
    /// Threads of libtorch
    #[arg(long)]
    threads: i32,
}

#[derive(Clone, Copy, ValueEnum)]
enum Work {
    /// Whole training steps
    TrainStep,
}

fn main() -> Result<()> {
    // As `vidtok train` does.
    vidtok_torch::keep_freed_memory();
    let arguments = Arguments::parse();
    tch::set_num_threads(arguments.threads);
    let result = match arguments.work {
        Work::TrainStep => train_step(&arguments)?,
    };
    println!("{result}");
    Ok(())
}

/// Whole training steps: the first one for its losses, the others for their time.
fn train_step(arguments: &Arguments) -> Result<Value> {
    let tokenizer = tokenizer(arguments)?;
    let train = train_config(arguments)?;
    let losses = Losses::new(&train.loss, Some(lpips()?), Device::Cpu);
    fill(losses.parameters().iter());
    let shape = [arguments.batch, 3, arguments.frames, arguments.size, arguments.size];
    let names = vec!["input".to_owned(); arguments.batch as usize];
    let batch = [Batch { clips: unit("input", &shape, 0) * 0.8, names }];

    memory::forget_peak()?;
    let base = memory::held()?;
    // With the optimizers' state, which PyTorch's make in the first step.
    let mut trainer = Trainer::new(tokenizer, losses, train);
    let first = trainer.step(&batch)?;
    let mut seconds = Vec::new();
    for _ in 0..arguments.steps {
        let start = Instant::now();
        trainer.step(&batch)?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    let first: Map<String, Value> =
        first.numbers().into_iter().map(|(name, value)| (name.into(), json!(value))).collect();
    Ok(json!({ "seconds": seconds, "base_mb": base, "peak_mb": memory::peak()?, "first_step": first }))
}

/// The model of that name with formula weights; KL gives the mean.
fn tokenizer(arguments: &Arguments) -> Result<Tokenizer> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs").join(format!("{}.toml", arguments.config));
    let mut config = Config::load(&path, &[format!("model.ch={}", arguments.ch)])?;
    if let QuantizerConfig::Kl(kl) = &mut config.quantizer {
        kl.sample = false;
    }
    let tokenizer = Tokenizer::init(config, 0, Device::Cpu)?;
    fill(tokenizer.parameters().iter());
    Ok(tokenizer)
}

/// The published recipe, with the discriminator from the first step on.
fn train_config(arguments: &Arguments) -> Result<TrainConfig> {
    let Arguments { batch, frames, size, .. } = arguments;
    let table = format!(
        "steps = 1000\nbatch_size = {batch}\ndata = {{ frames = {frames}, size = [{size}, {size}] }}\n\
         loss = {{ perceptual = {{}}, adversary = {{ start = 0 }} }}"
    );
    Ok(TrainConfig::from_table(toml::from_str(&table)?)?)
}

/// LPIPS with formula weights.
fn lpips() -> Result<Rc<Lpips>> {
    let root = ParamPath::shapes();
    let _ = Lpips::new(&root, LpipsNet::Vgg);
    let tensors = weights(root.finish()?.iter(), "loss.perceptual_loss.");
    let root = ParamPath::loaded(tensors, Device::Cpu, Kind::Float);
    Ok(Rc::new(Lpips::new(&root, LpipsNet::Vgg)))
}
