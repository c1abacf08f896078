//! `cargo xtask bench`: the criterion benches. criterion itself keeps the baselines and reports the changes.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::setup;
use crate::workspace::{Workspace, exit_code, run};

#[derive(Args)]
pub(crate) struct Options {
    /// Keep the times under this name
    #[arg(long, value_name = "NAME")]
    save: Option<String>,
    /// Compare with the times kept under this name; without --save and --against, with the previous run
    #[arg(long, value_name = "NAME", conflicts_with = "save")]
    against: Option<String>,
    /// Run only benches whose names match this regular expression
    filter: Option<String>,
}

/// Sets up and runs the benches.
pub(crate) fn command(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    setup::run(workspace)?;
    let mut bench = workspace.cargo();
    bench.args(["bench", "--package", "vidtok-benches", "--"]);
    // Nothing runs beside the benches, so threads may spin; .cargo/config.toml is for tests beside each other.
    bench.env("OMP_WAIT_POLICY", "active");
    if let Some(name) = &options.save {
        bench.args(["--save-baseline", name]);
    }
    if let Some(name) = &options.against {
        bench.args(["--baseline-lenient", name]);
    }
    Ok(exit_code(run(bench.args(&options.filter))?))
}
