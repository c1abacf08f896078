//! The cost of sharing training steps among processes: measured on this machine, and modelled for many GPUs. It prints
//! the tables of docs/SCALING.md.
//!
//! ```sh
//! cargo run --release -p vidtok-benches --example scaling -- measure --processes 2 --ch 32 --side 64
//! cargo run --release -p vidtok-benches --example scaling -- model
//! ```

#![allow(clippy::print_stdout, reason = "the program prints its result")]

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};
use tch::{Device, Kind, Tensor};
use vidtok::{Config, Tokenizer};
use vidtok_core::{Launch, ProcessGroup};
use vidtok_data::Batch;
use vidtok_torch::C10dProcessGroup;
use vidtok_train::{Losses, TrainConfig, Trainer};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    work: Work,
}

#[derive(Subcommand)]
enum Work {
    /// Measure steps of single-threaded processes on this machine, alone and together
    Measure(Case),
    /// Model steps of the published training on many GPUs, as in docs/SCALING.md
    Model,
}

#[derive(clap::Args)]
struct Case {
    /// The number of processes
    #[arg(long, default_value_t = 2)]
    processes: usize,
    /// Base channels of kl_causal_488_4chn
    #[arg(long, default_value_t = 32)]
    ch: i64,
    /// Rows and columns of each process's clip, which has 17 frames
    #[arg(long, default_value_t = 64)]
    side: i64,
    /// Steps alone, and as many together, in turn
    #[arg(long, default_value_t = 4)]
    steps: usize,
}

fn main() -> Result<()> {
    match Arguments::parse().work {
        Work::Model => model(),
        Work::Measure(case) => match Launch::from_env()? {
            None => launch(&case)?,
            Some(launch) => measure(&case, &launch)?,
        },
    }
    Ok(())
}

/// Starts this program once for each process.
fn launch(case: &Case) -> Result<()> {
    let start = |launch: Launch| {
        let mut command = Command::new(env::current_exe()?);
        command.args(env::args().skip(1)).envs(launch.variables()).spawn()
    };
    let started: Vec<_> = Launch::locals(case.processes)?.into_iter().map(start).collect::<Result<_, _>>()?;
    for mut process in started {
        ensure!(process.wait()?.success(), "a process has failed");
    }
    Ok(())
}

fn trainer(case: &Case, count: usize) -> Result<Trainer> {
    tch::manual_seed(0);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/vidtok_kl_causal_488_4chn.toml");
    let config = Config::load(&path, &[format!("model.ch={}", case.ch)])?;
    let table = format!(
        "steps = 1000\nbatch_size = {count}\nloss.gan.start = 0\ndata = {{ frames = 17, size = [{0}, {0}] }}",
        case.side
    );
    let train = TrainConfig::from_table(toml::from_str(&table)?)?;
    let losses = Losses::new(&train.loss, None, Device::Cpu);
    Ok(Trainer::new(Tokenizer::init(config, 0, Device::Cpu)?, losses, train))
}

/// The bytes of all gradients of a step.
fn gradient_bytes(trainer: &Trainer) -> usize {
    let all = trainer.tokenizer().parameters().trained().chain(trainer.losses().parameters().trained());
    all.map(|(_, parameter)| parameter.numel() * size_of::<f32>()).sum()
}

