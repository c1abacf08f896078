//! Errors of reading checkpoints.

use std::path::PathBuf;

use vidtok_pickle::PickleError;

/// A checkpoint cannot be read. Nothing in the file was executed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file cannot be opened or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file has the format of PyTorch before 1.6.
    #[error(
        "{}: a checkpoint in the format before PyTorch 1.6, which is not supported; load and save it with a newer PyTorch",
        path.display()
    )]
    Legacy {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a zip archive.
    #[error("{}: not a PyTorch checkpoint (not a zip archive)", path.display())]
    NotAnArchive {
        /// The file.
        path: PathBuf,
    },
    /// The archive is truncated or damaged.
    #[error("{}: damaged zip archive: {source}", path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// The zip reader's error.
        source: zip::result::ZipError,
    },
    /// Two records have the same name or share bytes, which `torch.save` never writes.
    #[error("{}: records of the zip archive overlap or have the same name", path.display())]
    Overlap {
        /// The file.
        path: PathBuf,
    },
    /// A zip archive, but not one that `torch.save` wrote.
    #[error("{}: not a PyTorch checkpoint (expected one record FOLDER/data.pkl in the archive, found {found})", path.display())]
    Pickles {
        /// The file.
        path: PathBuf,
        /// The number of such records.
        found: usize,
    },
    /// A record that the pickle refers to is missing.
    #[error("{}: record {record} is missing", path.display())]
    MissingRecord {
        /// The file.
        path: PathBuf,
        /// The record's name in the archive.
        record: String,
    },
    /// A record is compressed or encrypted, which `torch.save` never does.
    #[error("{}: record {record}: expected it stored, found it compressed or encrypted", path.display())]
    NotStored {
        /// The file.
        path: PathBuf,
        /// The record's name in the archive.
        record: String,
    },
    /// A record has an impossible size.
    #[error("{}: record {record}: expected at most {limit} bytes, found {size}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The record's name in the archive.
        record: String,
        /// Its size in bytes.
        size: u64,
        /// The largest allowed size in bytes.
        limit: u64,
    },
    /// A record cannot be read, or its checksum is wrong.
    #[error("{}: record {record}: {source}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// The record's name in the archive.
        record: String,
        /// The zip reader's error.
        source: std::io::Error,
    },
    /// The numbers are not little-endian.
    #[error("{}: byte order: expected \"little\", found {found:?}", path.display())]
    ByteOrder {
        /// The file.
        path: PathBuf,
        /// The byte order that the file states.
        found: String,
    },
    /// The pickle is damaged, or calls a function that does not construct plain data.
    #[error("{}: record {record}: {source}", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
        /// The record's name in the archive.
        record: String,
        /// The error in the pickle, and its position.
        source: PickleError,
    },
    /// The file or its `state_dict` is not a dictionary.
    #[error("{}: {what}: expected a dictionary of tensors, found {found}", path.display())]
    NoStateDict {
        /// The file.
        path: PathBuf,
        /// "the checkpoint" or "state_dict".
        what: &'static str,
        /// The value that was found.
        found: String,
    },
    /// The dictionary has no tensors.
    #[error("{}: no tensors; the keys are: {keys}", path.display())]
    NoTensors {
        /// The file.
        path: PathBuf,
        /// The first keys of the dictionary.
        keys: String,
    },
    /// A key is not a string.
    #[error("{}: a key of the state_dict: expected a string, found {found}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The value that was found.
        found: String,
    },
    /// A key occurs twice.
    #[error("{}: key {key:?} occurs twice", path.display())]
    DuplicateKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// A tensor's storage has an unsupported element type.
    #[error("{}: tensor {key}: the storage {class} is not supported", path.display())]
    StorageClass {
        /// The file.
        path: PathBuf,
        /// The tensor's key.
        key: String,
        /// The storage's class.
        class: String,
    },
    /// A storage's record does not have the size that the pickle states.
    #[error("{}: record {record}: expected {elements} elements of {bytes} bytes for tensor {key}, found {found} bytes", path.display())]
    StorageSize {
        /// The file.
        path: PathBuf,
        /// The tensor's key.
        key: String,
        /// The record's name in the archive.
        record: String,
        /// The record's size in bytes.
        found: u64,
        /// The number of elements that the pickle states.
        elements: u64,
        /// The size of one element.
        bytes: u64,
    },
    /// Two tensors use one storage with different element types.
    #[error("{}: tensor {key}: record {record} is used with two element types", path.display())]
    StorageType {
        /// The file.
        path: PathBuf,
        /// The second tensor's key.
        key: String,
        /// The record's name in the archive.
        record: String,
    },
    /// A tensor reaches outside its storage, or repeats it beyond the file's size.
    #[error(
        "{}: tensor {key} with shape {shape:?}, strides {strides:?} and offset {offset} does not fit its storage of \
         {elements} elements",
        path.display()
    )]
    OutOfBounds {
        /// The file.
        path: PathBuf,
        /// The tensor's key.
        key: String,
        /// Its shape.
        shape: Vec<u64>,
        /// Its strides, in elements.
        strides: Vec<u64>,
        /// Its first element.
        offset: u64,
        /// The storage's number of elements.
        elements: u64,
    },
    /// Tensors repeat elements or share storages so much that they exceed the file's size many times.
    #[error(
        "{}: the tensors up to {key} take {bytes} bytes, more than {limit}, the limit of a file of this size",
        path.display()
    )]
    Repeated {
        /// The file.
        path: PathBuf,
        /// The key of the first tensor beyond the limit.
        key: String,
        /// Total bytes of the tensors up to this one.
        bytes: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// libtorch cannot make a tensor.
    #[error("{}: tensor {key}: {source}", path.display())]
    Torch {
        /// The file.
        path: PathBuf,
        /// The tensor's key.
        key: String,
        /// libtorch's error.
        source: tch::TchError,
    },
}
