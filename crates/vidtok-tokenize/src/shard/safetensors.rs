//! Shards as safetensors files: the header's length, the header as JSON, and the tensors' bytes in sequence.
//!
//! The crate `safetensors` needs all tensors of a file in memory, and orders the header's metadata at random. Here, a
//! video may have any length, and equal contents must result in equal bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::dataset::settings::Dataset;
use crate::error::TokenizeError;
use crate::json;
use crate::shard::stored::{MAX_JSON, StoredVideo, check};
use crate::storage::entry::VideoEntry;
use crate::storage::latent::{Latent, NumberType, TensorLayout};

/// Keys of the header's metadata: the dataset's settings and the videos' entries, both as JSON text.
const DATASET: &str = "vidtok.dataset";
const VIDEOS: &str = "vidtok.videos";
const METADATA: &str = "__metadata__";
/// The length of the header is padded to a multiple of this.
const ALIGNMENT: usize = 8;

/// A value of the header.
#[derive(Deserialize)]
#[serde(untagged)]
enum HeaderValue {
    Tensor(TensorHeader),
    Metadata(BTreeMap<String, String>),
}

/// The header of a tensor.
#[derive(Debug, Serialize, Deserialize)]
struct TensorHeader {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// All bytes that precede the tensors in a file of these videos. Tensors are in the order of the videos, and those of a
/// video in the order of [`Latent::layouts`].
pub(crate) fn header(dataset: &Dataset, videos: &[VideoEntry]) -> Result<Vec<u8>, TokenizeError> {
    let metadata = BTreeMap::from([(DATASET, json::compact(dataset)?), (VIDEOS, json::compact(videos)?)]);
    let mut entries = BTreeMap::from([(METADATA.to_owned(), json::value(metadata)?)]);
    let mut end = 0;
    for video in videos {
        for layout in dataset.latent.layouts(video.tokens) {
            let start = end;
            end += layout.bytes();
            let dtype = dtype_name(layout.dtype).to_owned();
            let tensor = TensorHeader { dtype, shape: layout.shape, data_offsets: [start, end] };
            entries.insert(format!("{}.{}", video.key, layout.name), json::value(tensor)?);
        }
    }
    let mut header = json::compact(&entries)?.into_bytes();
    header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');
    Ok([&(header.len() as u64).to_le_bytes()[..], &header].concat())
}

/// Locates the videos of a file.
pub(super) fn read(path: &Path, file: &File, latent: Latent) -> Result<Vec<StoredVideo>, TokenizeError> {
    let wrong = |problem: &str| TokenizeError::damaged(path, problem);
    let io_error = |source| TokenizeError::File { path: path.to_owned(), source };
    let size = file.metadata().map_err(io_error)?.len();
    let mut length = [0; 8];
    file.read_exact_at(&mut length, 0).map_err(io_error)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_JSON.min(size.saturating_sub(8)) {
        return Err(wrong("not a complete safetensors file"));
    }
    let mut header = vec![0; length as usize];
    file.read_exact_at(&mut header, 8).map_err(io_error)?;
    let mut header: BTreeMap<String, HeaderValue> =
        serde_json::from_slice(&header).map_err(|error| wrong(&format!("its header cannot be read: {error}")))?;
    let Some(HeaderValue::Metadata(metadata)) = header.remove(METADATA) else {
        return Err(wrong("its header has no metadata"));
    };
    let videos = metadata.get(VIDEOS).ok_or_else(|| wrong("its metadata lists no videos"))?;
    let videos: Vec<VideoEntry> =
        serde_json::from_str(videos).map_err(|error| wrong(&format!("its list of videos cannot be read: {error}")))?;
    let start = 8 + length;
    let find = |entry: &VideoEntry, layout: TensorLayout| {
        let name = format!("{}.{}", entry.key, layout.name);
        let Some(HeaderValue::Tensor(tensor)) = header.get(&name) else {
            return Err(wrong(&format!("tensor {name:?} is missing")));
        };
        let [first, end] = tensor.data_offsets;
        let fits = tensor.dtype == dtype_name(layout.dtype)
            && tensor.shape == layout.shape
            && end.checked_sub(first) == Some(layout.bytes())
            && end <= size - start;
        match fits {
            true => Ok((layout, start + first)),
            false => Err(wrong(&format!("tensor {name:?}: expected {layout:?}, found {tensor:?}"))),
        }
    };
    let locate = |entry: VideoEntry| {
        check(path, &entry)?;
        let layouts = latent.layouts(entry.tokens).into_iter();
        let tensors = layouts.map(|layout| find(&entry, layout)).collect::<Result<_, _>>()?;
        Ok(StoredVideo { entry, tensors })
    };
    videos.into_iter().map(locate).collect()
}

fn dtype_name(dtype: NumberType) -> &'static str {
    match dtype {
        NumberType::U8 => "U8",
        NumberType::F16 => "F16",
        NumberType::Bf16 => "BF16",
    }
}
