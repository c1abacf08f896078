//! Shards as tar files for WebDataset: for each video `KEY.json`, then `KEY.indices.npy`, or `KEY.mean.npy` and
//! `KEY.logvar.npy`.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::TokenizeError;
use crate::shard::stored::{MAX_JSON, StoredVideo, check};
use crate::storage::entry::VideoEntry;
use crate::storage::latent::{Latent, NumberType, TensorLayout};

/// The extension of a video's entry.
pub(super) const JSON: &str = ".json";
/// The first bytes of a NumPy file of format 1.0.
const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
/// The length of the zeros that end a tar file, in bytes.
const END: usize = 1024;
/// The length of a NumPy file's header is padded to a multiple of this.
const ALIGNMENT: usize = 64;

/// Locates the videos of a file.
pub(super) fn read(path: &Path, file: &File, latent: Latent) -> Result<Vec<StoredVideo>, TokenizeError> {
    let wrong = |problem: String| TokenizeError::damaged(path, problem);
    let damaged = |error: std::io::Error| wrong(format!("not a complete tar file: {error}"));
    // A file that was cut between two videos lacks only its end.
    let mut end = [1; END];
    let size = file.metadata().map_err(TokenizeError::file(path))?.len();
    let is_whole = size.checked_sub(END as u64).is_some_and(|start| file.read_exact_at(&mut end, start).is_ok());
    if !is_whole || end != [0; END] {
        return Err(wrong("not a complete tar file: its end is missing".to_owned()));
    }
    let mut archive = tar::Archive::new(file);
    let mut videos: Vec<StoredVideo> = Vec::new();
    for file_entry in archive.entries_with_seek().map_err(damaged)? {
        let mut file_entry = file_entry.map_err(damaged)?;
        let name = String::from_utf8_lossy(&file_entry.path_bytes()).into_owned();
        let (start, length) = (file_entry.raw_file_position(), file_entry.size());
        // Other types of members, such as sparse files, may expand to more bytes than the tar file has, or have none.
        if !file_entry.header().entry_type().is_file() || start.checked_add(length).is_none_or(|end| end > size) {
            return Err(wrong(format!("{name} is not a regular file, or extends past the end of the tar file")));
        }
        if name.ends_with(JSON) {
            let mut json = Vec::new();
            file_entry.by_ref().take(MAX_JSON).read_to_end(&mut json).map_err(damaged)?;
            let entry: VideoEntry =
                serde_json::from_slice(&json).map_err(|error| wrong(format!("{name} cannot be read: {error}")))?;
            check(path, &entry)?;
            videos.push(StoredVideo { entry, tensors: Vec::new() });
            continue;
        }
        let Some(video) = videos.last_mut() else {
            return Err(wrong(format!("{name} precedes the first video's {JSON}")));
        };
        let layout = latent.layouts(video.entry.tokens).into_iter().nth(video.tensors.len());
        let Some(layout) = layout.filter(|layout| npy_name(&video.entry, layout) == name) else {
            return Err(wrong(format!("{name} is not the next file of video {:?}", video.entry.key)));
        };
        let header = npy_header(&layout);
        let mut found = vec![0; header.len()];
        let whole = length == (header.len() as u64).saturating_add(layout.bytes())
            && file.read_exact_at(&mut found, start).is_ok();
        if !whole || found != header {
            return Err(wrong(format!("{name} does not hold {layout:?}")));
        }
        video.tensors.push((layout, start + header.len() as u64));
    }
    let complete = |video: &StoredVideo| video.tensors.len() == latent.layouts(video.entry.tokens).len();
    match videos.iter().find(|video| !complete(video)) {
        Some(video) => Err(wrong(format!("tensors of video {:?} are missing", video.entry.key))),
        None => Ok(videos),
    }
}

/// The name of the file that holds a tensor.
pub(super) fn npy_name(entry: &VideoEntry, layout: &TensorLayout) -> String {
    format!("{}.{}.npy", entry.key, layout.name)
}

