//! The plain values of a pickle.

use crate::array::{Array, Dtype};
use crate::globals::Global;

/// The index of a value in its [`Pickle`](crate::Pickle).
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
