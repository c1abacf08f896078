//! What can go wrong with a pickle.

use crate::machine::MAX_OPCODES;

/// A pickle that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{problem}, at byte {offset}")]
pub struct PickleError {
    /// Where in the pickle the opcode stands that cannot be followed.
    pub offset: usize,
    /// What is wrong with it.
    pub problem: PickleProblem,
}

/// What is wrong with a pickle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PickleProblem {
    /// It calls something that is not known to make plain data.
    #[error("it calls {0}, which makes no plain data (nothing was executed)")]
    RefusedGlobal(String),
    /// It calls a value that is no class or function.
    #[error("it calls {0}, which is no class")]
    NotCallable(String),
    /// The arguments of a known class are not what they should be.
    #[error("{0} gets unknown arguments")]
    Arguments(String),
    /// An array's bytes are more or fewer than its shape says.
    #[error("an array of {dtype} with shape {shape:?} has {bytes} bytes")]
    ArraySize {
        /// NumPy's name of the element type.
        dtype: String,
        /// The shape.
        shape: Vec<u64>,
        /// The bytes that are there.
        bytes: usize,
    },
    /// A storage is named in an unknown way.
    #[error("a persistent id does not name a tensor's storage")]
    PersistentId,
    /// A value has the wrong type for the opcode.
    #[error("expected {expected}, found {found}")]
    Type {
        /// What the opcode works on.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// The pickle ends too early.
    #[error("it ends too early")]
    Truncated,
    /// It does not start like a pickle of protocols 2 to 5.
    #[error("no pickle of protocol 2 to 5")]
    Protocol,
    /// An opcode that Python 3 does not write for plain data.
    #[error("unknown opcode {0:#04x}")]
    Opcode(u8),
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    Utf8,
    /// An opcode needs more values than there are.
    #[error("the stack is empty")]
    StackUnderflow,
    /// A value is recalled that was never stored.
    #[error("value {0} was never stored")]
    Memo(u32),
    /// More opcodes than any real checkpoint has.
    #[error("more than {MAX_OPCODES} opcodes")]
    TooLong,
}
