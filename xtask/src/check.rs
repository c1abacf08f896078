//! `cargo xtask check`: everything that must hold before a change goes in, besides the tests.

use std::process::ExitCode;

use anyhow::Result;

use crate::workspace::{Workspace, exit_code, run};
use crate::{api, outside, setup, tidy};

/// Runs the steps, the quick ones first, up to the first that fails.
pub(crate) fn command(workspace: &Workspace) -> Result<ExitCode> {
    let cargo = |args: &[&str]| Ok(exit_code(run(workspace.cargo().args(args))?));
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];

    let steps: [(&str, &dyn Fn() -> Result<ExitCode>); 6] = [
        ("fmt", &|| cargo(&["fmt", "--all", "--check"])),
        ("tidy", &|| tidy::command(workspace)),
        ("setup", &|| setup::run(workspace).map(|()| ExitCode::SUCCESS)),
        ("clippy", &|| cargo(&clippy)),
        ("doc", &|| api::command(workspace, true)),
        ("outside", &|| outside::command(workspace)),
    ];
    for (name, step) in steps {
        eprintln!("check: {name}");
        let code = step()?;
        if code != ExitCode::SUCCESS {
            eprintln!("error: check failed at {name}");
            return Ok(code);
        }
    }
    eprintln!("check: all passed");
    Ok(ExitCode::SUCCESS)
}
