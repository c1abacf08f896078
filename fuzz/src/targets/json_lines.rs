//! Files whose lines are JSON values.

use std::path::Path;

use serde_json::{Value, json};
use vidtok_data::JsonLines;

use crate::{Format, Outcome, Target, scratch};

pub(super) const TARGET: Target = Target { name: "json_lines", format: Format::JsonLines, seeds, read };

fn seeds() -> Vec<Vec<u8>> {
    vec![b"{\"path\": \"a.mp4\", \"reason\": \"too short\"}\n[1, 2.5, null]\n\nno json\n{\"a\": {\"b\": [".to_vec()]
}

/// Checks that appending a line keeps all previous contents.
fn read(file: &[u8]) -> Outcome {
    scratch::with_file("a.jsonl", file, |path| {
        let (lines, before) = open(path)?;
        let appended = json!({ "appended": "\n" });
        lines.append(&appended)?;
        let (_, after) = open(path)?;
        let Some((last, rest)) = after.split_last() else { panic!("nothing was appended") };
        assert!(*last == appended && rest == before);
        let written = scratch::read(path);
        assert!(written.starts_with(file) && written.ends_with(b"\n"));
        Ok(())
    })
}

fn open(path: &Path) -> Result<(JsonLines, Vec<Value>), vidtok_data::LoadError> {
    let mut values = Vec::new();
    let lines = JsonLines::open(path, |value| values.push(value))?;
    Ok((lines, values))
}
