//! Errors of the library as Python exceptions.

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use vidtok::Error;
use vidtok_data::LoadError;
use vidtok_hub::HubError;
use vidtok_tokenize::TokenizeError;
use vidtok_torch::CudaError;

create_exception!(vidtok, VidTokError, PyException, "The base of all errors of vidtok.");
create_exception!(vidtok, ModelError, VidTokError, "A model cannot be found, read, downloaded or written.");
create_exception!(vidtok, InputError, VidTokError, "A tensor or another argument is not as expected.");
create_exception!(vidtok, VideoError, VidTokError, "A video cannot be read or written.");
create_exception!(vidtok, DatasetError, VidTokError, "A token dataset cannot be read or written.");
create_exception!(vidtok, MemoryLimitError, VidTokError, "The memory limit is too low for the clip.");
create_exception!(vidtok, StreamClosedError, VidTokError, "A stream is used after its end, or after an error in it.");

/// An error of the library that can be raised in Python.
pub(crate) trait Raise {
    fn raise(self) -> PyErr;
}

impl Raise for Error {
    fn raise(self) -> PyErr {
        let text = self.to_string();
        match self {
            Error::Shape { .. }
            | Error::PixelRange(_)
            | Error::NotFinite
            | Error::DecodedNotFinite
            | Error::Stream(_) => InputError::new_err(text),
            Error::Video(_) => VideoError::new_err(text),
            Error::Memory { .. } => MemoryLimitError::new_err(text),
            _ => ModelError::new_err(text),
        }
    }
}

impl Raise for CudaError {
    fn raise(self) -> PyErr {
        InputError::new_err(self.to_string())
    }
}

impl Raise for HubError {
    fn raise(self) -> PyErr {
        ModelError::new_err(self.to_string())
    }
}

impl Raise for LoadError {
    fn raise(self) -> PyErr {
        VideoError::new_err(self.to_string())
    }
}

impl Raise for vidtok::VideoError {
    fn raise(self) -> PyErr {
        VideoError::new_err(self.to_string())
    }
}

impl Raise for TokenizeError {
    fn raise(self) -> PyErr {
        match self {
            TokenizeError::Model(error) => error.raise(),
            error => DatasetError::new_err(error.to_string()),
        }
    }
}

/// An argument of an unknown value.
pub(crate) fn unknown(what: &str, expected: &str, found: &str) -> PyErr {
    PyValueError::new_err(format!("{what}: expected {expected}, found {found:?}"))
}
