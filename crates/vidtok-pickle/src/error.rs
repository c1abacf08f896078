//! Errors about pickles.

/// The most opcodes of a pickle. A tensor takes about 35.
pub(crate) const MAX_OPCODES: usize = 2_000_000;

/// A pickle cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{problem}, at byte {offset}")]
pub struct PickleError {
    /// The offset of the opcode that failed.
    pub offset: usize,
    /// Why it failed.
    pub problem: PickleProblem,
}

/// Why a pickle cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PickleProblem {
    /// The pickle calls a function that is not known to construct plain data.
    #[error("calls {0}, which is not allowed (nothing was executed)")]
    RefusedGlobal(String),
    /// The pickle calls a value that is not a class or function.
    #[error("calls {0}, which is not a class or function")]
    NotCallable(String),
    /// A known function is called with unexpected arguments.
    #[error("calls {0} with unexpected arguments")]
    Arguments(String),
    /// The number of bytes in an array does not match its shape.
    #[error("an array of {dtype} with shape {shape:?} has {bytes} bytes, which does not match")]
    ArraySize {
        /// NumPy's name for the element type.
        dtype: String,
        /// The shape.
        shape: Vec<u64>,
        /// The number of bytes that were found.
        bytes: usize,
    },
    /// A persistent id does not have the form that `torch.save` writes.
    #[error("a persistent id does not name a tensor's storage")]
    PersistentId,
    /// A value has the wrong type for the opcode.
    #[error("expected {expected}, found {found}")]
    Type {
        /// The type that the opcode needs.
        expected: &'static str,
        /// The type that was found.
        found: String,
    },
    /// The pickle is truncated.
    #[error("ends too early")]
    Truncated,
    /// The pickle does not start with the header of protocol 2, 3, 4 or 5.
    #[error("not a pickle of protocol 2 to 5")]
    Protocol,
    /// The pickle has an opcode that Python 3 does not write for plain data.
    #[error("unknown opcode {0:#04x}")]
    Opcode(u8),
    /// A string is not UTF-8.
    #[error("a string is not UTF-8")]
    Utf8,
    /// An opcode needs more values than the stack has.
    #[error("the stack is empty")]
    StackUnderflow,
    /// The pickle reads a memo slot that was never written.
    #[error("memo slot {0} was never written")]
    Memo(u32),
    /// The pickle has more opcodes than any real checkpoint.
    #[error("has more than {MAX_OPCODES} opcodes")]
    TooLong,
}
