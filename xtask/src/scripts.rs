//! `cargo xtask peer` and `cargo xtask agree`: Python scripts in `benches` that measure other implementations beside
//! ours.

use std::ffi::{OsStr, OsString};
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::setup;
use crate::workspace::{Workspace, exit_code, run};

/// Measures our programs beside the reference: `benches/peer/compare.py`, which any Python runs.
pub(crate) fn peer(workspace: &Workspace, args: &[OsString]) -> Result<ExitCode> {
    script(workspace, "python3".as_ref(), "benches/peer/compare.py", args)
}

/// Compares our metrics with Python packages: `benches/agreement/compare.py`, run by the Python that has them.
pub(crate) fn agree(workspace: &Workspace, python: &OsStr) -> Result<ExitCode> {
    script(workspace, python, "benches/agreement/compare.py", &[])
}

fn script(workspace: &Workspace, python: &OsStr, path: &str, args: &[OsString]) -> Result<ExitCode> {
    setup::run(workspace)?;
    let mut script = Command::new(python);
    // -B leaves no compiled files beside the script.
    script.args(["-B", "-W", "ignore"]).arg(workspace.root().join(path)).args(args);
    Ok(exit_code(run(&mut script)?))
}
