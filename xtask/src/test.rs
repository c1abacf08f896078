//! `cargo xtask test`: all tests of the workspace, also on a machine that has nothing yet.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;

use crate::setup;
use crate::workspace::{Workspace, exit_code, run};

/// Sets up and runs `cargo test --workspace` with `args`.
pub(crate) fn command(workspace: &Workspace, args: &[OsString]) -> Result<ExitCode> {
    setup::run(workspace)?;
    Ok(exit_code(run(workspace.cargo().args(["test", "--workspace"]).args(args))?))
}
