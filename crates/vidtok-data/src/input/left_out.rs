//! Files that a search for videos or images leaves out.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// The most extensions to name.
const NAMED: usize = 8;
/// The longest extension to name.
const LONGEST: usize = 12;

/// The files left out of a list, counted by their extensions in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    extensions: BTreeMap<String, usize>,
    hidden: usize,
}

impl LeftOut {
    /// The number of files and hidden folders.
    #[must_use]
    pub fn count(&self) -> usize {
        self.extensions.values().sum::<usize>() + self.hidden
    }

    /// Whether no file was left out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Counts hidden files and folders.
    pub(super) fn add_hidden(&mut self, count: usize) {
        self.hidden += count;
    }

    /// Counts a file by its extension.
    pub(super) fn add(&mut self, path: &Path) {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        let name = match extension {
            None => "without extension".to_owned(),
            Some(long) if long.len() > LONGEST || !long.chars().all(char::is_alphanumeric) => "others".to_owned(),
            Some(extension) => format!(".{extension}"),
        };
        *self.extensions.entry(name).or_default() += 1;
    }
}

impl fmt::Display for LeftOut {
    /// Formats as "left out: 4 files (.txt 2, .json 1, hidden 1)", the most frequent first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds: Vec<(&str, usize)> =
            self.extensions.iter().map(|(name, &count)| (name.as_str(), count)).collect();
        kinds.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        let others: usize = kinds.drain(kinds.len().min(NAMED)..).map(|(_, count)| count).sum();
        kinds.extend([("others", others), ("hidden", self.hidden)].into_iter().filter(|&(_, count)| count > 0));
        let count = self.count();
        write!(f, "left out: {count} file{}", if count == 1 { "" } else { "s" })?;
        if kinds.is_empty() {
            return Ok(());
        }
        let kinds: Vec<String> = kinds.iter().map(|(name, count)| format!("{name} {count}")).collect();
        write!(f, " ({})", kinds.join(", "))
    }
}
