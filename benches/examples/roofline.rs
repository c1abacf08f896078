//! The layers of kl_causal_488_4chn compared with the machine's peaks, as a Markdown table:
//!
//! ```sh
//! OMP_WAIT_POLICY=active cargo run --release -p vidtok-benches --example roofline -- [--size 128] [--threads 2]
//! ```
//!
//! The peaks are measured in the same process, by libtorch: operations by a matrix product, bandwidth by a copy. A layer's
//! least time is the larger of its operations at the one peak and its bytes at the other (`vidtok_benches::roofline`); the
//! share is that time over the measured one.
//!
//! Operations of convolutions are those of the direct form; a share above 1 means that fewer multiplications were executed.
//! Winograd convolutions execute 1/4 of them over rows and columns and 1/2 over time, upsampling ones 1/4 in space and 1/8
//! in time. Bytes are input, output and parameters once, in float32. Times are the best of several, since other programs
//! can only add to them; so are the peaks, which are measured anew beside each layer.

#![allow(clippy::print_stdout, reason = "the program prints its result")]

use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use tch::{Device, Kind, Tensor};
use vidtok_benches::layers::{Case, Layer};
use vidtok_benches::roofline::{Machine, Work};

/// Rows and columns of the matrices, and the length of the copied tensor, which exceeds the caches.
const MATRIX: i64 = 1536;
const COPY: i64 = 1 << 26;

/// The time for repeats of each layer, and their least number, after one run that is not timed.
const SECONDS: f64 = 0.3;
const RUNS: usize = 3;

#[derive(Parser)]
#[command(about = "Layers of kl_causal_488_4chn beside the machine's peaks")]
struct Arguments {
    /// Rows and columns of the clip, a multiple of 8
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(i64).range(8..))]
    size: i64,
    /// Frames of the clip, a multiple of 4
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(i64).range(4..))]
    frames: i64,
    /// Threads of libtorch
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(i32).range(1..))]
    threads: i32,
}

fn main() -> Result<()> {
    let Arguments { size, frames, threads } = Arguments::parse();
    // Zeroing new pages must not count for a layer.
    vidtok_torch::reuse_freed_memory();
    tch::set_num_threads(threads);
    tch::manual_seed(0);
    let _guard = tch::no_grad_guard();

    let mut machine = Machine { operations: 0.0, bytes: 0.0 };
    let mut measured = Vec::new();
    for (layer, size, channels) in layers(size, frames) {
        machine = better(&machine, &measure_machine());
        measured.push(Measured::take(&Case::new(layer, size, channels)?));
    }
    let (giga_operations, giga_bytes) = (machine.operations / 1e9, machine.bytes / 1e9);
    println!("Peaks, {threads} threads: {giga_operations:.0} GFLOP/s, {giga_bytes:.1} GB/s\n");
    println!("| layer | input | GFLOP | MB | FLOP/byte | ms | GFLOP/s | GB/s | bound | share |");
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for layer in &measured {
        println!("{}", layer.row(&machine));
    }
    Ok(())
}

fn better(a: &Machine, b: &Machine) -> Machine {
    Machine { operations: a.operations.max(b.operations), bytes: a.bytes.max(b.bytes) }
}

fn measure_machine() -> Machine {
    let options = (Kind::Float, Device::Cpu);
    let (a, b) = (Tensor::randn([MATRIX; 2], options), Tensor::randn([MATRIX; 2], options));
    let product = seconds(|| a.matmul(&b));
    let (source, mut copy) = (Tensor::ones([COPY], options), Tensor::zeros([COPY], options));
    let copying = seconds(|| copy.copy_(&source));
    let bytes = 2 * COPY * size_of::<f32>() as i64;
    Machine { operations: 2.0 * (MATRIX as f64).powi(3) / product, bytes: bytes as f64 / copying }
}

/// The layers of the model and their sizes for a clip.
fn layers(size: i64, frames: i64) -> Vec<(Layer, [i64; 3], [i64; 2])> {
    // The size after the given numbers of halvings in time and in space.
    let at = |time: i64, space: i64| [frames >> time, size >> space, size >> space];
    vec![
        (Layer::Conv3d, at(0, 0), [3, 128]),
        (Layer::Conv2d, at(0, 0), [128, 128]),
        (Layer::Conv1d, at(0, 0), [128, 128]),
        (Layer::NormSilu, at(0, 0), [128, 128]),
        (Layer::DownsampleSpace, at(0, 0), [128, 128]),
        (Layer::Pointwise, at(0, 1), [128, 256]),
        (Layer::Conv2d, at(0, 1), [256, 256]),
        (Layer::Conv1d, at(0, 1), [256, 256]),
        (Layer::NormSilu, at(0, 1), [256, 256]),
        (Layer::DownsampleSpace, at(0, 1), [256, 256]),
        (Layer::DownsampleTime, at(0, 2), [256, 256]),
        (Layer::Pointwise, at(1, 2), [256, 512]),
        (Layer::Conv2d, at(1, 2), [512, 512]),
        (Layer::Conv1d, at(1, 2), [512, 512]),
        (Layer::NormSilu, at(1, 2), [512, 512]),
        (Layer::DownsampleTime, at(1, 3), [512, 512]),
        (Layer::Conv3d, at(2, 3), [512, 512]),
        (Layer::Attention, at(2, 3), [512, 512]),
        (Layer::UpsampleSpace, at(2, 2), [512, 512]),
        (Layer::UpsampleTime, at(2, 1), [512, 512]),
        (Layer::UpsampleSpace, at(1, 1), [256, 256]),
        (Layer::UpsampleTime, at(1, 0), [256, 256]),
        (Layer::Conv3d, at(0, 0), [128, 3]),
    ]
}

/// A layer at a size, its work there and its time.
struct Measured {
    layer: Layer,
    size: String,
    work: Work,
    seconds: f64,
}

impl Measured {
    fn take(case: &Case) -> Self {
        let input = case.input();
        let output = case.forward(&input);
        let numbers = (input.numel() + output.numel()) as i64 + case.parameters().count("");
        let work = Work { operations: case.operations(&output), bytes: (numbers * size_of::<f32>() as i64) as f64 };
        drop(output);
        Self { layer: case.layer(), size: case.size(), work, seconds: seconds(|| case.forward(&input)) }
    }

    fn row(&self, machine: &Machine) -> String {
        let Self { layer, size, work, seconds } = self;
        let (bound, least) = work.bound(machine);
        format!(
            "| {layer} | {size} | {:.2} | {:.1} | {:.1} | {:.2} | {:.0} | {:.1} | {bound} | {:.2} |",
            work.operations / 1e9,
            work.bytes / 1e6,
            work.intensity(),
            seconds * 1e3,
            work.operations / seconds / 1e9,
            work.bytes / seconds / 1e9,
            least / seconds,
        )
    }
}

/// The seconds of the fastest run.
fn seconds<R>(mut run: impl FnMut() -> R) -> f64 {
    drop(run());
    let (start, mut best, mut runs) = (Instant::now(), f64::INFINITY, 0);
    while runs < RUNS || start.elapsed().as_secs_f64() < SECONDS {
        let start = Instant::now();
        drop(run());
        best = best.min(start.elapsed().as_secs_f64());
        runs += 1;
    }
    best
}
