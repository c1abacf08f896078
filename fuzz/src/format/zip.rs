//! Zip archives of uncompressed records, as `torch.save` writes them.

use std::io::{Cursor, Read, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::{Format, Part};

/// The most bytes that are read from a record.
const MAX_RECORD: u64 = 1 << 20;

pub(super) fn split(file: &[u8]) -> Option<Vec<Part>> {
    let mut archive = ZipArchive::new(Cursor::new(file)).ok()?;
    let records = archive.len();
    let mut record = |index| {
        let record = archive.by_index(index).ok()?;
        let (name, mut bytes) = (record.name().ok()?.into_owned(), Vec::new());
        record.take(MAX_RECORD).read_to_end(&mut bytes).ok()?;
        Some(Part { name, ..Part::new(bytes, Format::Bytes) })
    };
    (0..records).map(&mut record).collect()
}

pub(super) fn join(parts: &[Part]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for part in parts {
        // The writer refuses a second record with the same name, which is left out.
        if archive.start_file(&part.name, options).is_ok() && archive.write_all(&part.bytes).is_err() {
            break;
        }
    }
    archive.finish().map(Cursor::into_inner).unwrap_or_default()
}

/// The first record of an archive whose name ends in `end`.
pub(crate) fn record(file: &[u8], end: &str) -> Option<Vec<u8>> {
    let part = split(file)?.into_iter().find(|part| part.name.ends_with(end));
    part.map(|part| part.bytes)
}
