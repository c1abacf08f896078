//! Reads Python pickles without executing them: containers, numbers, strings, NumPy arrays, and the tensors of
//! `torch.save` as references to their storages.
//!
//! A pickle can make Python run any command. This reader treats it as data: it never calls the functions that a pickle
//! names, and it refuses all except a list of functions that construct plain data.
//!
//! ```
//! use vidtok_pickle::{Pickle, Value};
//!
//! // pickle.dumps({"a": [1, 2]}, protocol=2)
//! let pickle = Pickle::parse(b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01]q\x02(K\x01K\x02es.")?;
//! let Some(Value::List(items)) = pickle.entry(&["a"]) else { panic!("not a list") };
//! assert_eq!(pickle.get(items[1]), &Value::Int(2));
//!
//! // A pickle that runs `os.system("...")`.
//! let error = Pickle::parse(b"\x80\x02cos\nsystem\nX\x03\x00\x00\x00...\x85R.").unwrap_err();
//! assert_eq!(error.to_string(), "calls os.system, which is not allowed (nothing was executed), at byte 22");
//! # Ok::<(), vidtok_pickle::PickleError>(())
//! ```

mod array;
mod error;
mod globals;
mod machine;
mod numpy;
mod pickle;
#[cfg(test)]
mod tests;
mod value;

pub use array::{Array, Dtype, Order};
pub use error::{PickleError, PickleProblem};
pub use globals::Global;
pub use pickle::Pickle;
pub use value::{Id, Storage, TensorRef, Value};
