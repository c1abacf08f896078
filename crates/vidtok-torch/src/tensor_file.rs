//! Safetensors files: memory-mapped reading and atomic writing.

#![allow(unsafe_code)] // The file is mapped into memory.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::tensor::{Dtype, Metadata, SafeTensorError, SafeTensors};
use serde_json::json;
use tch::{Device, Kind, Tensor};
use vidtok_core::tensor_from_bytes;

/// A tensor file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TensorFileError {
    /// A file operation failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file is not a safetensors file, or is truncated.
    #[error("{}: not a valid safetensors file: {source}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The error of the parser.
        source: SafeTensorError,
    },
    /// The file has no tensor of this name.
    #[error("{}: no tensor {name:?}; the file has {found}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The requested tensor.
        name: String,
        /// The names of the file's tensors.
        found: String,
    },
    /// libtorch cannot create a tensor of this shape.
    #[error("{}: tensor {name:?} has an invalid shape", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// The number type is not supported.
    #[error("{}: tensor {name:?} has the number type {dtype}, which is not supported", path.display())]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its type.
        dtype: String,
    },
}

/// The number types that both safetensors and libtorch support.
const KINDS: [(Dtype, Kind); 10] = [
    (Dtype::F32, Kind::Float),
    (Dtype::F16, Kind::Half),
    (Dtype::BF16, Kind::BFloat16),
    (Dtype::F64, Kind::Double),
    (Dtype::I64, Kind::Int64),
    (Dtype::I32, Kind::Int),
    (Dtype::I16, Kind::Int16),
    (Dtype::I8, Kind::Int8),
    (Dtype::U8, Kind::Uint8),
    (Dtype::BOOL, Kind::Bool),
];

/// An open safetensors file, or one that is compiled into the program.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    bytes: FileBytes,
    header: Metadata,
    data_start: usize,
}

#[derive(Debug)]
enum FileBytes {
    Map(Mmap),
    Static(&'static [u8]),
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Map(map) => map,
            Self::Static(bytes) => bytes,
        }
    }
}

impl TensorFile {
    /// Opens a file and reads its header. Tensors are read on request.
    ///
    /// # Errors
    /// If the file cannot be opened or is not a valid safetensors file.
    pub fn open(path: &Path) -> Result<Self, TensorFileError> {
        let io = |source| TensorFileError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        if file.metadata().map_err(io)?.is_dir() {
            return Err(io(io::ErrorKind::IsADirectory.into()));
        }
        // SAFETY: the map is private to this struct and only copied from. As with every mapped file, another process
        // that truncates the file meanwhile would end this one with SIGBUS; we replace files by renaming.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        Self::new(path, FileBytes::Map(map))
    }

    /// Reads the header of a file that is compiled into the program. Errors call it `path`.
    ///
    /// # Errors
    /// If it is not a valid safetensors file.
    pub fn built_in(path: &Path, bytes: &'static [u8]) -> Result<Self, TensorFileError> {
        Self::new(path, FileBytes::Static(bytes))
    }

    fn new(path: &Path, bytes: FileBytes) -> Result<Self, TensorFileError> {
        let format = |source| TensorFileError::Format { path: path.to_owned(), source };
        let (header_length, header) = SafeTensors::read_metadata(&bytes).map_err(format)?;
        let data_start = header_length + size_of::<u64>();
        Ok(Self { path: path.to_owned(), bytes, header, data_start })
    }

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The value of a key in the header's metadata.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.header.metadata().as_ref()?.get(key).map(String::as_str)
    }

    /// The names of the tensors, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names = self.header.offset_keys();
        names.sort();
        names
    }

    /// Whether the file has a tensor of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.header.info(name).is_some()
    }

    /// Copies a tensor to the CPU in the file's number type.
    ///
    /// # Errors
    /// If the file has no tensor of this name, or its number type or shape is not supported.
    pub fn tensor(&self, name: &str) -> Result<Tensor, TensorFileError> {
        let info = self.header.info(name).ok_or_else(|| TensorFileError::Missing {
            path: self.path.clone(),
            name: name.to_owned(),
            found: self.names().join(", "),
        })?;
        let kind = KINDS.iter().find(|(dtype, _)| *dtype == info.dtype).ok_or_else(|| TensorFileError::Dtype {
            path: self.path.clone(),
            name: name.to_owned(),
            dtype: format!("{:?}", info.dtype),
        })?;
        let wrong_shape = || TensorFileError::Shape { path: self.path.clone(), name: name.to_owned() };
        let shape: Result<Vec<i64>, _> = info.shape.iter().map(|&n| i64::try_from(n)).collect();
        let (start, end) = info.data_offsets;
        let bytes = self.bytes.get(self.data_start + start..self.data_start + end).ok_or_else(wrong_shape)?;
        let shape = shape.map_err(|_| wrong_shape())?;
        // In C++, a bool with another byte than 0 or 1 is undefined behaviour.
        let stored = if kind.1 == Kind::Bool { Kind::Uint8 } else { kind.1 };
        let tensor = tensor_from_bytes(bytes, &shape, stored).map_err(|_| wrong_shape())?;
        Ok(if stored == kind.1 { tensor } else { tensor.ne(0) })
    }

    /// Copies all tensors, see [`tensor`](Self::tensor).
    ///
    /// # Errors
    /// If a number type or a shape is not supported.
    pub fn tensors(&self) -> Result<BTreeMap<String, Tensor>, TensorFileError> {
        self.names().into_iter().map(|name| self.tensor(&name).map(|tensor| (name, tensor))).collect()
    }
}

