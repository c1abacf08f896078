//! Compiles our kernels for GPUs with CUDA's run-time compiler, without a GPU, and prints a Markdown table of the registers
//! of a thread. Fails if a kernel spills registers. Needs a libtorch with CUDA: that of `cargo xtask setup --cuda`, or the
//! one of a Python package in `LD_LIBRARY_PATH`.
//!
//! `cargo run --release -p vidtok-benches --example gpu_kernels -- sm_80 sm_90`

#![allow(clippy::print_stdout)] // The table is the result.

use anyhow::{Result, ensure};
use clap::Parser;
use vidtok_torch::{GpuKernelReport, compile_gpu_kernels};

#[derive(Parser)]
#[command(about = "Compile the kernels for GPUs and print what they take")]
struct Args {
    /// Architectures of GPUs
    #[arg(default_values = ["sm_80", "sm_89", "sm_90", "sm_100"])]
    architectures: Vec<String>,
}

fn main() -> Result<()> {
    let Args { architectures } = Args::parse();
    let columns: Vec<Vec<GpuKernelReport>> =
        architectures.iter().map(|architecture| compile_gpu_kernels(architecture)).collect::<Result<_, _>>()?;
    println!("| kernel | {} |", architectures.join(" | "));
    println!("|---|{}", "---|".repeat(architectures.len()));
    let mut spilled = 0;
    for row in 0..columns[0].len() {
        let cells = columns.iter().map(|column| {
            let report = &column[row];
            spilled += report.spilled_bytes;
            match report.spilled_bytes {
                0 => report.registers.to_string(),
                bytes => format!("{} and {bytes} bytes spilled", report.registers),
            }
        });
        let cells: Vec<String> = cells.collect();
        println!("| `{}` | {} |", columns[0][row].kernel, cells.join(" | "));
    }
    ensure!(spilled == 0, "registers do not suffice: kernels spill {spilled} bytes a thread");
    Ok(())
}
