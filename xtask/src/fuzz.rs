//! `cargo xtask fuzz`: runs a fuzz target under libFuzzer.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::setup;
use crate::workspace::{Workspace, exit_code, run};

/// The compiler wrapper that instruments the crates of this workspace for libFuzzer.
const COMPILER: &str = "fuzz/rustc.sh";
/// The folder of the targets' corpora and findings.
const FOLDER: &str = "target/fuzz";
/// The largest file that is generated, in bytes; the largest seeds have 8 thousand.
const LONGEST: &str = "-max_len=20000";

#[derive(Args)]
pub(crate) struct Options {
    /// The target: a name in docs/TESTING.md
    target: String,
    /// Passed to libFuzzer: -max_total_time=600, -help=1, or a file to read once
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Sets up and runs a target.
pub(crate) fn command(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    setup::run(workspace)?;
    let root = workspace.root();
    let folder = root.join(FOLDER).join(&options.target);
    let (corpus, found) = (folder.join("corpus"), folder.join("found"));
    for folder in [&corpus, &found] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let mut fuzz = workspace.cargo();
    fuzz.args(["run", "--quiet", "--package", "vidtok-fuzz", "--bin", "fuzz", "--features", "libfuzzer", "--"]);
    fuzz.env("RUSTC_WORKSPACE_WRAPPER", root.join(COMPILER)).env("VIDTOK_FUZZ_TARGET", &options.target);
    fuzz.arg(LONGEST).arg(artifacts(&found)).args(&options.args);
    if !names_a_file(&options.args) {
        fuzz.arg(corpus);
    }
    Ok(exit_code(run(&mut fuzz)?))
}

/// The option that says where libFuzzer puts its findings.
fn artifacts(folder: &Path) -> OsString {
    let mut option = OsString::from("-artifact_prefix=");
    option.push(folder.join(""));
    option
}

/// Whether the arguments of libFuzzer name a file or a folder beside options.
fn names_a_file(args: &[OsString]) -> bool {
    args.iter().any(|arg| !OsStr::as_encoded_bytes(arg).starts_with(b"-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_user_replace_the_corpus() {
        let args = |list: &[&str]| list.iter().map(OsString::from).collect::<Vec<_>>();
        assert!(!names_a_file(&args(&["-max_total_time=600", "-jobs=2"])));
        assert!(names_a_file(&args(&["-runs=1", "found/crash-1"])));
    }
}
