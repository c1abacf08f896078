//! What can go wrong with a checkpoint.

use std::path::PathBuf;

use vidtok_pickle::PickleError;

/// A checkpoint that cannot be read. Nothing in the file was executed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file cannot be opened or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file has the format of PyTorch before 1.6.
    #[error(
        "{}: a checkpoint in the format before PyTorch 1.6, which is not read; load and save it with a newer PyTorch",
        path.display()
    )]
    Legacy {
        /// The file.
        path: PathBuf,
    },
    /// The file is no zip archive.
    #[error("{}: no PyTorch checkpoint (no zip archive)", path.display())]
    NotAnArchive {
        /// The file.
        path: PathBuf,
    },
    /// The archive is truncated or damaged.
    #[error("{}: damaged zip archive: {source}", path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// What the zip reader said.
        source: zip::result::ZipError,
    },
    /// Two records have the same name or share bytes, which `torch.save` never writes.
    #[error("{}: records of the zip archive overlap or have the same name", path.display())]
    Overlap {
        /// The file.
        path: PathBuf,
    },
    /// A zip archive, but not one that `torch.save` wrote.
    #[error("{}: no PyTorch checkpoint (the archive has {found} records FOLDER/data.pkl, expected one)", path.display())]
    Pickles {
        /// The file.
        path: PathBuf,
        /// How many there are.
        found: usize,
    },
    /// A record that the pickle names is not there.
    #[error("{}: record {record} is missing", path.display())]
    MissingRecord {
        /// The file.
        path: PathBuf,
        /// The record's name in the archive.
        record: String,
    },
    /// A record is compressed or encrypted, which `torch.save` never does.
    #[error("{}: record {record} is compressed or encrypted, expected it stored", path.display())]
    NotStored {
        /// The file.
        path: PathBuf,
        /// The record's name in the archive.
        record: String,
    },
    /// A record has an impossible size.
    #[error("{}: record {record} has {size} bytes, the most is {limit}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The record's name in the archive.
        record: String,
        /// Its size in bytes.
        size: u64,
        /// The largest that is read, in bytes.
        limit: u64,
    },
    /// A record cannot be read, or its checksum is wrong.
    #[error("{}: record {record}: {source}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// The record's name in the archive.
        record: String,
        /// What the zip reader said.
        source: std::io::Error,
    },
    /// The numbers are not little-endian.
    #[error("{}: byte order {found:?} is not read, only \"little\"", path.display())]
    ByteOrder {
        /// The file.
        path: PathBuf,
        /// What the file says.
        found: String,
    },
    /// The pickle is damaged, or calls what makes no plain data.
    #[error("{}: record {record}: {source}", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
        /// The record's name in the archive.
        record: String,
        /// What is wrong with it, and where.
        source: PickleError,
    },
    /// The file or its `state_dict` is no dictionary.
    #[error("{}: {what} is {found}, expected a dictionary of tensors", path.display())]
    NoStateDict {
        /// The file.
        path: PathBuf,
        /// "the checkpoint" or "state_dict".
        what: &'static str,
        /// What it is.
        found: String,
    },
    /// The dictionary holds no tensor.
    #[error("{}: no tensors; the keys are: {keys}", path.display())]
    NoTensors {
        /// The file.
        path: PathBuf,
        /// The first of its keys.
        keys: String,
    },
    /// A key is no text.
    #[error("{}: a key of the state_dict is {found}, expected a text", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: String,
    },
    /// A key stands there twice.
    #[error("{}: key {key:?} stands there twice", path.display())]
    DuplicateKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// A tensor's storage has elements that are not read.
    #[error("{}: tensor {key} has the storage {class}, which is not read", path.display())]
    StorageClass {
        /// The file.
        path: PathBuf,
        /// The tensor's key.
        key: String,
        /// The storage's class.
        class: String,
    },
    /// A storage's record does not have the size that the pickle says.
    #[error("{}: record {record} has {found} bytes, tensor {key} needs {elements} elements of {bytes} bytes", path.display())]
    StorageSize {
        /// The file.
        path: PathBuf,
        /// The tensor's key.
        key: String,
        /// The record's name in the archive.
        record: String,
        /// The record's size in bytes.
        found: u64,
        /// The number of elements that the pickle says.
        elements: u64,
        /// The size of one element.
        bytes: u64,
    },
    /// Two tensors see one storage as different types.
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
    /// Tensors repeat what the file has, or each other, beyond measure.
    #[error(
        "{}: the tensors up to {key} take {bytes} bytes, more than {limit}, the most of a file that has no more",
        path.display()
    )]
    Repeated {
        /// The file.
        path: PathBuf,
        /// The key of the tensor that is too much.
        key: String,
        /// Bytes of all tensors up to it.
        bytes: u64,
        /// The most that they may take.
        limit: u64,
    },
    /// libtorch refuses a tensor.
    #[error("{}: tensor {key}: {source}", path.display())]
    Torch {
        /// The file.
        path: PathBuf,
        /// The tensor's key.
        key: String,
        /// What libtorch said.
        source: tch::TchError,
    },
}
