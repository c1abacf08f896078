//! Shards as safetensors files: a length, a header of JSON, and the tensors' bytes one behind the other.
//!
//! The crate `safetensors` wants all tensors of a file in memory and orders a header's texts at random; here a video
//! may be of any length, and equal contents give equal bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::dataset::entry::VideoEntry;
use crate::dataset::{Dataset, Latent, NumberType, TensorLayout};
use crate::error::TokenizeError;
use crate::shard::{MOST_JSON, Shard, StoredVideo, check, only_video};

/// The header's texts: the dataset's settings, and the videos.
const DATASET: &str = "vidtok.dataset";
const VIDEOS: &str = "vidtok.videos";
const METADATA: &str = "__metadata__";
/// Headers are filled up to a multiple of this.
const ALIGNMENT: usize = 8;

#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Tensor(Place),
    Texts(BTreeMap<String, String>),
}

/// A tensor of the header.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// Everything before the tensors' bytes in a file of these videos. Tensors follow each other in the order of the videos,
/// those of a video as [`Latent::layouts`] lists them.
pub(crate) fn header(dataset: &Dataset, videos: &[VideoEntry]) -> Result<Vec<u8>, TokenizeError> {
    let texts: BTreeMap<&str, String> = [(DATASET, text(dataset)?), (VIDEOS, text(videos)?)].into();
    let mut entries: BTreeMap<String, serde_json::Value> = [(METADATA.to_owned(), json(texts)?)].into();
    let mut end = 0;
    for video in videos {
        for layout in dataset.latent.layouts(video.tokens) {
            let start = end;
            end += layout.bytes();
            let dtype = dtype_name(layout.dtype).to_owned();
            let place = Place { dtype, shape: layout.shape, data_offsets: [start, end] };
            entries.insert(format!("{}.{}", video.key, layout.name), json(place)?);
        }
    }
    let mut header = text(&entries)?.into_bytes();
    header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');
    Ok([&(header.len() as u64).to_le_bytes()[..], &header].concat())
}

pub(super) fn write(path: &Path, file: &File, dataset: &Dataset, parts: &[PathBuf]) -> Result<(), TokenizeError> {
    let mut videos = Vec::with_capacity(parts.len());
    for part in parts {
        videos.push(only_video(&Shard::open(part, dataset.latent)?)?.entry.clone());
    }
    let mut out = BufWriter::new(file);
    out.write_all(&header(dataset, &videos)?).map_err(TokenizeError::file(path))?;
    for part in parts {
        let part = Shard::open(part, dataset.latent)?;
        for (layout, start) in &only_video(&part)?.tensors {
            let copied = part.reader(layout, *start).and_then(|mut reader| io::copy(&mut reader, &mut out));
            copied.map_err(TokenizeError::file(path))?;
        }
    }
    out.flush().map_err(TokenizeError::file(path))
}

pub(super) fn read(path: &Path, file: &File, latent: Latent) -> Result<Vec<StoredVideo>, TokenizeError> {
    let wrong = |problem: &str| TokenizeError::damaged(path, problem);
    let io_error = |source| TokenizeError::File { path: path.to_owned(), source };
    let size = file.metadata().map_err(io_error)?.len();
    let mut length = [0; 8];
    file.read_exact_at(&mut length, 0).map_err(io_error)?;
    let length = u64::from_le_bytes(length);
    if length > MOST_JSON.min(size.saturating_sub(8)) {
        return Err(wrong("no whole safetensors file"));
    }
    let mut header = vec![0; length as usize];
    file.read_exact_at(&mut header, 8).map_err(io_error)?;
    let mut header: BTreeMap<String, Value> =
        serde_json::from_slice(&header).map_err(|error| wrong(&format!("its header cannot be read: {error}")))?;
    let Some(Value::Texts(texts)) = header.remove(METADATA) else { return Err(wrong("has no metadata")) };
    let videos = texts.get(VIDEOS).ok_or_else(|| wrong("its metadata lists no videos"))?;
    let videos: Vec<VideoEntry> =
        serde_json::from_str(videos).map_err(|error| wrong(&format!("its list of videos cannot be read: {error}")))?;
    let start = 8 + length;
    let find = |entry: &VideoEntry, layout: TensorLayout| {
        let name = format!("{}.{}", entry.key, layout.name);
        let Some(Value::Tensor(place)) = header.get(&name) else { return Err(wrong(&format!("no tensor {name:?}"))) };
        let [first, end] = place.data_offsets;
        let fits = place.dtype == dtype_name(layout.dtype)
            && place.shape == layout.shape
            && end.checked_sub(first) == Some(layout.bytes())
            && end <= size - start;
        match fits {
            true => Ok((layout, start + first)),
            false => Err(wrong(&format!("tensor {name:?}: expected {layout:?}, found {place:?}"))),
        }
    };
    let store = |entry: VideoEntry| {
        check(path, &entry)?;
        let layouts = latent.layouts(entry.tokens).into_iter();
        let tensors = layouts.map(|layout| find(&entry, layout)).collect::<Result<_, _>>()?;
        Ok(StoredVideo { entry, tensors })
    };
    videos.into_iter().map(store).collect()
}

fn dtype_name(dtype: NumberType) -> &'static str {
    match dtype {
        NumberType::U8 => "U8",
        NumberType::F16 => "F16",
        NumberType::Bf16 => "BF16",
    }
}

fn text(value: &(impl Serialize + ?Sized)) -> Result<String, TokenizeError> {
    serde_json::to_string(value).map_err(|error| TokenizeError::setting("a header", "what JSON can hold", error))
}

fn json(value: impl Serialize) -> Result<serde_json::Value, TokenizeError> {
    serde_json::to_value(value).map_err(|error| TokenizeError::setting("a header", "what JSON can hold", error))
}
