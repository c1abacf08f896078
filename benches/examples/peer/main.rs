//! Measures our implementation in a process of its own and prints a line of JSON.
//!
//! `benches/peer/compare.py` (`cargo xtask peer`) starts it, in turn with programs that measure other implementations with
//! the same arguments, formula weights and input.

#![allow(clippy::print_stdout, reason = "the program prints its result")]

mod passes;
mod sgemm;
mod train_step;

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use tch::{Device, Tensor};
use vidtok::{Config, QuantizerConfig, Tokenizer};
use vidtok_golden::{fill, unit};

#[derive(Parser)]
#[command(about = "Measures our implementation for `cargo xtask peer`")]
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
    /// Timed repeats, after one that is not timed
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
    /// From a video to its latent or indices
    Encode,
    /// From a latent or indices to the video
    Decode,
    /// From a video to its reconstruction
    EncodeDecode,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // `vidtok` does the same.
    vidtok_torch::reuse_freed_memory();
    tch::set_num_threads(arguments.threads);
    let result = match arguments.work {
        Work::TrainStep => train_step::measure(&arguments)?,
        Work::Encode => passes::measure(&arguments, passes::encode)?,
        Work::Decode => passes::measure(&arguments, passes::decode)?,
        Work::EncodeDecode => passes::measure(&arguments, passes::encode_decode)?,
    };
    println!("{result}");
    Ok(())
}

/// The model of that name with formula weights; KL returns the mean.
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

/// The input of all programs.
fn video(arguments: &Arguments) -> Tensor {
    let Arguments { batch, frames, size, .. } = *arguments;
    unit("input", &[batch, 3, frames, size, size], 0) * 0.8
}

/// The seconds of each repeat.
fn time_repeats(repeats: usize, mut work: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    let time = |_| {
        let start = Instant::now();
        work()?;
        Ok(start.elapsed().as_secs_f64())
    };
    (0..repeats).map(time).collect()
}
