//! NumPy arrays, as `pickle.dump` writes them in protocols 3 to 5: element type, shape, order and raw bytes.
//!
//! Arrays of Python objects, strings, dates and structures do not hold numbers. They are read as objects without
//! contents.

use crate::array::{Array, Dtype, Order};
use crate::error::PickleProblem;
use crate::globals::Global;
use crate::machine::{Machine, Step};
use crate::value::{Id, Value};

/// The values of calls and states of NumPy. Unknown forms result in an object without contents.
impl<'a> Machine<'a> {
    /// Evaluates `numpy.dtype(code, ...)`. The byte order follows as its state.
    pub(crate) fn dtype(&self, arguments: &[Id]) -> Value<'a> {
        match arguments.first().map(|&first| self.get(first)) {
            Some(&Value::Str(code)) => Value::Dtype(Dtype { byte_order: "|", code }),
            _ => Value::Object(Global { module: "numpy", name: "dtype" }),
        }
    }

    /// Applies the state `(version, byte order, ...)` to an element type.
    pub(crate) fn dtype_of_state(&self, dtype: Dtype<'a>, state: Id) -> Option<Value<'a>> {
        let Value::Tuple(state) = self.get(state) else { return None };
        match *self.get(*state.get(1)?) {
            Value::Str(byte_order) => Some(Value::Dtype(Dtype { byte_order, ..dtype })),
            _ => None,
        }
    }

    /// Evaluates `_reconstruct(class, ...)`: an array whose contents follow as its state.
    pub(crate) fn empty_array(&self, arguments: &[Id]) -> Value<'a> {
        match arguments.first().map(|&first| self.get(first)) {
            Some(&Value::Global(class)) => Value::Object(class),
            _ => Value::Object(Global::NDARRAY),
        }
    }

    /// The array of the state `(version, shape, dtype, is Fortran order, bytes)`.
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

    /// Evaluates `_frombuffer(bytes, dtype, shape, order)`.
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
