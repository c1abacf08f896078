//! Plain values, as a pickle gives them.

use crate::machine::Machine;
use crate::{Array, Dtype, Global, PickleError};

/// A place in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id(pub(crate) u32);

/// A plain value.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// `None`.
    None,
    /// A bool.
    Bool(bool),
    /// An integer of up to 64 bits.
    Int(i64),
    /// A float.
    Float(f64),
    /// A text.
    Str(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A list or a set.
    List(Vec<Id>),
    /// A tuple.
    Tuple(Vec<Id>),
    /// In the file's order; keys may repeat.
    Dict(Vec<(Id, Id)>),
    /// A class or function that is named and not called.
    Global(Global<'a>),
    /// The memory of tensors.
    Storage(Storage<'a>),
    /// A tensor.
    Tensor(Box<TensorRef<'a>>),
    /// An element type of NumPy's.
    Dtype(Dtype<'a>),
    /// A NumPy array of numbers.
    Array(Box<Array<'a>>),
    /// An object of which only the class is kept.
    Object(Global<'a>),
}

/// The memory that one or more tensors look at; it lies in a record of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storage<'a> {
    /// Says what the elements are.
    pub class: Global<'a>,
    /// The last part of the record's name.
    pub key: &'a str,
    /// Number of elements.
    pub elements: u64,
}

/// A view of a storage, in elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorRef<'a> {
    /// What it is a view of.
    pub storage: Storage<'a>,
    /// Its first element.
    pub offset: u64,
    /// Extents; as many as strides.
    pub shape: Vec<u64>,
    /// Steps from one element to the next along each axis.
    pub strides: Vec<u64>,
}

impl Value<'_> {
    /// A few words for messages.
    #[must_use]
    pub fn describe(&self) -> String {
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
            Self::Dtype(dtype) => format!("the element type {dtype}"),
            Self::Array(array) => format!("an array of {} with shape {:?}", array.dtype, array.shape),
            Self::Object(class) => format!("an object of {class}"),
        }
    }
}

/// A pickle as plain values.
#[derive(Debug)]
pub struct Pickle<'a> {
    pub(crate) values: Vec<Value<'a>>,
    pub(crate) root: Id,
}

impl<'a> Pickle<'a> {
    /// Reads the pickle at the start of `bytes`.
    ///
    /// # Errors
    /// If it is damaged, or calls what makes no plain data.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PickleError> {
        Machine::new(bytes).run()
    }

    /// The value that was pickled.
    #[must_use]
    pub fn root(&self) -> &Value<'a> {
        self.get(self.root)
    }

    /// The value at `id`, which must come from this pickle.
    #[must_use]
    pub fn get(&self, id: Id) -> &Value<'a> {
        &self.values[id.0 as usize]
    }

    /// The value that these keys lead to through nested dictionaries, from the root. Of equal keys the last counts, as
    /// in Python.
    #[must_use]
    pub fn entry(&self, keys: &[&str]) -> Option<&Value<'a>> {
        keys.iter().try_fold(self.root(), |value, key| {
            let Value::Dict(pairs) = value else { return None };
            let (_, found) = pairs.iter().rfind(|(name, _)| *self.get(*name) == Value::Str(key))?;
            Some(self.get(*found))
        })
    }
}
