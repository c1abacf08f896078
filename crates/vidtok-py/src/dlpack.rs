//! Tensors that cross between torch and this library without copies, as DLPack capsules.
//!
//! DLPack instead of pyo3-tch: it needs neither Python's nor torch's C++ interface to Python, so one binary serves all
//! versions of Python, and the rest of the workspace links to libtorch as before. Gradients do not cross with a tensor;
//! `module.py` carries them.

#![allow(unsafe_code)] // Calls of C++ and of Python's C interface.

use std::ffi::{CStr, c_void};

use pyo3::exceptions::{PyMemoryError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyAny;
use tch::Tensor;
use torch_sys::C_tensor;

/// The name of a capsule whose tensor nobody has taken.
const FRESH: &CStr = c"dltensor";
/// The name of a capsule whose tensor has been taken.
const TAKEN: &CStr = c"used_dltensor";

unsafe extern "C" {
    fn vidtok_py_to_dlpack(tensor: *const C_tensor) -> *mut c_void;
    fn vidtok_py_from_dlpack(managed: *mut c_void) -> *mut C_tensor;
    fn vidtok_py_delete_dlpack(managed: *mut c_void);
}

/// The tensor in a DLPack capsule, which must be fresh and becomes a used one. Both share memory.
pub(crate) fn take(capsule: &Bound<'_, PyAny>) -> PyResult<Tensor> {
    let raw = capsule.as_ptr();
    // SAFETY: any object may be asked; the functions check its type and name.
    if unsafe { ffi::PyCapsule_IsValid(raw, FRESH.as_ptr()) } == 0 {
        return Err(PyTypeError::new_err("expected a DLPack capsule that has not been used"));
    }
    // SAFETY: it is a capsule with this name, so it holds a DLManagedTensor.
    let managed = unsafe { ffi::PyCapsule_GetPointer(raw, FRESH.as_ptr()) };
    // SAFETY: as above; on success the new tensor owns it.
    let tensor = unsafe { vidtok_py_from_dlpack(managed) };
    if tensor.is_null() {
        return Err(PyTypeError::new_err("libtorch cannot take this tensor (its device or number type)"));
    }
    // SAFETY: the pointer is that of a new tensor, which nobody else owns.
    let tensor = unsafe { Tensor::from_ptr(tensor) };
    // SAFETY: the name is static. The capsule no longer owns the tensor, which its destructor sees by the name.
    match unsafe { ffi::PyCapsule_SetName(raw, TAKEN.as_ptr()) } {
        0 => Ok(tensor),
        _ => Err(PyErr::fetch(capsule.py())),
    }
}

/// A DLPack capsule of a tensor, which shares its memory and lives as long as the capsule or what is made of it.
pub(crate) fn give<'py>(py: Python<'py>, tensor: &Tensor) -> PyResult<Bound<'py, PyAny>> {
    let tensor = tensor.detach();
    // SAFETY: the pointer is that of a live tensor.
    let managed = unsafe { vidtok_py_to_dlpack(tensor.as_ptr()) };
    if managed.is_null() {
        return Err(PyMemoryError::new_err("libtorch cannot hand over this tensor"));
    }
    // SAFETY: the pointer is not null, the name is static, and the destructor fits both.
    let capsule = unsafe { ffi::PyCapsule_New(managed, FRESH.as_ptr(), Some(delete_if_fresh)) };
    if capsule.is_null() {
        // SAFETY: no capsule owns it.
        unsafe { vidtok_py_delete_dlpack(managed) };
        return Err(PyErr::fetch(py));
    }
    // SAFETY: the reference is new and owned by nobody else.
    unsafe { Bound::from_owned_ptr_or_err(py, capsule) }
}

/// Deletes the tensor of a capsule that nobody has taken.
unsafe extern "C" fn delete_if_fresh(capsule: *mut ffi::PyObject) {
    // SAFETY: Python calls this with the capsule that it destroys.
    if unsafe { ffi::PyCapsule_IsValid(capsule, FRESH.as_ptr()) } != 0 {
        // SAFETY: its name says that it still owns the tensor.
        unsafe { vidtok_py_delete_dlpack(ffi::PyCapsule_GetPointer(capsule, FRESH.as_ptr())) };
    }
}