/// The header of a NumPy file (`numpy.lib.format`, version 1.0).
pub(super) fn npy_header(layout: &TensorLayout) -> Vec<u8> {
    let dtype = match layout.dtype {
        NumberType::U8 => "|u1",
        // NumPy has no bfloat16, so settings with bf16 in tar files are refused.
        NumberType::F16 | NumberType::Bf16 => "<f2",
    };
    let shape: Vec<String> = layout.shape.iter().map(u64::to_string).collect();
    let shape = if shape.len() == 1 { format!("{},", shape[0]) } else { shape.join(", ") };
    let mut text = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({shape}), }}");
    let prefix = MAGIC.len() + size_of::<u16>();
    let padded = (prefix + text.len() + 1).next_multiple_of(ALIGNMENT);
    text.extend(std::iter::repeat_n(' ', padded - prefix - text.len() - 1));
    text.push('\n');
    [MAGIC, &(text.len() as u16).to_le_bytes(), text.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LATENT: Latent = Latent::Indices { codes: 256, bits: 8 };

    /// The entry of a video of t latent frames of 1024 x 1024.
    fn video(t: u64) -> Vec<u8> {
        let rate = json!({ "frames": 1, "size": [8, 8], "fps": "25", "bytes": 1 });
        let padding = json!({ "front": 0, "back": 0, "bottom": 0, "right": 0 });
        let tokens = [t, 1024, 1024];
        let video = json!({
            "key": "a", "path": "a.mp4", "tokens": tokens, "frames": 1, "size": [8, 8], "fps": "25", "padding": padding,
            "source": rate,
        });
        video.to_string().into_bytes()
    }

    /// The error about a tar file with members of these names, types, stated sizes and contents.
    fn refusal(files: &[(&str, tar::EntryType, u64, &[u8])]) -> String {
        let mut archive = Vec::new();
        for &(name, kind, size, contents) in files {
            let mut header = tar::Header::new_gnu();
            header.set_path(name).unwrap();
            header.set_entry_type(kind);
            header.set_size(size);
            if let (tar::EntryType::GNUSparse, Some(sparse)) = (kind, header.as_gnu_mut()) {
                // The contents, followed by a hole.
                let octal = |number: usize| <[u8; 12]>::try_from(format!("{number:011o}\0").as_bytes()).unwrap();
                sparse.realsize = octal(50_000_000);
                (sparse.sparse[0].offset, sparse.sparse[0].numbytes) = (octal(0), octal(contents.len()));
                (sparse.sparse[1].offset, sparse.sparse[1].numbytes) = (octal(50_000_000), octal(0));
            }
            header.set_cksum();
            archive.extend(header.as_bytes());
            archive.extend(contents);
            archive.resize(archive.len().next_multiple_of(512), 0);
        }
        archive.resize(archive.len() + END, 0);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        std::fs::write(&path, archive).unwrap();
        read(&path, &File::open(&path).unwrap(), LATENT).unwrap_err().to_string()
    }

    #[test]
    fn members_that_extend_past_the_end_are_refused_without_allocating_memory() {
        let file = tar::EntryType::Regular;
        let json = video(1 << 20);
        let header = npy_header(&LATENT.layouts([1 << 20, 1024, 1024])[0]);
        let size = header.len() as u64 + (1 << 40);
        let message = refusal(&[("a.json", file, json.len() as u64, &json), ("a.indices.npy", file, size, &header)]);
        assert!(message.contains("a.indices.npy is not a regular file, or extends past the end"), "{message}");
    }

    #[test]
    fn sparse_members_are_refused() {
        let json = video(1);
        let message = refusal(&[("a.json", tar::EntryType::GNUSparse, json.len() as u64, &json)]);
        assert!(message.contains("a.json is not a regular file"), "{message}");
    }
}
