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

/// Compares our metrics with Python packages, or our models with those of diffusers: a script of `benches/agreement`, run by
/// the Python that has them.
pub(crate) fn agree(workspace: &Workspace, python: &OsStr, diffusers: bool) -> Result<ExitCode> {
    let name = if diffusers { "hugging_face.py" } else { "compare.py" };
    script(workspace, python, &format!("benches/agreement/{name}"), &[])
}

fn script(workspace: &Workspace, python: &OsStr, path: &str, args: &[OsString]) -> Result<ExitCode> {
    setup::run(workspace)?;
    let mut script = Command::new(python);
    // -B leaves no compiled files beside the script.
    script.args(["-B", "-W", "ignore"]).arg(workspace.root().join(path)).args(args);
    Ok(exit_code(run(&mut script)?))
}
