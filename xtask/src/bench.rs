//! `cargo xtask bench`: the criterion benches, beside those of an earlier run.

mod comparison;
mod medians;

use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Result, ensure};
use clap::Args;

use crate::setup;
use crate::workspace::{Workspace, exit_code, run};
use comparison::Comparison;

/// Where criterion keeps its numbers.
const FOLDER: &str = "target/criterion";
/// How criterion calls the run that has just ended, and the one that it compares with if it is told no other.
const NOW: &str = "new";
const LAST: &str = "base";
/// What else criterion has in its folders.
const RESERVED: [&str; 3] = [NOW, "change", "report"];

#[derive(Args)]
pub(crate) struct Options {
    /// Keep the numbers under this name; without --save and --against each run is kept for the next one
    #[arg(long, value_name = "NAME", value_parser = name)]
    save: Option<String>,
    /// Compare with the numbers that were kept under this name
    #[arg(long, value_name = "NAME", value_parser = name)]
    against: Option<String>,
    /// Run only benches whose names hold one of these (regular expressions)
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,
}

/// Runs the benches and prints a table.
#[allow(clippy::print_stdout, reason = "the table is the result")]
pub(crate) fn command(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let Options { save, against, filters } = options;
    let folder = workspace.root().join(FOLDER);
    let baseline = against.as_ref().or(save.as_ref()).map_or(LAST, String::as_str);
    // Before they are replaced.
    let before = medians::read(&folder, baseline, SystemTime::UNIX_EPOCH)?;
    ensure!(
        against.is_none() || !before.is_empty(),
        "{FOLDER} has no numbers called {baseline}; `cargo xtask bench --save {baseline}` on what you want to compare \
         with makes them"
    );

    setup::run(workspace)?;
    let start = SystemTime::now();
    let mut bench = workspace.cargo();
    bench.args(["bench", "--package", "vidtok-benches", "--", "--quiet"]);
    // Threads that wait by spinning, as they do where nothing is set. (.cargo/config.toml is for tests beside each other.)
    bench.env("OMP_WAIT_POLICY", "active").env("CRITERION_HOME", &folder);
    bench.args(match (save, against) {
        (Some(save), _) => ["--save-baseline", save],
        (None, Some(against)) => ["--baseline-lenient", against],
        (None, None) => ["--save-baseline", LAST],
    });
    if !filters.is_empty() {
        bench.arg(filters.join("|"));
    }
    let status = run(&mut bench)?;
    if !status.success() {
        return Ok(exit_code(status));
    }
    let now = medians::read(&folder, NOW, start)?;
    ensure!(!now.is_empty(), "no bench has {} in its name", filters.join(" or "));
    if before.is_empty() {
        eprintln!("there are no earlier numbers called {baseline} to compare with; from now on these are");
    }
    println!("\n{}", Comparison::new(baseline, &now, &before));
    Ok(ExitCode::SUCCESS)
}

/// A name that is one folder, which criterion does not use itself.
fn name(name: &str) -> Result<String, String> {
    let plain = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    match (plain, RESERVED.contains(&name)) {
        (false, _) => Err("letters, digits, -, _ and . make a name".into()),
        (true, true) => Err("criterion uses this name itself".into()),
        (true, false) => Ok(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_folder_of_its_own() {
        for good in ["main", "2024-06-01", "v1.1_folded"] {
            assert_eq!(name(good).as_deref(), Ok(good));
        }
        for bad in ["", ".", "..", "../a", "a/b", "--list", "new", "change", "report"] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }
}
