//! Plain values, as a pickle gives them.

use super::{Machine, PickleError};
use crate::checkpoint::globals::Global;

/// A place in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::checkpoint) struct Id(pub(super) u32);

/// A plain value.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::checkpoint) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(&'a str),
    Bytes(&'a [u8]),
    /// A list or a set.
    List(Vec<Id>),
    Tuple(Vec<Id>),
    /// In the file's order; keys may repeat.
    Dict(Vec<(Id, Id)>),
    /// A class or function that is named and not called.
    Global(Global<'a>),
    Storage(Storage<'a>),
    Tensor(Box<TensorRef<'a>>),
    /// An object of which only the class is kept.
    Object(Global<'a>),
}

/// The memory that one or more tensors look at; it lies in a record of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::checkpoint) struct Storage<'a> {
    /// Says what the elements are.
    pub(in crate::checkpoint) class: Global<'a>,
    /// The last part of the record's name.
    pub(in crate::checkpoint) key: &'a str,
    /// Number of elements.
    pub(in crate::checkpoint) elements: u64,
}

/// A view of a storage, in elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::checkpoint) struct TensorRef<'a> {
    pub(in crate::checkpoint) storage: Storage<'a>,
    pub(in crate::checkpoint) offset: u64,
    /// As long as `strides`, at most [`MAX_DIMENSIONS`](super::MAX_DIMENSIONS).
    pub(in crate::checkpoint) shape: Vec<u64>,
    pub(in crate::checkpoint) strides: Vec<u64>,
}

impl Value<'_> {
    /// A few words for messages.
    pub(in crate::checkpoint) fn describe(&self) -> String {
        match self {
            Self::None => "None".to_owned(),
            Self::Bool(_) => "a bool".to_owned(),
            Self::Int(_) => "an integer".to_owned(),
            Self::Float(_) => "a float".to_owned(),
            Self::Str(_) => "a text".to_owned(),
            Self::Bytes(_) => "bytes".to_owned(),
            Self::List(_) => "a list".to_owned(),
            Self::Tuple(_) => "a tuple".to_owned(),
            Self::Dict(_) => "a dictionary".to_owned(),
            Self::Global(global) => format!("the class {global}"),
            Self::Storage(_) => "a tensor's storage".to_owned(),
            Self::Tensor(_) => "a tensor".to_owned(),
            Self::Object(class) => format!("an object of {class}"),
        }
    }
}

/// A pickle as plain values.
#[derive(Debug)]
pub(in crate::checkpoint) struct Pickle<'a> {
    pub(super) values: Vec<Value<'a>>,
    pub(super) root: Id,
}

impl<'a> Pickle<'a> {
    /// Reads the pickle at the start of `bytes`.
    ///
    /// # Errors
    /// If it is damaged, or calls what makes no plain data.
    pub(in crate::checkpoint) fn parse(bytes: &'a [u8]) -> Result<Self, PickleError> {
        Machine::new(bytes).run()
    }

    /// The value that was pickled.
    pub(in crate::checkpoint) fn root(&self) -> &Value<'a> {
        self.get(self.root)
    }

    /// The value at `id`, which must come from this pickle.
    pub(in crate::checkpoint) fn get(&self, id: Id) -> &Value<'a> {
        &self.values[id.0 as usize]
    }
}
