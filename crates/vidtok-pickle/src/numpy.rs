//! NumPy's arrays, as `pickle.dump` writes them in protocols 3 to 5: element type, shape, order and raw bytes.
//!
//! Arrays of Python objects, texts, dates and structures are no numbers; they stay objects of which only the class is
//! known.

use std::fmt;

use crate::machine::{Machine, Step};
use crate::{Global, Id, PickleProblem, Value};

/// The type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dtype<'a> {
    /// `<` little-endian, `>` big-endian, `|` single bytes.
    pub byte_order: &'a str,
    /// Kind and size in bytes, such as `f4`.
    pub code: &'a str,
}

impl Dtype<'_> {
    /// Little-endian float32.
    pub const F32: Dtype<'static> = Dtype { byte_order: "<", code: "f4" };

    /// Bytes of one element; `None` if it is no number.
    fn bytes(self) -> Option<u64> {
        let number = self.code.strip_prefix(['b', 'i', 'u', 'f', 'c'])?;
        number.parse().ok()
    }
}

/// NumPy's name of it, such as `<f4`.
impl fmt::Display for Dtype<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.byte_order, self.code)
    }
}

/// The order of an array's elements in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The last axis is innermost.
    C,
    /// The first axis is innermost.
    Fortran,
}

/// An array of numbers, without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array<'a> {
    /// The type of its elements.
    pub dtype: Dtype<'a>,
    /// Extents.
    pub shape: Vec<u64>,
    /// The order of its elements.
    pub order: Order,
    /// The elements, as many as the shape says.
    pub bytes: &'a [u8],
}

impl Array<'_> {
    /// Elements from one to the next along each axis.
    #[must_use]
    pub fn strides(&self) -> Vec<usize> {
        let mut step = 1_usize;
        let mut stride = |extent: &u64| {
            let stride = step;
            step = step.saturating_mul(*extent as usize);
            stride
        };
        match self.order {
            Order::Fortran => self.shape.iter().map(stride).collect(),
            Order::C => {
                let mut strides: Vec<usize> = self.shape.iter().rev().map(&mut stride).collect();
                strides.reverse();
                strides
            }
        }
    }
}

/// What calls and states of NumPy's give. What is not understood is an object.
impl<'a> Machine<'a> {
    /// `numpy.dtype(code, ...)`; the byte order follows as its state.
    pub(crate) fn dtype(&self, arguments: &[Id]) -> Value<'a> {
        match arguments.first().map(|&first| self.get(first)) {
            Some(&Value::Str(code)) => Value::Dtype(Dtype { byte_order: "|", code }),
            _ => Value::Object(Global { module: "numpy", name: "dtype" }),
        }
    }

    /// `(version, byte order, ...)`.
    pub(crate) fn dtype_of_state(&self, dtype: Dtype<'a>, state: Id) -> Option<Value<'a>> {
        let Value::Tuple(state) = self.get(state) else { return None };
        match *self.get(*state.get(1)?) {
            Value::Str(byte_order) => Some(Value::Dtype(Dtype { byte_order, ..dtype })),
            _ => None,
        }
    }

    /// `_reconstruct(class, ...)`: an array without contents.
    pub(crate) fn empty_array(&self, arguments: &[Id]) -> Value<'a> {
        match arguments.first().map(|&first| self.get(first)) {
            Some(&Value::Global(class)) => Value::Object(class),
            _ => Value::Object(Global::NDARRAY),
        }
    }

    /// `(version, shape, dtype, whether in Fortran's order, bytes)`.
    pub(crate) fn array_of_state(&self, state: Id) -> Step<Option<Value<'a>>> {
        let Value::Tuple(state) = self.get(state) else { return Ok(None) };
        let &[_version, shape, dtype, fortran, bytes] = state.as_slice() else { return Ok(None) };
        let order = match self.get(fortran) {
            Value::Bool(false) => Order::C,
            Value::Bool(true) => Order::Fortran,
            _ => return Ok(None),
        };
        self.numbers(bytes, dtype, shape, order)
    }

    /// `_frombuffer(bytes, dtype, shape, order)`.
    pub(crate) fn array_of_buffer(&self, arguments: &[Id]) -> Step<Value<'a>> {
        let object = Value::Object(Global::NDARRAY);
        let &[bytes, dtype, shape, order] = arguments else { return Ok(object) };
        let order = match self.get(order) {
            Value::Str("C") => Order::C,
            Value::Str("F") => Order::Fortran,
            _ => return Ok(object),
        };
        Ok(self.numbers(bytes, dtype, shape, order)?.unwrap_or(object))
    }

    fn numbers(&self, bytes: Id, dtype: Id, shape: Id, order: Order) -> Step<Option<Value<'a>>> {
        let (&Value::Bytes(bytes), &Value::Dtype(dtype)) = (self.get(bytes), self.get(dtype)) else { return Ok(None) };
        let (Some(shape), Some(element)) = (self.extents(shape), dtype.bytes()) else { return Ok(None) };
        let expected = shape.iter().try_fold(element, |size, extent| size.checked_mul(*extent));
        if expected != Some(bytes.len() as u64) {
            return Err(PickleProblem::ArraySize { dtype: dtype.to_string(), shape, bytes: bytes.len() });
        }
        Ok(Some(Value::Array(Box::new(Array { dtype, shape, order, bytes }))))
    }
}
