//! The plain values of a pickle.

use crate::error::PickleError;
use crate::globals::Global;
use crate::machine::Machine;
use crate::numpy::{Array, Dtype};

/// The index of a value in its [`Pickle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id(pub(crate) u32);

/// A plain value. Containers refer to their elements by [`Id`].
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
    /// A string.
    Str(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A list or a set.
    List(Vec<Id>),
    /// A tuple.
    Tuple(Vec<Id>),
    /// A dictionary in the file's order. Keys may repeat.
    Dict(Vec<(Id, Id)>),
    /// A class or function that the pickle names without calling it.
    Global(Global<'a>),
    /// The memory of tensors.
    Storage(Storage<'a>),
    /// A tensor.
    Tensor(Box<TensorRef<'a>>),
    /// A NumPy element type.
    Dtype(Dtype<'a>),
    /// A NumPy array of numbers.
    Array(Box<Array<'a>>),
    /// An object whose contents are ignored.
    Object(Global<'a>),
}

/// The memory of one or more tensors, which is stored in a separate record of the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storage<'a> {
    /// The class, which determines the element type.
    pub class: Global<'a>,
    /// The last component of the record's name.
    pub key: &'a str,
    /// The number of elements.
    pub elements: u64,
}

/// A tensor: a view of a storage. Offsets and strides are in elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorRef<'a> {
    /// The storage.
    pub storage: Storage<'a>,
    /// The index of the first element.
    pub offset: u64,
    /// The extent of each axis.
    pub shape: Vec<u64>,
    /// The distance between neighbours along each axis; as many as extents.
    pub strides: Vec<u64>,
}

impl Value<'_> {
    /// A short description for error messages.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::None => "None".to_owned(),
            Self::Bool(_) => "a bool".to_owned(),
            Self::Int(_) => "an integer".to_owned(),
            Self::Float(_) => "a float".to_owned(),
            Self::Str(_) => "a string".to_owned(),
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

/// The values of a pickle.
#[derive(Debug)]
pub struct Pickle<'a> {
    pub(crate) values: Vec<Value<'a>>,
    pub(crate) root: Id,
}

impl<'a> Pickle<'a> {
    /// Reads the pickle at the start of `bytes`.
    ///
    /// # Errors
    /// If it is damaged, or calls a function that is not allowed.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PickleError> {
        Machine::new(bytes).run()
    }

    /// The value that was pickled.
    #[must_use]
    pub fn root(&self) -> &Value<'a> {
        self.get(self.root)
    }

    /// The value with this `id`, which must come from this pickle.
    #[must_use]
    pub fn get(&self, id: Id) -> &Value<'a> {
        &self.values[id.0 as usize]
    }

    /// Follows `keys` through nested dictionaries, from the root. As in Python, the last of equal keys counts.
    #[must_use]
    pub fn entry(&self, keys: &[&str]) -> Option<&Value<'a>> {
        keys.iter().try_fold(self.root(), |value, key| {
            let Value::Dict(pairs) = value else { return None };
            let (_, found) = pairs.iter().rfind(|(name, _)| *self.get(*name) == Value::Str(key))?;
            Some(self.get(*found))
        })
    }
}
