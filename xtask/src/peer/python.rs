//! A Python of our own with what the reference needs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::setup::Store;
use crate::workspace::{Workspace, run};

const REQUIREMENTS: &str = include_str!("../../../benches/peer/requirements.txt");
const REQUIREMENTS_PATH: &str = "benches/peer/requirements.txt";
const PROGRAM: &str = "python3";
/// Of an environment.
const PYTHON: &str = "bin/python";

/// The Python of `.deps/peer`, which is made if it is not there or not for these requirements.
pub(crate) fn install(workspace: &Workspace) -> Result<PathBuf> {
    let store = Store::open(&workspace.deps())?;
    let requirements = workspace.root().join(REQUIREMENTS_PATH);
    let environment = store.part("peer", &stamp(), |dir| fill(dir, &requirements))?;
    Ok(environment.join(PYTHON))
}

/// The requirements in one line.
fn stamp() -> String {
    let lines = REQUIREMENTS.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.collect::<Vec<_>>().join(" ")
}

fn fill(dir: &Path, requirements: &Path) -> Result<()> {
    eprintln!("making .deps/peer with PyTorch and more for the reference: several GB; --python names what you have");
    let made = run(Command::new(PROGRAM).args(["-m", "venv"]).arg(dir))?;
    ensure!(made.success(), "{PROGRAM} cannot make an environment (Debian: python3-venv)");
    let mut pip = Command::new(dir.join(PYTHON));
    pip.args(["-m", "pip", "install", "--quiet", "--no-cache-dir", "--requirement"]).arg(requirements);
    ensure!(run(&mut pip)?.success(), "pip cannot install {REQUIREMENTS_PATH}");
    Ok(())
}
