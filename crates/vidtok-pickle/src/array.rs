//! NumPy arrays of numbers.

use std::fmt;

/// The type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dtype<'a> {
    /// `<` for little-endian, `>` for big-endian, `|` for single bytes.
    pub byte_order: &'a str,
    /// The kind and the size in bytes, such as `f4`.
    pub code: &'a str,
}

impl Dtype<'_> {
    /// Little-endian float32.
    pub const F32: Dtype<'static> = Dtype { byte_order: "<", code: "f4" };

    /// The size of an element in bytes; `None` if the elements are not numbers.
    pub(crate) fn bytes(self) -> Option<u64> {
        let number = self.code.strip_prefix(['b', 'i', 'u', 'f', 'c'])?;
        number.parse().ok()
    }
}

/// Formats the type as NumPy does, such as `<f4`.
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

/// A contiguous array of numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array<'a> {
    /// The type of the elements.
    pub dtype: Dtype<'a>,
    /// The extent of each axis.
    pub shape: Vec<u64>,
    /// The order of the elements.
    pub order: Order,
    /// The elements; their number matches the shape.
    pub bytes: &'a [u8],
}

impl Array<'_> {
    /// The distance between neighbours along each axis, in elements.
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
