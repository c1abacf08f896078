//! The memory that a plan estimates beside the memory that it takes, printed as a line of a Markdown table:
//! `cargo run --release -p vidtok-benches --example footprint -- --config FILE --height H --width W [--max-memory MIB]`.

#![allow(clippy::print_stdout, reason = "the program prints its result")]

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use tch::{Device, Kind, Tensor};
use vidtok::{Config, MemoryPlan, StreamReconstructor, Tokenizer, Work, resident_bytes};
use vidtok_benches::memory::{forget_peak, peak};
use vidtok_torch::reuse_freed_memory;

#[derive(Parser)]
#[command(about = "A plan's memory, said and measured")]
struct Arguments {
    #[arg(long)]
    config: PathBuf,
    /// Set a value of the configuration
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    #[arg(long)]
    height: i64,
    #[arg(long)]
    width: i64,
    /// Frames of the random clip
    #[arg(long, default_value_t = 33)]
    frames: i64,
    /// The budget in MiB
    #[arg(long)]
    max_memory: Option<u64>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    reuse_freed_memory();
    let (t, h, w) = (arguments.frames, arguments.height, arguments.width);
    let config = Config::load(&arguments.config, &arguments.overrides)?;
    let name = config.name.clone();
    let tokenizer = Tokenizer::init(config, 0, Device::Cpu)?;
    forget_peak()?;
    let budget = arguments.max_memory.map(|mebibytes| mebibytes << 20);
    let before = resident_bytes().unwrap_or(0) as f64 / f64::from(1 << 20);
    let plan = MemoryPlan::fit(&tokenizer, Work::Reconstruct, [t, h, w], None, budget)?;
    let mut stream = StreamReconstructor::new(&tokenizer, [t, h, w], None).in_strips(plan.rows);
    for start in (0..t).step_by(plan.frames as usize) {
        let length = plan.frames.min(t - start);
        let _ = stream.push(&(Tensor::rand([1, 3, length, h, w], (Kind::Float, Device::Cpu)) * 2.0 - 1.0))?;
    }
    let rows = plan.rows.map_or("all".to_owned(), |rows| rows.to_string());
    let (said, found) = (plan.bytes as f64 / f64::from(1 << 20), peak()?);
    println!(
        "| {name} {} | {t}x{h}x{w} | {} | {rows} | {before:.0} | {said:.0} | {found:.0} | {:+.0} % |",
        arguments.overrides.join(" "),
        plan.frames,
        100.0 * (said / found - 1.0)
    );
    Ok(())
}
