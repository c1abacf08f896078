//! Reads the weights of PyTorch checkpoints (`torch.save`: `.ckpt`, `.pt`) without executing them.
//!
//! A checkpoint is a zip archive of a pickle, which describes objects, and one record of raw numbers for each tensor's
//! storage. Python executes arbitrary commands that a pickle contains; here a pickle is only data:
//!
//! - its calls are never executed. A call is an error that names the function, unless it is known to construct plain
//!   data: tensors, containers, and the data classes that Lightning, OmegaConf, NumPy and the standard library store
//!   with the weights (of those only the class's name is kept);
//! - every size, offset and shape is checked against the file before memory is allocated, so that damaged and hostile
//!   files are errors;
//! - only the storages of the `state_dict` are read, not those of optimizer states.
//!
//! The format of PyTorch before 1.6 is not supported.

pub(crate) mod archive;
pub(crate) mod error;
#[cfg(test)]
pub(crate) mod testing;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use tch::{Kind, Tensor};

use archive::Archive;
pub use error::CheckpointError;
use vidtok_core::tensor_from_bytes;
use vidtok_pickle::{Global, Id, Pickle, TensorRef, Value};
pub use vidtok_pickle::{PickleError, PickleProblem};

/// The bytes that all tensors may take per byte of the file. They can exceed the file by sharing storages and repeating
/// elements.
const MAX_REPETITION: u64 = 8;

/// The number of keys that a message lists.
const KEYS_IN_MESSAGE: usize = 8;

/// The weights of a checkpoint.
#[derive(Debug)]
pub struct Checkpoint {
    /// The tensors of the state_dict under the file's names, on the CPU, with the file's type, shape and strides.
    /// Tensors that share memory in the file share it here.
    pub tensors: BTreeMap<String, Tensor>,
    /// The keys of the state_dict whose values are not tensors, sorted.
    pub others: Vec<String>,
}

/// Reads the checkpoint at `path`: the dictionary under the key `state_dict` if there is one, as in Lightning's files,
/// otherwise the whole file as a state_dict.
///
/// # Errors
/// If the file is not a checkpoint, is damaged, has no tensors, or its pickle calls a function that does not construct
/// plain data.
pub fn read_checkpoint(path: impl AsRef<Path>) -> Result<Checkpoint, CheckpointError> {
    let path = path.as_ref();
    match File::open(path) {
        Ok(file) => read(BufReader::new(file), path),
        Err(source) => Err(CheckpointError::Io { path: path.to_owned(), source }),
    }
}

fn read(reader: impl Read + Seek, path: &Path) -> Result<Checkpoint, CheckpointError> {
    let mut archive = Archive::open(reader, path)?;
    let bytes = archive.read_pickle()?;
    let pickle = Pickle::parse(&bytes).map_err(|source| CheckpointError::Pickle {
        path: path.to_owned(),
        record: archive.record("data.pkl"),
        source,
    })?;
    let mut storages = Storages { archive, read: BTreeMap::new(), taken: 0 };
    let mut tensors = BTreeMap::new();
    let mut others = BTreeSet::new();
    for &(key, value) in state_dict(&pickle, path)? {
        let key = match *pickle.get(key) {
            Value::Str(key) => key.to_owned(),
            ref other => return Err(CheckpointError::Key { path: path.to_owned(), found: other.describe() }),
        };
        if tensors.contains_key(&key) || others.contains(&key) {
            return Err(CheckpointError::DuplicateKey { path: path.to_owned(), key });
        }
        match pickle.get(value) {
            Value::Tensor(tensor) => {
                let tensor = storages.tensor(&key, tensor)?;
                tensors.insert(key, tensor);
            }
            _ => {
                others.insert(key);
            }
        }
    }
    if tensors.is_empty() {
        let mut keys = others.iter().take(KEYS_IN_MESSAGE).cloned().collect::<Vec<_>>().join(", ");
        if others.len() > KEYS_IN_MESSAGE {
            keys.push_str(", ...");
        }
        return Err(CheckpointError::NoTensors { path: path.to_owned(), keys });
    }
    Ok(Checkpoint { tensors, others: others.into_iter().collect() })
}

