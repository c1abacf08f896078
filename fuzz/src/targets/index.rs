//! Indices of videos.

use vidtok_data::{Library, LibraryOptions};

use crate::{Format, Outcome, Target, scratch};

pub(super) const TARGET: Target = Target { name: "index", format: Format::JsonLines, seeds, read };

fn seeds() -> Vec<Vec<u8>> {
    let line = r#"{"path":"/clips/a.mp4","size":5120,"mtime_ns":1700000000000000000,"frames":250,"fps":"30000/1001","width":64,"height":48}"#;
    vec![format!("{line}\n{}\n", line.replace("/a.mp4", "/b.mp4")).into_bytes()]
}

/// Checks that any file can be opened as an index, and that its contents are kept.
fn read(file: &[u8]) -> Outcome {
    scratch::with_file("index.jsonl", file, |path| {
        for _ in 0..2 {
            Library::open(&LibraryOptions { index: Some(path.to_owned()), ..LibraryOptions::default() })?;
        }
        assert!(scratch::read(path).starts_with(file));
        Ok(())
    })
}
