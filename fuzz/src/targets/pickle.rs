//! Python pickles.

use vidtok_pickle::{Pickle, Value};

use super::checkpoint::files;
use crate::{Format, Outcome, Target, format};

pub(super) const TARGET: Target = Target { name: "pickle", format: Format::Bytes, seeds, read };

/// `pickle.dumps({"a": [1, (2.5, None)], 3: b"\x00"}, protocol=4)`.
const SMALL: &[u8] = b"\x80\x04\x95\x1f\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94]\x94(K\x01G@\x04\x00\x00\x00\x00\x00\x00N\x86\x94eK\x03C\x01\x00\x94u.";

fn seeds() -> Vec<Vec<u8>> {
    let files = files();
    let of_checkpoints = files.iter().filter_map(|file| format::zip_record(file, "/data.pkl"));
    of_checkpoints.chain([SMALL.to_vec()]).collect()
}

/// Checks that all values that are read can be described.
fn read(file: &[u8]) -> Outcome {
    let pickle = Pickle::parse(file)?;
    let root = pickle.root();
    let elements = match root {
        Value::List(items) | Value::Tuple(items) => items.clone(),
        Value::Dict(pairs) => pairs.iter().flat_map(|&(key, value)| [key, value]).collect(),
        _ => Vec::new(),
    };
    for value in elements.into_iter().map(|id| pickle.get(id)).chain([root]) {
        assert!(!value.describe().is_empty());
        if let Value::Array(array) = value {
            assert_eq!(array.strides().len(), array.shape.len());
        }
    }
    if let Some(Value::Dict(pairs)) = pickle.entry(&["state_dict"]) {
        for &(key, value) in pairs {
            assert!(!pickle.get(key).describe().is_empty() && !pickle.get(value).describe().is_empty());
        }
    }
    Ok(())
}