fn measure(case: &Case, launch: &Launch) -> Result<()> {
    tch::set_num_threads(1);
    let group = C10dProcessGroup::connect(launch, Device::Cpu)?;
    let (mut alone, mut together) = (trainer(case, group.world_size())?, trainer(case, group.world_size())?);
    together.join(&group)?;
    let clips = Tensor::rand([1, 3, 17, case.side, case.side], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
    let batch = [Batch { clips, names: vec!["noise".to_owned()] }];
    let mut seconds = [Vec::new(), Vec::new()];
    for step in 0..=case.steps {
        for (trainer, seconds) in [&mut alone, &mut together].into_iter().zip(&mut seconds) {
            // All begin at once, so that the machine is equally busy in both cases.
            let _ = group.mean(&Tensor::from(0.0));
            let start = Instant::now();
            trainer.step(&batch)?;
            // The first steps warm up.
            if step > 0 {
                seconds.push(start.elapsed().as_secs_f64());
            }
        }
    }
    // Waiting for the slowest process is not communication, so the slowest one's own time is compared.
    let medians = seconds.map(|mut seconds| {
        seconds.sort_by(f64::total_cmp);
        seconds[seconds.len() / 2]
    });
    let of_all: Vec<[f64; 2]> = (0..group.world_size())
        .map(|rank| medians.map(|own| group.mean(&Tensor::from(if rank == group.rank() { own } else { 0.0 }))))
        .map(|both| both.map(|mean| mean.double_value(&[]) * group.world_size() as f64))
        .collect();
    if group.rank() == 0 {
        let slowest = |which: usize| of_all.iter().map(|both| both[which]).fold(0.0, f64::max);
        let (own, shared) = (slowest(0), slowest(1));
        println!("| processes | gradients, MB | alone, s | together, s | share of communication |");
        println!("|---|---|---|---|---|");
        println!(
            "| {} | {:.1} | {own:.2} | {shared:.2} | {:.1} % |",
            group.world_size(),
            gradient_bytes(&together) as f64 / 1e6,
            (shared - own).max(0.0) / shared * 100.0
        );
    }
    Ok(())
}

/// The assumptions of the model; docs/SCALING.md explains each.
mod assumed {
    /// Gradients of 157.4 M generator and 2.8 M discriminator parameters, bytes.
    pub(super) const GRADIENTS: f64 = 160.2e6 * 4.0;
    /// FLOP of a step for a clip of 17x128x128: three passes of both networks, and a fifth for the losses.
    pub(super) const CLIP: f64 = 20.7e12 / 4.0 * 3.0 * 1.2;
    /// FLOP/s of a GPU: 40 % of an A100's 312 in bfloat16.
    pub(super) const GPU: f64 = 0.4 * 312e12;
    /// The fraction of a step in which reductions can hide: the backward pass.
    pub(super) const BACKWARD: f64 = 2.0 / 3.0;
    /// GPUs of a machine.
    pub(super) const LOCAL: f64 = 8.0;
    /// Bytes a second of a ring between GPUs of a machine.
    pub(super) const INSIDE: f64 = 200e9;
    /// Bytes a second of a ring between machines, over all their adapters (8 of 200 Gbit/s).
    pub(super) const BETWEEN: f64 = 8.0 * 25e9 * 0.8;
    /// The number of small reductions of a step (norms' statistics forward and backward, reported numbers).
    pub(super) const SMALL: f64 = 43.0;
    /// Seconds of a small reduction: a constant, and one for each doubling of the GPUs.
    pub(super) const START: f64 = 20e-6;
    pub(super) const HOP: f64 = 5e-6;
    /// Bytes of the last bucket, which nothing hides.
    pub(super) const LAST_BUCKET: f64 = 25.0 * 1048576.0;
}

/// Seconds to reduce a number of bytes over all GPUs: rings inside machines, and one between them.
fn reduction(bytes: f64, gpus: f64) -> f64 {
    let (local, machines) = (gpus.min(assumed::LOCAL), (gpus / assumed::LOCAL).max(1.0));
    let ring = |n: f64| 2.0 * (n - 1.0) / n;
    ring(local) * bytes / assumed::INSIDE + ring(machines) * bytes / assumed::BETWEEN
}

fn model() {
    println!("| GPUs | clips each | compute, ms | reduction, ms | not hidden, ms | small ones, ms | efficiency |");
    println!("|---|---|---|---|---|---|---|");
    for clips in [1.0, 2.0] {
        for gpus in [8.0, 16.0, 64.0, 256.0, 1024.0] {
            let compute = clips * assumed::CLIP / assumed::GPU;
            let all = reduction(assumed::GRADIENTS, gpus);
            let last = reduction(assumed::LAST_BUCKET, gpus);
            let visible = (all - assumed::BACKWARD * compute).max(last);
            let small = assumed::SMALL * (assumed::START + assumed::HOP * f64::log2(gpus));
            let efficiency = compute / (compute + visible + small) * 100.0;
            let ms = [compute, all, visible, small].map(|seconds| format!("{:.1}", seconds * 1e3)).join(" | ");
            println!("| {gpus} | {clips} | {ms} | {efficiency:.0} % |");
        }
    }
}