/// The keys and values of the state_dict.
fn state_dict<'p>(pickle: &'p Pickle<'_>, path: &Path) -> Result<&'p [(Id, Id)], CheckpointError> {
    let dict = |what, value: &'p Value<'_>| match value {
        Value::Dict(pairs) => Ok(pairs.as_slice()),
        other => Err(CheckpointError::NoStateDict { path: path.to_owned(), what, found: other.describe() }),
    };
    let whole = dict("the checkpoint", pickle.root())?;
    let mut nested = whole.iter().filter(|(key, _)| *pickle.get(*key) == Value::Str("state_dict"));
    match (nested.next(), nested.next()) {
        (None, _) => Ok(whole),
        (Some((_, value)), None) => dict("state_dict", pickle.get(*value)),
        (Some(_), Some(_)) => {
            Err(CheckpointError::DuplicateKey { path: path.to_owned(), key: "state_dict".to_owned() })
        }
    }
}

/// The storages that have been read, as flat tensors by key.
struct Storages<R> {
    archive: Archive<R>,
    read: BTreeMap<String, Tensor>,
    /// Total bytes of the tensors so far, as if each had its own storage.
    taken: u64,
}

impl<R: Read + Seek> Storages<R> {
    /// The tensor under `key`, a view of its storage.
    fn tensor(&mut self, key: &str, wanted: &TensorRef<'_>) -> Result<Tensor, CheckpointError> {
        let path = self.archive.path().to_owned();
        let Some(kind) = storage_kind(wanted.storage.class) else {
            let class = wanted.storage.class.to_string();
            return Err(CheckpointError::StorageClass { path, key: key.to_owned(), class });
        };
        let bytes = kind.elt_size_in_bytes() as u64;
        let elements = wanted.storage.elements;
        let name = format!("data/{}", wanted.storage.key);
        let found = self.archive.size(&name)?;
        if elements.checked_mul(bytes) != Some(found) {
            let (key, record) = (key.to_owned(), self.archive.record(&name));
            return Err(CheckpointError::StorageSize { path, key, record, found, elements, bytes });
        }
        let Some((shape, strides, offset)) = view(wanted, bytes, self.archive.file_size()) else {
            let TensorRef { offset, shape, strides, .. } = wanted.clone();
            return Err(CheckpointError::OutOfBounds { path, key: key.to_owned(), shape, strides, offset, elements });
        };
        let torch = |source| CheckpointError::Torch { path: path.clone(), key: key.to_owned(), source };
        let limit = self.archive.file_size().saturating_mul(MAX_REPETITION);
        self.taken = shape.iter().fold(bytes, |bytes, extent| bytes * extent.unsigned_abs()).saturating_add(self.taken);
        if self.taken > limit {
            return Err(CheckpointError::Repeated { path, key: key.to_owned(), bytes: self.taken, limit });
        }
        if !self.read.contains_key(wanted.storage.key) {
            let record = self.archive.read(&name)?;
            let flat = flat_tensor(&record, elements as i64, kind).map_err(torch)?;
            self.read.insert(wanted.storage.key.to_owned(), flat);
        }
        match self.read.get(wanted.storage.key) {
            Some(flat) if flat.kind() == kind => flat.f_as_strided(shape, strides, offset).map_err(torch),
            _ => {
                let record = self.archive.record(&name);
                Err(CheckpointError::StorageType { path, key: key.to_owned(), record })
            }
        }
    }
}

/// The element type of a storage class; `None` if it is not a storage, or has a type that weights do not have.
fn storage_kind(class: Global<'_>) -> Option<Kind> {
    if class.module != "torch" {
        return None;
    }
    Some(match class.name {
        "FloatStorage" => Kind::Float,
        "HalfStorage" => Kind::Half,
        "BFloat16Storage" => Kind::BFloat16,
        "DoubleStorage" => Kind::Double,
        "LongStorage" => Kind::Int64,
        "IntStorage" => Kind::Int,
        "ShortStorage" => Kind::Int16,
        "CharStorage" => Kind::Int8,
        "ByteStorage" => Kind::Uint8,
        "BoolStorage" => Kind::Bool,
        _ => return None,
    })
}

/// The `elements` little-endian numbers in `bytes`.
fn flat_tensor(bytes: &[u8], elements: i64, kind: Kind) -> Result<Tensor, tch::TchError> {
    match kind {
        // libtorch's bools are 0 or 1; a file may have any byte.
        Kind::Bool => tensor_from_bytes(bytes, &[elements], Kind::Uint8)?.f_ne(0),
        _ => tensor_from_bytes(bytes, &[elements], kind),
    }
}

