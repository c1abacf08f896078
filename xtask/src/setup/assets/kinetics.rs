//! The names of the classes of Kinetics-400 (arXiv 1705.06950) in the order of the logits, from the package
//! `torchvision` (BSD licence).

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::setup::package::Package;
use crate::setup::store::Store;

pub(super) const PACKAGE: &str = "torchvision";
const MEMBER: &str = "torchvision/models/_meta.py";
/// The line of Python that begins the list. Each name is on its own line.
const BEGIN: &str = "_KINETICS400_CATEGORIES = [";
const END: &str = "]";
const COUNT: usize = 400;

/// Fetches the 400 names.
pub(super) fn labels(store: &Store, dir: &Path) -> Result<Vec<String>> {
    let file = Path::new("kinetics.py");
    Package::pinned(PACKAGE)?.unpack(store, dir, |member| (member == MEMBER).then(|| file.into()))?;
    let source = fs::read_to_string(dir.join(file)).with_context(|| format!("{PACKAGE} has no {MEMBER}"))?;
    let labels = read(&source).with_context(|| format!("{PACKAGE}: {MEMBER}"))?;
    ensure!(labels.len() == COUNT, "{PACKAGE}: {MEMBER} names {} classes, expected {COUNT}", labels.len());
    Ok(labels)
}

/// Reads the list from the source as text; nothing is executed.
fn read(source: &str) -> Result<Vec<String>> {
    let mut lines = source.lines().skip_while(|line| *line != BEGIN);
    lines.next().with_context(|| format!("no line {BEGIN:?}"))?;
    let mut labels = Vec::new();
    for line in lines {
        if line == END {
            return Ok(labels);
        }
        let quoted = line.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix("\","));
        let name = quoted.filter(|name| !name.contains(['"', '\\']));
        labels.push(name.with_context(|| format!("not a name in quotes: {line:?}"))?.to_owned());
    }
    bail!("the list does not end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_list_of_kinetics_400_is_read() -> Result<()> {
        let source = "_OTHER = [\n    \"cat\",\n]\n\n_KINETICS400_CATEGORIES = [\n    \"massaging person's head\",\n    \"zumba\",\n]\n\
                      _MORE = [\n    \"dog\",\n]\n";
        assert_eq!(read(source)?, ["massaging person's head", "zumba"]);
        Ok(())
    }

    #[test]
    fn anything_but_a_plain_list_is_an_error() {
        let message = |source: &str| read(source).unwrap_err().to_string();
        assert_eq!(message("a = 1\n"), "no line \"_KINETICS400_CATEGORIES = [\"");
        assert_eq!(message("_KINETICS400_CATEGORIES = [\n    \"a\",\n"), "the list does not end");
        for line in ["os.remove(\"a\"),", "\"a\" + \"b\",", "\"a\\n\","] {
            let error = message(&format!("_KINETICS400_CATEGORIES = [\n    {line}\n]\n"));
            assert!(error.starts_with("not a name in quotes"), "{error}");
        }
    }
}
