//! `cargo xtask tidy`: the project's own rules, over the files that git tracks or would track.

mod links;
mod manifests;
mod text;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

/// No file may be larger: the history keeps every version of it for good.
const MAX_BYTES: u64 = 1 << 20;
/// The pretrained models in this folder may be larger.
const MODELS: &str = "models/";
const MAX_MODEL_BYTES: u64 = 8 << 20;

/// A broken rule and its place.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    path: String,
    line: usize,
    message: String,
}

impl Violation {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.into(), line, message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Prints each violation on a line, and fails if any was found.
pub(crate) fn command(workspace: &Workspace) -> Result<ExitCode> {
    let mut violations = check(workspace.root())?;
    violations.extend(manifests::check(workspace)?);
    for violation in &violations {
        eprintln!("{violation}");
    }
    Ok(if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check(root: &Path) -> Result<Vec<Violation>> {
    let files = files(root)?;
    let mut violations = Vec::new();
    for path in &files {
        let bytes = fs::read(root.join(path)).with_context(|| format!("cannot read {path}"))?;
        let is_model = path.starts_with(MODELS) && path.ends_with(".safetensors");
        let most = if is_model { MAX_MODEL_BYTES } else { MAX_BYTES };
        if bytes.len() as u64 > most {
            violations.push(Violation::new(path, 1, format!("is larger than {} MiB", most >> 20)));
        }
        // The other rules are about text.
        let Ok(text) = String::from_utf8(bytes) else { continue };
        if text.contains('\0') {
            continue;
        }
        violations.extend(text::check(path, &text));
        if path.ends_with(".md") {
            violations.extend(links::check(path, &text, &files));
        }
    }
    Ok(violations)
}

/// The files that git tracks or would track, as paths from the root.
fn files(root: &Path) -> Result<BTreeSet<String>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]).current_dir(root);
    let output = git.output().context("cannot start git")?;
    if !output.status.success() {
        bail!("git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let paths = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    // A file that is deleted but not yet committed is listed too; a link is not followed.
    let is_file = |path: &&str| root.join(path).symlink_metadata().is_ok_and(|metadata| metadata.is_file());
    Ok(paths.split_terminator('\0').filter(is_file).map(String::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_that_git_would_track_are_checked() -> Result<()> {
        let temp = tempfile::tempdir()?;
        let root = temp.path();
        let init = Command::new("git").args(["init", "--quiet"]).current_dir(root).status()?;
        assert!(init.success());
        fs::write(root.join(".gitignore"), "/ignored.txt\n")?;
        fs::write(root.join("ignored.txt"), "no newline at the end")?;
        fs::write(root.join("seen.txt"), "no newline at the end")?;
        fs::write(root.join("large.bin"), vec![0; MAX_BYTES as usize + 1])?;

        let found = check(root)?.iter().map(Violation::to_string).collect::<Vec<_>>();
        assert_eq!(found, ["large.bin:1: is larger than 1 MiB", "seen.txt:1: does not end in a newline"]);
        Ok(())
    }
}