/// Shape, strides and offset for libtorch, or `None` if the tensor reaches outside its storage or would take more
/// than `limit` bytes when copied (strides of 0 repeat elements).
fn view(tensor: &TensorRef<'_>, element_bytes: u64, limit: u64) -> Option<(Vec<i64>, Vec<i64>, i64)> {
    let mut bytes = element_bytes;
    let mut last = tensor.offset;
    for (&extent, &stride) in tensor.shape.iter().zip(&tensor.strides) {
        bytes = bytes.checked_mul(extent.max(1))?;
        last = last.checked_add(extent.saturating_sub(1).checked_mul(stride)?)?;
    }
    let empty = tensor.shape.contains(&0);
    let inside = match empty {
        true => tensor.offset <= tensor.storage.elements,
        false => last < tensor.storage.elements,
    };
    let signed = |values: &[u64]| values.iter().map(|&value| i64::try_from(value).ok()).collect::<Option<Vec<_>>>();
    let parts = (signed(&tensor.shape)?, signed(&tensor.strides)?, tensor.offset.try_into().ok()?);
    (inside && (empty || bytes <= limit)).then_some(parts)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::testing::{Py, checkpoint, dict, read, refusal, storage, tensor};
    use super::*;

    /// A file of `testdata`, which its README describes.
    fn file(name: &str) -> PathBuf {
        [env!("CARGO_MANIFEST_DIR"), "src", "files", "checkpoint", "testdata", name].iter().collect()
    }

    fn values(tensor: &Tensor) -> Vec<f64> {
        Vec::try_from(tensor.to_kind(Kind::Double).reshape([-1])).unwrap()
    }

    fn float_bytes<const N: usize>(values: [f32; N]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn all_element_types_keep_type_and_values() {
        let read = read_checkpoint(file("types.pt")).unwrap();
        let signed = [-2.0, -1.0, 0.0, 1.0, 2.0, 3.0];
        for (key, kind) in [
            ("float32", Kind::Float),
            ("float16", Kind::Half),
            ("bfloat16", Kind::BFloat16),
            ("float64", Kind::Double),
            ("int64", Kind::Int64),
            ("int32", Kind::Int),
            ("int16", Kind::Int16),
            ("int8", Kind::Int8),
        ] {
            let tensor = &read.tensors[key];
            assert_eq!((tensor.kind(), tensor.size()), (kind, vec![2, 3]), "{key}");
            assert_eq!(values(tensor), signed, "{key}");
        }
        assert_eq!(read.tensors["uint8"].kind(), Kind::Uint8);
        assert_eq!(values(&read.tensors["uint8"]), [250.0, 251.0, 252.0, 253.0, 254.0, 255.0]);
        assert_eq!(read.tensors["bool"].kind(), Kind::Bool);
        assert_eq!(values(&read.tensors["bool"]), [1.0, 0.0, 1.0]);
    }

    #[test]
    fn views_keep_shape_and_strides() {
        let read = read_checkpoint(file("types.pt")).unwrap();
        let base = &read.tensors["base"];
        assert_eq!(values(base), (0..24).map(f64::from).collect::<Vec<_>>());
        let transposed = &read.tensors["transposed"];
        assert_eq!((transposed.size(), transposed.stride()), (vec![4, 2, 3], vec![1, 12, 4]));
        assert!(transposed.equal(&base.permute([2, 0, 1])));
        assert_eq!(values(&read.tensors["slice"]), [13.0, 14.0, 17.0, 18.0, 21.0, 22.0]);
        assert_eq!(values(&read.tensors["channels_last"])[..5], [0.0, 4.0, 8.0, 12.0, 1.0]);
        assert_eq!(read.tensors["scalar"].size(), [0i64; 0]);
        assert_eq!(values(&read.tensors["scalar"]), [1.5]);
        assert_eq!(read.tensors["empty"].size(), [0, 3]);
        assert_eq!(values(&read.tensors["expanded"]), [7.0; 6]);
        assert_eq!(values(&read.tensors["parameter"]), [1.0, -1.0]);
        assert_eq!(read.others, ["module._extra_state"]);
    }

    #[test]
    fn tensors_that_share_a_storage_share_memory() {
        let read = read_checkpoint(file("types.pt")).unwrap();
        assert_eq!(read.tensors["tied"].data_ptr(), read.tensors["base"].data_ptr());
    }

    #[test]
    fn the_state_dict_of_a_lightning_file_is_read() {
        for name in ["lightning.ckpt", "lightning_protocol5.ckpt"] {
            let read = read_checkpoint(file(name)).unwrap();
            assert_eq!(read.tensors.keys().collect::<Vec<_>>(), ["bias", "steps", "weight"], "{name}");
            assert_eq!(values(&read.tensors["weight"]), [1.0, 2.0, 3.0, 4.0], "{name}");
            assert_eq!(values(&read.tensors["bias"]), [5.0, 6.0], "{name}");
            assert_eq!(read.tensors["steps"].kind(), Kind::Int64, "{name}");
        }
    }

    #[test]
    fn a_hostile_call_is_refused_by_name() {
        let message = read_checkpoint(file("hostile.ckpt")).unwrap_err().to_string();
        assert!(message.ends_with(
            "hostile.ckpt: record hostile/data.pkl: calls posix.system, which is not allowed (nothing was \
             executed), at byte 106"
        ));
    }

    #[test]
    fn a_missing_file_and_a_folder_are_errors() {
        assert!(matches!(read_checkpoint(file("no_such.ckpt")), Err(CheckpointError::Io { .. })));
        assert!(matches!(read_checkpoint(file("")), Err(CheckpointError::Io { .. })));
    }

    #[test]
    fn files_without_a_state_dict_say_what_they_hold() {
        assert!(
            refusal(&checkpoint(&Py::Int(1), &[]))
                .contains("the checkpoint: expected a dictionary of tensors, found an integer")
        );
        let list = dict([("state_dict", Py::List(vec![]))]);
        assert!(
            refusal(&checkpoint(&list, &[])).contains("state_dict: expected a dictionary of tensors, found a list")
        );
        let nested = dict([("model", dict([])), ("epoch", Py::Int(1))]);
        assert!(refusal(&checkpoint(&nested, &[])).ends_with("no tensors; the keys are: epoch, model"));
        let number = Py::Dict(vec![(Py::Int(1), Py::None)]);
        assert!(
            refusal(&checkpoint(&number, &[])).contains("a key of the state_dict: expected a string, found an integer")
        );
    }

    #[test]
    fn repeated_keys_are_refused() {
        let state = dict([("a", Py::None), ("a", Py::None)]);
        assert!(refusal(&checkpoint(&state, &[])).contains("key \"a\" occurs twice"));
        let whole = dict([("state_dict", dict([])), ("state_dict", dict([]))]);
        assert!(refusal(&checkpoint(&whole, &[])).contains("key \"state_dict\" occurs twice"));
    }

    #[test]
    fn tensors_that_repeat_a_storage_take_no_more_than_a_few_times_the_file() {
        let bytes = [0; 1 << 12];
        let read_views = |count: usize| {
            let view = || tensor(storage("ByteStorage", "0", 1 << 12), 0, &[1 << 12], &[1]);
            let key = |i: usize| Py::Str(String::leak(i.to_string()));
            let state = Py::Dict((0..count).map(|i| (key(i), view())).collect());
            read(&checkpoint(&state, &[("0", &bytes)]))
        };
        assert_eq!(read_views(8).unwrap().tensors.len(), 8);
        // A file of about 27 kB whose tensors would take 16 times as much.
        let message = read_views(100).unwrap_err().to_string();
        assert!(message.contains("the tensors up to") && message.contains("of a file of"), "{message}");
    }

    #[test]
    fn tensors_stay_inside_their_storage() {
        let bytes = float_bytes([0.0, 1.0, 2.0, 3.0]);
        let make = |offset, shape: &[i64], strides: &[i64]| {
            let state = dict([("a", tensor(storage("FloatStorage", "0", 4), offset, shape, strides))]);
            checkpoint(&state, &[("0", &bytes)])
        };
        let read = read(&make(1, &[2, 2], &[1, 1])).unwrap();
        assert_eq!(values(&read.tensors["a"]), [1.0, 2.0, 2.0, 3.0]);
        let huge = i64::MAX;
        let cases: [(i64, &[i64], &[i64]); 8] = [
            (0, &[5], &[1]),
            (1, &[4], &[1]),
            (4, &[1], &[1]),
            (5, &[0], &[1]),
            (0, &[2, 2], &[3, 1]),
            (huge, &[2], &[huge]),
            (0, &[huge, huge], &[0, 0]), // an expanded scalar that no machine could copy
            (0, &[huge, huge, 0], &[0, 0, 0]),
        ];
        for (offset, shape, strides) in cases {
            let message = refusal(&make(offset, shape, strides));
            assert!(message.contains("tensor a with shape"), "{message}");
        }
        for (offset, shape, strides) in
            [(-1, &[1i64][..], &[1i64][..]), (0, &[-1], &[1]), (0, &[1], &[-1]), (0, &[1], &[])]
        {
            let message = refusal(&make(offset, shape, strides));
            assert!(message.contains("calls torch._utils._rebuild_tensor_v2 with unexpected arguments"), "{message}");
        }
    }

    #[test]
    fn a_storage_matches_its_record() {
        let one = |class, elements| dict([("a", tensor(storage(class, "0", elements), 0, &[1], &[1]))]);
        let bytes: &[(&str, &[u8])] = &[("0", &[0; 8])];
        assert!(read(&checkpoint(&one("FloatStorage", 2), bytes)).is_ok());
        for (class, elements) in
            [("FloatStorage", 1), ("FloatStorage", 3), ("DoubleStorage", 2), ("FloatStorage", 1 << 62)]
        {
            let message = refusal(&checkpoint(&one(class, elements), bytes));
            assert!(message.contains("found 8 bytes"), "{message}");
        }
        assert!(refusal(&checkpoint(&one("FloatStorage", 2), &[])).contains("record t/data/0 is missing"));
        let message = refusal(&checkpoint(&one("QInt8Storage", 8), bytes));
        assert!(message.contains("tensor a: the storage torch.QInt8Storage"), "{message}");
    }

    #[test]
    fn one_storage_has_one_element_type() {
        let view = |class| tensor(storage(class, "0", 2), 0, &[2], &[1]);
        let state = dict([("a", view("FloatStorage")), ("b", view("IntStorage"))]);
        let message = refusal(&checkpoint(&state, &[("0", &[0; 8])]));
        assert!(message.contains("tensor b: record t/data/0 is used with two element types"), "{message}");
    }

    #[test]
    fn bytes_other_than_0_become_true() {
        let state = dict([("a", tensor(storage("BoolStorage", "0", 3), 0, &[3], &[1]))]);
        let read = read(&checkpoint(&state, &[("0", &[0, 1, 7])])).unwrap();
        assert_eq!(values(&read.tensors["a"]), [0.0, 1.0, 1.0]);
    }

    /// Marsaglia's xorshift.
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % limit as u64) as usize
        }

        /// Changes, removes or duplicates a few bytes.
        fn mutate(&mut self, bytes: &mut Vec<u8>) {
            for _ in 0..=self.below(4) {
                let at = self.below(bytes.len());
                match self.below(8) {
                    0 => drop(bytes.remove(at)),
                    1 => bytes.insert(at, bytes[at]),
                    2 => bytes[at] = [0, 0x7f, 0x80, 0xff][self.below(4)],
                    _ => bytes[at] = self.below(256) as u8,
                }
            }
            if self.below(16) == 0 {
                bytes.truncate(1 + self.below(bytes.len()));
            }
        }
    }

    /// Whether the file is accepted; its tensors must then be safe to copy.
    fn read_and_copy(file: &[u8]) -> bool {
        read(file).is_ok_and(|read| read.tensors.values().map(|tensor| tensor.copy().numel()).sum::<usize>() < 10_000)
    }

    #[test]
    fn damaged_files_never_panic() {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let view =
            |offset, shape: &[i64], strides: &[i64]| tensor(storage("FloatStorage", "0", 6), offset, shape, strides);
        let state = dict([("a", view(0, &[2, 3], &[3, 1])), ("b", view(1, &[2, 2], &[2, 1]))]);
        let bytes = [0; 24];
        let whole = checkpoint(&state, &[("0", &bytes)]);
        let real = std::fs::read(file("types.pt")).unwrap();
        let mut accepted = 0;
        for _ in 0..1000 {
            for original in [&whole, &real] {
                let mut file = original.clone();
                random.mutate(&mut file);
                accepted += usize::from(read_and_copy(&file));
            }
            // A damaged pickle in an archive with valid checksums.
            let mut opcodes = state.pickle();
            random.mutate(&mut opcodes);
            opcodes.drain(..2.min(opcodes.len()));
            opcodes.pop();
            accepted += usize::from(read_and_copy(&checkpoint(&Py::Raw(opcodes), &[("0", &bytes)])));
        }
        assert!(
            (100..2900).contains(&accepted),
            "{accepted} of 3000 accepted: the mutations are too weak or too strong"
        );
    }
}
