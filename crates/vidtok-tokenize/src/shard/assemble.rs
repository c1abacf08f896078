//! Assembles shards from the part files of their videos.

use std::fs::File;
use std::io::{self, BufWriter, Cursor, Read, Write};
use std::path::{Path, PathBuf};

use crate::dataset::settings::Dataset;
use crate::error::TokenizeError;
use crate::json;
use crate::shard::reader::Shard;
use crate::shard::safetensors::header;
use crate::shard::stored::StoredVideo;
use crate::shard::webdataset::{JSON, npy_header, npy_name};
use crate::storage::latent::ShardFormat;

/// Writes the shard of the videos in `parts`, one file each, to `path`.
pub(crate) fn write(path: &Path, dataset: &Dataset, parts: &[PathBuf]) -> Result<(), TokenizeError> {
    let file = File::create(path).map_err(TokenizeError::file(path))?;
    match dataset.shards {
        ShardFormat::Safetensors => write_safetensors(path, &file, dataset, parts)?,
        ShardFormat::Webdataset => write_webdataset(path, &file, dataset, parts)?,
    }
    file.sync_all().map_err(TokenizeError::file(path))
}

fn write_safetensors(path: &Path, file: &File, dataset: &Dataset, parts: &[PathBuf]) -> Result<(), TokenizeError> {
    let mut videos = Vec::with_capacity(parts.len());
    for part in parts {
        videos.push(Shard::open(part, dataset.latent)?.only_video()?.entry.clone());
    }
    let mut out = BufWriter::new(file);
    out.write_all(&header(dataset, &videos)?).map_err(TokenizeError::file(path))?;
    for part in parts {
        let part = Shard::open(part, dataset.latent)?;
        for (layout, start) in &part.only_video()?.tensors {
            let copied = part.reader(layout, *start).and_then(|mut reader| io::copy(&mut reader, &mut out));
            copied.map_err(TokenizeError::file(path))?;
        }
    }
    out.flush().map_err(TokenizeError::file(path))
}

fn write_webdataset(path: &Path, file: &File, dataset: &Dataset, parts: &[PathBuf]) -> Result<(), TokenizeError> {
    let mut archive = tar::Builder::new(BufWriter::new(file));
    // Times and owners are 0, so that equal contents result in equal bytes.
    let mut append = |name: String, size: u64, data: &mut dyn Read| {
        let mut entry = tar::Header::new_gnu();
        entry.set_entry_type(tar::EntryType::Regular);
        entry.set_mode(0o644);
        entry.set_uid(0);
        entry.set_gid(0);
        entry.set_mtime(0);
        entry.set_size(size);
        archive.append_data(&mut entry, name, data).map_err(TokenizeError::file(path))
    };
    for part in parts {
        let part = Shard::open(part, dataset.latent)?;
        let StoredVideo { entry, tensors } = part.only_video()?;
        let json = json::compact(entry)?;
        append(format!("{}{JSON}", entry.key), json.len() as u64, &mut json.as_bytes())?;
        for (layout, start) in tensors {
            let header = npy_header(layout);
            let size = header.len() as u64 + layout.bytes();
            let reader = part.reader(layout, *start).map_err(TokenizeError::file(path))?;
            append(npy_name(entry, layout), size, &mut Cursor::new(header).chain(reader))?;
        }
    }
    let written = archive.into_inner().and_then(|mut out| out.flush());
    written.map_err(TokenizeError::file(path))
}
