//! Safetensors files.

use serde_json::{Map, Value, json};

use super::{Format, Part};

/// The name, number type, shape and bytes of a tensor.
pub(crate) type Entry<'a> = (&'a str, &'a str, &'a [u64], &'a [u8]);

pub(super) fn split(file: &[u8]) -> Option<Vec<Part>> {
    let (length, rest) = file.split_first_chunk()?;
    let (header, data) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    Some(vec![Part::new(header, Format::Json), Part::new(data, Format::Bytes)])
}

pub(super) fn join(parts: &[Part]) -> Vec<u8> {
    let header = parts.first().map_or(0, |header| header.bytes.len()) as u64;
    let mut file = header.to_le_bytes().to_vec();
    parts.iter().for_each(|part| file.extend(&part.bytes));
    file
}

/// A file with this metadata and these tensors.
pub(crate) fn file(metadata: &[(&str, &str)], tensors: &[Entry<'_>]) -> Vec<u8> {
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert("__metadata__".into(), metadata.iter().map(|&(key, text)| (key, Value::from(text))).collect());
    }
    let mut data = Vec::new();
    for &(name, dtype, shape, bytes) in tensors {
        let offsets = [data.len(), data.len() + bytes.len()];
        header.insert(name.into(), json!({ "dtype": dtype, "shape": shape, "data_offsets": offsets }));
        data.extend(bytes);
    }
    join(&[Part::new(Value::Object(header).to_string(), Format::Json), Part::new(data, Format::Bytes)])
}