/// Writes tensors and metadata as a safetensors file, atomically. Equal contents produce equal bytes (the `safetensors`
/// crate writes metadata in the random order of a hash map).
///
/// # Errors
/// If writing fails or a number type is not supported.
pub fn write_tensors<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
    metadata: impl IntoIterator<Item = (&'a str, String)>,
) -> Result<(), TensorFileError> {
    let mut tensors: Vec<(&str, &Tensor)> = tensors.into_iter().collect();
    // Wide types first, so that all tensors are aligned.
    tensors.sort_by_key(|(name, tensor)| (Reverse(tensor.kind().elt_size_in_bytes()), *name));
    let metadata: BTreeMap<&str, String> = metadata.into_iter().collect();
    let mut header = BTreeMap::from([("__metadata__", json!(metadata))]);
    let mut end = 0;
    for (name, tensor) in &tensors {
        let kind = tensor.kind();
        let dtype = KINDS.iter().find(|(_, known)| *known == kind).ok_or_else(|| TensorFileError::Dtype {
            path: path.to_owned(),
            name: (*name).to_owned(),
            dtype: format!("{kind:?}"),
        })?;
        let start = end;
        end += tensor.numel() * kind.elt_size_in_bytes();
        header.insert(name, json!({"dtype": dtype.0, "shape": tensor.size(), "data_offsets": [start, end]}));
    }
    let mut header = json!(header).to_string();
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(size_of::<u64>()) - header.len()));
    vidtok_core::write_atomically(path, |temporary| {
        let mut file = File::create(temporary)?;
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        tensors.iter().try_for_each(|(_, tensor)| file.write_all(&bytes(tensor)))
    })
    .map_err(|source| TensorFileError::Io { path: path.to_owned(), source })
}

/// The bytes of a tensor's elements in order.
fn bytes(tensor: &Tensor) -> Vec<u8> {
    let tensor = tensor.detach().to_device(Device::Cpu).contiguous();
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.copy_data_u8(&mut bytes, tensor.numel());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_of_all_number_types_survive_a_round_trip() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let x = Tensor::arange(24, (Kind::Float, Device::Cpu)).view([2, 3, 4]);
        let written: Vec<(String, Tensor)> =
            KINDS.iter().map(|(dtype, kind)| (format!("{dtype:?}"), x.to_kind(*kind).permute([2, 0, 1]))).collect();
        let tensors = written.iter().map(|(name, tensor)| (name.as_str(), tensor));
        write_tensors(&path, tensors, [("about", "a test".to_owned())]).unwrap();

        let file = TensorFile::open(&path).unwrap();
        assert_eq!(file.metadata("about"), Some("a test"));
        for (name, tensor) in &written {
            let read = file.tensor(name).unwrap();
            assert_eq!(read.kind(), tensor.kind(), "{name}");
            assert!(read.equal(tensor), "{name}");
        }
    }

    #[test]
    fn equal_contents_produce_equal_bytes_in_any_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let (x, y) = (Tensor::from(1.5_f32), Tensor::from_slice(&[1_i64, 2]));
        let texts: Vec<(String, String)> = (0..9).map(|n| (format!("text {n}"), format!("\"\u{e9}\n{n}"))).collect();
        let write = |backwards: bool| {
            let mut tensors = vec![("x", &x), ("y", &y)];
            let mut texts: Vec<_> = texts.iter().map(|(key, text)| (key.as_str(), text.clone())).collect();
            if backwards {
                tensors.reverse();
                texts.reverse();
            }
            write_tensors(&path, tensors, texts).unwrap();
            std::fs::read(&path).unwrap()
        };
        let first = write(false);
        for run in 0..8 {
            assert!(write(run % 2 == 0) == first, "run {run}");
        }
        let file = TensorFile::open(&path).unwrap();
        assert_eq!(file.metadata("text 3"), Some("\"\u{e9}\n3"));
        assert_eq!(file.data_start % 8, 0);
        assert!(file.tensor("x").unwrap().equal(&x) && file.tensor("y").unwrap().equal(&y));
    }

    #[test]
    fn any_nonzero_byte_of_a_bool_tensor_reads_as_true() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        write_tensors(&path, [("x", &Tensor::from_slice(&[true, false, true]))], []).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] = 7;
        std::fs::write(&path, bytes).unwrap();
        let read = TensorFile::open(&path).unwrap().tensor("x").unwrap();
        assert_eq!(
            (read.kind(), Vec::<i64>::try_from(read.to_kind(Kind::Int64)).unwrap()),
            (Kind::Bool, vec![1, 0, 1])
        );
    }

    #[test]
    fn the_error_for_a_missing_tensor_lists_the_existing_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        write_tensors(&path, [("here", &Tensor::from(1.0_f32))], []).unwrap();
        let error = TensorFile::open(&path).unwrap().tensor("there").unwrap_err().to_string();
        assert!(error.contains("\"there\"") && error.contains("has here"), "{error}");
    }

    #[test]
    fn damaged_files_are_errors_that_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        write_tensors(&path, [("x", &Tensor::zeros([100], (Kind::Float, Device::Cpu)))], []).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 4, 20, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            let error = TensorFile::open(&path).unwrap_err().to_string();
            assert!(error.contains("a.safetensors"), "{error}");
        }
        assert!(TensorFile::open(folder.path()).is_err());
    }
}
