//! A reader of Python's pickles that executes nothing: containers, numbers, texts, NumPy arrays, and the tensors of
//! `torch.save` as references to their storages.
//!
//! A pickle can make Python run any command. Here it is only data: what it calls is never called, and is refused by
//! name unless it is known to make plain data.
//!
//! ```
//! use vidtok_pickle::{Pickle, Value};
//!
//! // pickle.dumps({"a": [1, 2]}, protocol=2)
//! let pickle = Pickle::parse(b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01]q\x02(K\x01K\x02es.")?;
//! let Some(Value::List(items)) = pickle.entry(&["a"]) else { panic!("no list") };
//! assert_eq!(pickle.get(items[1]), &Value::Int(2));
//!
//! // Somebody's `os.system("...")`.
//! let error = Pickle::parse(b"\x80\x02cos\nsystem\nX\x03\x00\x00\x00...\x85R.").unwrap_err();
//! assert_eq!(error.to_string(), "it calls os.system, which makes no plain data (nothing was executed), at byte 22");
//! # Ok::<(), vidtok_pickle::PickleError>(())
//! ```

mod error;
mod globals;
mod machine;
mod numpy;
#[cfg(test)]
mod tests;
mod value;

pub use error::{PickleError, PickleProblem};
pub use globals::Global;
pub use numpy::{Array, Dtype, Order};
pub use value::{Id, Pickle, Storage, TensorRef, Value};
