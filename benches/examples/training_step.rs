//! Time and peak memory of a training step (forward and backward) of a released layout with ch = 32:
//!
//! ```sh
//! cargo run -p vidtok-benches --example training_step -- CONFIG BATCH [freeze] [recompute] [bf16]
//! ```
//!
//! One case a run, since a process has one peak. Linux only.

#![allow(clippy::print_stdout, reason = "the program prints its result")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use tch::{Device, Kind, Tensor};
use vidtok::{Causality, Config, Tokenizer, TrainingOptions};
use vidtok_benches::memory;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, batch, modes @ ..] = arguments.as_slice() else {
        return Err("usage: training_step CONFIG BATCH [freeze] [recompute] [bf16]".into());
    };
    let has = |mode: &str| modes.iter().any(|given| given == mode);
    let options = TrainingOptions {
        step: 0,
        freeze_encoder: has("freeze"),
        recompute: has("recompute"),
        autocast: has("bf16").then_some(Kind::BFloat16),
        ..Default::default()
    };
    tch::set_num_threads(2);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs").join(format!("{name}.toml"));
    let tokenizer = Tokenizer::init(Config::load(&path, &["model.ch=32".to_owned()])?, 0, Device::Cpu)?;
    tokenizer.parameters().set_requires_grad("", true);

    let frames = if tokenizer.config().model.causality == Causality::NonCausal { 16 } else { 17 };
    let clips = |b: i64, t: i64, side: i64| Tensor::rand([b, 3, t, side, side], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
    let step = |clips: &Tensor| -> Result<[f64; 2], Box<dyn Error>> {
        let start = Instant::now();
        let pass = tokenizer.forward_train(clips, &options)?;
        let forward = start.elapsed().as_secs_f64();
        let loss = (pass.reconstruction - clips).abs().mean(Kind::Float) + pass.regularized.loss * 1e-6;
        loss.backward();
        Ok([forward, start.elapsed().as_secs_f64()])
    };
    // Gradients and the libraries' own memory are not measured.
    step(&clips(1, 4, 16))?;
    let before = memory::peak()?;
    let clips = clips(batch.parse()?, frames, 64);
    let mut best = step(&clips)?;
    let peak = memory::peak()? - before;
    for _ in 0..2 {
        let again = step(&clips)?;
        best = [best[0].min(again[0]), best[1].min(again[1])];
    }
    let [forward, all] = best;
    println!("{}: forward {forward:.2} s, step {all:.2} s, {peak:.0} MiB", arguments.join(" "));
    Ok(())
}
