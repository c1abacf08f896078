//! `cargo xtask train`: from a fresh clone to a training tokenizer.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use anyhow::Result;

use crate::setup;
use crate::workspace::{Workspace, exit_code, run};

/// The variable that says how libgomp's threads wait for work.
const WAIT_POLICY: &str = "OMP_WAIT_POLICY";
const QUICKSTART: &str = "configs/quickstart.toml";

/// Sets up, builds the command line in release and starts `vidtok train` with `args`.
pub(crate) fn command(workspace: &Workspace, args: &[OsString]) -> Result<ExitCode> {
    setup::run(workspace)?;
    let build = run(workspace.cargo().args(["build", "--release", "--package", "vidtok-cli"]))?;
    if !build.success() {
        return Ok(exit_code(build));
    }
    let mut train = workspace.cargo();
    train.args(["run", "--quiet", "--release", "--package", "vidtok-cli", "--", "train"]);
    // Nothing runs beside the training, so threads may spin; .cargo/config.toml is for tests beside each other.
    if std::env::var_os(WAIT_POLICY).is_none_or(|policy| policy == "passive") {
        train.env(WAIT_POLICY, "active");
    }
    if !names_a_config(args) {
        train.args(["--config", QUICKSTART]);
    }
    Ok(exit_code(run(train.args(args))?))
}

fn names_a_config(args: &[OsString]) -> bool {
    args.iter().any(|arg| arg == OsStr::new("--config") || arg.as_encoded_bytes().starts_with(b"--config="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_of_the_user_replaces_the_quickstart() {
        let args = |list: &[&str]| list.iter().map(OsString::from).collect::<Vec<_>>();
        assert!(names_a_config(&args(&["--steps", "3", "--config", "a.toml"])));
        assert!(names_a_config(&args(&["--config=a.toml"])));
        assert!(!names_a_config(&args(&["--set", "config=1", "--configs"])));
    }
}
