//! What several processes cost that share training steps: measured on this machine, and by a model for many GPUs. Its
//! tables are those of docs/SCALING.md.
//!
//! ```sh
//! cargo run --release -p vidtok-benches --example scaling -- measure --processes 2 --ch 32 --side 64
//! cargo run --release -p vidtok-benches --example scaling -- model
//! ```

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

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
    /// Steps of processes on this machine, of one thread each, on their own and together
    Measure(Case),
    /// Steps of the published training on many GPUs, by the model of docs/SCALING.md
    Model,
}

#[derive(clap::Args)]
struct Case {
    /// How many
    #[arg(long, default_value_t = 2)]
    processes: usize,
    /// Base channels of kl_causal_488_4chn
    #[arg(long, default_value_t = 32)]
    ch: i64,
    /// Rows and columns of a clip of 17 frames, of which each process has one
    #[arg(long, default_value_t = 64)]
    side: i64,
    /// Steps on their own, and as many together, in turn
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

/// Bytes of all gradients of a step.
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
            // All begin at once, so that each has the same company on its own as together.
            let _ = group.mean(&Tensor::from(0.0));
            let start = Instant::now();
            trainer.step(&batch)?;
            // The first steps prepare.
            if step > 0 {
                seconds.push(start.elapsed().as_secs_f64());
            }
        }
    }
    // Who waits for the slowest has not communicated: the slowest one's own time is what is compared.
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

/// What the model takes for granted; docs/SCALING.md says where each comes from.
mod assumed {
    /// Gradients of 157.4 M generator and 2.8 M discriminator parameters, bytes.
    pub(super) const GRADIENTS: f64 = 160.2e6 * 4.0;
    /// FLOP of a step for a clip of 17x128x128: three times a pass of both networks, and a fifth for the losses.
    pub(super) const CLIP: f64 = 20.7e12 / 4.0 * 3.0 * 1.2;
    /// FLOP/s of a GPU: 40 % of an A100's 312 in bfloat16.
    pub(super) const GPU: f64 = 0.4 * 312e12;
    /// The backward pass's share of a step, in which reductions can hide.
    pub(super) const BACKWARD: f64 = 2.0 / 3.0;
    /// GPUs of a machine.
    pub(super) const LOCAL: f64 = 8.0;
    /// Bytes a second that a ring passes on between GPUs of a machine.
    pub(super) const INSIDE: f64 = 200e9;
    /// And between machines, by all their adapters together (8 of 200 Gbit/s).
    pub(super) const BETWEEN: f64 = 8.0 * 25e9 * 0.8;
    /// Small reductions of a step (norms' statistics forwards and backwards, numbers that are reported).
    pub(super) const SMALL: f64 = 43.0;
    /// Seconds of a small one: a start, and a hop for each doubling of the GPUs.
    pub(super) const START: f64 = 20e-6;
    pub(super) const HOP: f64 = 5e-6;
    /// The last bucket, which nothing hides: bytes.
    pub(super) const LAST_BUCKET: f64 = 25.0 * 1048576.0;
}

/// Seconds to reduce so many bytes over all GPUs: rings inside machines, and one between them.
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
