//! `cargo xtask agree`: our metrics and those of Python packages, on the same frames of real clips.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Deserialize;

use crate::setup;
use crate::workspace::Workspace;

/// The example in `benches` that measures ours. It is about numbers, so that any build serves.
const OURS: [&str; 6] = ["run", "--quiet", "--package", "vidtok-benches", "--example", "agreement"];
const PACKAGES: &str = "benches/agreement/packages.py";
/// In `.deps`.
const FRAMES: &str = "agreement/frames.safetensors";

/// Of the largest value of a metric; both sides compute in float32.
const TOLERANCE: f64 = 1e-3;

#[derive(Args)]
pub(crate) struct Options {
    /// A Python with what benches/agreement/requirements.txt lists
    #[arg(long)]
    python: PathBuf,
}

/// Measures on both sides and prints a table; fails if they do not agree.
#[allow(clippy::print_stdout, reason = "the table is the result")]
pub(crate) fn command(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    setup::run(workspace)?;
    let frames = workspace.deps().join(FRAMES);
    let folder = frames.parent().context("no folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let ours = Answer::take(workspace.cargo().args(OURS).arg("--").arg(&frames))?;
    // Leaves no compiled files beside the script.
    let mut packages = Command::new(&options.python);
    packages.args(["-B", "-W", "ignore"]).arg(workspace.root().join(PACKAGES)).arg(&frames);
    let agreement = Agreement { theirs: Answer::take(&mut packages)?, ours };
    println!("{agreement}");
    agreement.check()?;
    Ok(ExitCode::SUCCESS)
}

/// The line of JSON that each side prints.
#[derive(Debug, Deserialize)]
struct Answer {
    /// The values of each metric.
    numbers: BTreeMap<String, Vec<f64>>,
}

impl Answer {
    /// Runs a program to its end; its standard error is ours.
    fn take(command: &mut Command) -> Result<Self> {
        let program = command.get_program().display().to_string();
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let output = output.with_context(|| format!("cannot start {program}"))?;
        ensure!(output.status.success(), "{program} measures nothing: {}", output.status);
        serde_json::from_slice(&output.stdout).with_context(|| format!("what {program} printed"))
    }
}

struct Agreement {
    ours: Answer,
    theirs: Answer,
}

impl Agreement {
    /// For each metric that the packages have, how many values it has and the largest difference, of the largest value.
    /// Values that only one side has differ by all of it.
    fn differences(&self) -> impl Iterator<Item = (&str, usize, f64)> {
        self.theirs.numbers.iter().map(|(name, expected)| {
            let found = self.ours.numbers.get(name).filter(|found| found.len() == expected.len());
            let largest = |values: &mut dyn Iterator<Item = f64>| {
                values.map(f64::abs).fold(0.0, |a: f64, b| if b <= a || a.is_nan() { a } else { b })
            };
            let scale = largest(&mut expected.iter().copied());
            let apart = found.map(|found| largest(&mut found.iter().zip(expected).map(|(a, b)| a - b)));
            let difference = apart.map_or(1.0, |apart| if apart == 0.0 { 0.0 } else { apart / scale });
            (name.as_str(), expected.len(), if difference.is_nan() { 1.0 } else { difference })
        })
    }

    fn check(&self) -> Result<()> {
        ensure!(!self.theirs.numbers.is_empty(), "there is nothing to compare");
        for (name, _, difference) in self.differences() {
            ensure!(
                difference <= TOLERANCE,
                "{name} differs by {difference:.1e} of its largest value, more than {TOLERANCE:.0e}"
            );
        }
        Ok(())
    }
}

/// A table in Markdown.
impl Display for Agreement {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "| | values | largest difference, of the largest value |\n|---|---|---|")?;
        for (name, count, difference) in self.differences() {
            write!(f, "\n| {name} | {count} | {difference:.1e} |")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(values: &[(&str, &[f64])]) -> Answer {
        let numbers = values.iter().map(|&(name, values)| (name.to_owned(), values.to_vec())).collect();
        Answer { numbers }
    }

    fn agreement(ours: &[(&str, &[f64])]) -> Agreement {
        Agreement { ours: answer(ours), theirs: answer(&[("fvd", &[4.0]), ("lpips", &[0.5, -2.0])]) }
    }

    #[test]
    fn differences_are_shares_of_the_largest_value() {
        let near = agreement(&[("fvd", &[4.0]), ("lpips", &[0.501, -2.0]), ("psnr", &[30.0])]);
        assert!(near.to_string().contains("| fvd | 1 | 0.0e0 |\n| lpips | 2 | 5.0e-4 |"), "{near}");
        near.check().unwrap();
    }

    #[test]
    fn what_differs_or_is_missing_is_told() {
        for lpips in [&[0.51, -2.0][..], &[f64::NAN, -2.0], &[0.5], &[]] {
            let error = agreement(&[("fvd", &[4.0]), ("lpips", lpips)]).check().unwrap_err().to_string();
            assert!(error.starts_with("lpips differs by "), "{lpips:?}: {error}");
        }
        assert!(agreement(&[("lpips", &[0.5, -2.0])]).check().is_err());
        let nothing = Agreement { ours: answer(&[("fvd", &[4.0])]), theirs: answer(&[]) };
        assert!(nothing.check().is_err());
    }

    #[test]
    fn a_program_that_fails_gives_no_answer() {
        assert!(Answer::take(Command::new("false").arg("x")).unwrap_err().to_string().contains("false"));
        assert!(Answer::take(&mut Command::new("true")).is_err());
        let answer = Answer::take(Command::new("echo").arg(r#"{"numbers": {"fvd": [4]}}"#)).unwrap();
        assert_eq!(answer.numbers["fvd"], [4.0]);
    }
}
