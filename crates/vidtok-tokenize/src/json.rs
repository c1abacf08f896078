//! Values as JSON text.

use serde::Serialize;

use crate::error::TokenizeError;

/// Indented JSON that ends with a line break, for files that people read.
pub(crate) fn pretty(value: &impl Serialize) -> Result<String, TokenizeError> {
    serde_json::to_string_pretty(value).map(|text| text + "\n").map_err(unsupported)
}

/// JSON without spaces.
pub(crate) fn compact(value: &(impl Serialize + ?Sized)) -> Result<String, TokenizeError> {
    serde_json::to_string(value).map_err(unsupported)
}

/// The value as a JSON value.
pub(crate) fn value(value: impl Serialize) -> Result<serde_json::Value, TokenizeError> {
    serde_json::to_value(value).map_err(unsupported)
}

fn unsupported(error: serde_json::Error) -> TokenizeError {
    TokenizeError::setting("metadata", "a value that JSON supports", error)
}
