//! The CUDA half of libtorch, which a program opens when it is asked to compute on a GPU.
//!
//! A program is linked to libtorch's CPU half only, so that it starts with a libtorch of either kind and without the
//! memory and the time that the CUDA libraries take.

#![allow(unsafe_code)] // Opening libraries, and calls of the shim and of CUDA's runtime.

use std::ffi::c_int;
use std::path::{Path, PathBuf};
use std::{fs, mem};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use tch::{Cuda, Device, TchError};

use crate::runtime::gpu_kernels::{self, GpuKernelReport};
use crate::runtime::loaded::loaded_libraries;
use crate::shim;

/// NVIDIA's driver.
const DRIVER: &str = "libcuda.so.1";
/// CUDA's compiler of kernels at run time, after the library that it loads by its bare name.
const COMPILER: [&str; 2] = ["libnvrtc-builtins.so", "libnvrtc.so"];
/// Where the Python packages of NVIDIA have it, relative to torch's libraries.
const OF_PYTHON: &str = "../../nvidia/cu13/lib";

/// Values of `cudaError_t`.
const INSUFFICIENT_DRIVER: c_int = 35;
const NO_DEVICE: c_int = 100;

/// Why this process cannot compute on a GPU.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CudaError {
    /// libtorch was built for CPUs only.
    #[error(
        "{}: this libtorch has no CUDA; run `cargo xtask setup --cuda`, or set LIBTORCH to one that has it",
        folder.display()
    )]
    NoLibrary {
        /// The folder of its libraries.
        folder: PathBuf,
    },
    /// A library of CUDA does not load.
    #[error("{} does not load", path.display())]
    Library {
        /// The library.
        path: PathBuf,
        /// The loader's message.
        source: libloading::Error,
    },
    /// There is no NVIDIA driver.
    #[error("this machine has no NVIDIA driver")]
    NoDriver(#[source] libloading::Error),
    /// The driver is older than libtorch's CUDA.
    #[error("the NVIDIA driver is too old for the CUDA of this libtorch")]
    OldDriver,
    /// No GPU is visible.
    #[error("this machine has no GPU that CUDA can see (CUDA_VISIBLE_DEVICES hides some)")]
    NoDevice,
    /// CUDA does not start.
    #[error("CUDA does not start: error {0} of its runtime")]
    Runtime(i32),
    /// There are fewer GPUs.
    #[error("CUDA device {index} does not exist; there are {count}")]
    Index {
        /// The device asked for.
        index: usize,
        /// The number of devices.
        count: usize,
    },
    /// CUDA's compiler does not accept a kernel.
    #[error("CUDA's compiler fails")]
    Compiler(#[source] TchError),
    /// libtorch fails.
    #[error("libtorch cannot use CUDA device {index}")]
    Libtorch {
        /// The device asked for.
        index: usize,
        /// libtorch's message.
        source: TchError,
    },
}

/// Opens libtorch's CUDA half, checks that GPU `index` is there, and makes it the current device of this thread.
///
/// Call it before anything else asks libtorch about CUDA: libtorch looks for its CUDA half once and keeps the answer.
///
/// # Errors
/// If libtorch's CUDA half, the driver, a driver that is new enough, or the GPU is missing.
pub fn use_cuda(index: usize) -> Result<(), CudaError> {
    let count = cuda_devices()?;
    if index >= count {
        return Err(CudaError::Index { index, count });
    }
    let device = i8::try_from(index).map_err(|_| CudaError::Index { index, count })?;
    // SAFETY: it takes a number.
    shim::check(unsafe { shim::vidtok_cuda_set_device(device) }).map_err(|source| CudaError::Libtorch { index, source })
}

/// The number of GPUs, at least 1. Opens libtorch's CUDA half, see [`use_cuda`].
///
/// # Errors
/// If libtorch's CUDA half, the driver, a driver that is new enough, or any GPU is missing.
pub fn cuda_devices() -> Result<usize, CudaError> {
    open_libraries(&libtorch_folder())?;
    device_count()
}

/// Waits until a GPU has finished what it was given; a CPU always has.
pub fn synchronize(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
}

/// Whether convolutions and matrix products of float32 tensors on GPUs use TF32, which has a mantissa of 10 bits instead
/// of 23, for the whole process. By default libtorch's convolutions do and its matrix products do not.
pub fn use_tf32(tf32: bool) {
    // SAFETY: it sets a number.
    if let Err(error) = shim::check(unsafe { shim::vidtok_cuda_use_tf32(tf32) }) {
        panic!("{error}");
    }
}

/// Runs `compute` with IEEE float32, whatever [`use_tf32`] says: what measures must not depend on the precision of what it
/// measures. For the whole process.
pub fn with_ieee_float32<T>(compute: impl FnOnce() -> T) -> T {
    /// Restores the setting when dropped, also after a panic.
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            use_tf32(self.0);
        }
    }
    let _restore = Restore(uses_tf32());
    use_tf32(false);
    compute()
}

/// Whether float32 is TF32 on GPUs, see [`use_tf32`].
#[must_use]
pub fn uses_tf32() -> bool {
    // SAFETY: it reads a number.
    unsafe { shim::vidtok_cuda_uses_tf32() }
}

/// Whether operations on GPUs take implementations whose results do not change from run to run, for the whole process. They
/// are slower, and libtorch lacks a few.
pub fn use_deterministic(deterministic: bool) {
    // SAFETY: it sets a number.
    if let Err(error) = shim::check(unsafe { shim::vidtok_cuda_use_deterministic(deterministic) }) {
        panic!("{error}");
    }
}

/// The folder of the libtorch of this process.
fn libtorch_folder() -> PathBuf {
    let libraries = loaded_libraries(|name| name == "libc10.so");
    libraries.first().and_then(|path| path.parent()).map(Path::to_owned).unwrap_or_default()
}

/// Opens the libraries for the rest of the process.
fn open_libraries(folder: &Path) -> Result<(), CudaError> {
    let cuda = folder.join("libtorch_cuda.so");
    if !cuda.exists() {
        return Err(CudaError::NoLibrary { folder: folder.to_owned() });
    }
    open_compiler(folder)?;
    open(&cuda)?;
    // SAFETY: the driver's initialisers are safe in any process.
    unsafe { Library::open(Some(DRIVER), RTLD_NOW | RTLD_GLOBAL) }.map(mem::forget).map_err(CudaError::NoDriver)
}

/// Opens the compiler of kernels if it lies where libtorch's packages have it. Without it kernels of our own do not run.
fn open_compiler(folder: &Path) -> Result<(), CudaError> {
    COMPILER.iter().filter_map(|name| compiler_library(folder, name)).try_for_each(|path| open(&path))
}

/// Compiles our kernels for GPUs of an architecture such as `sm_90`, which needs no GPU, and says what they take there.
///
/// # Errors
/// If the libtorch of this process comes without CUDA's compiler, or that does not accept a kernel.
pub fn compile_gpu_kernels(architecture: &str) -> Result<Vec<GpuKernelReport>, CudaError> {
    let folder = libtorch_folder();
    if compiler_library(&folder, COMPILER[1]).is_none() {
        return Err(CudaError::NoLibrary { folder });
    }
    open_compiler(&folder)?;
    gpu_kernels::compile(architecture).map_err(CudaError::Compiler)
}

fn open(path: &Path) -> Result<(), CudaError> {
    // SAFETY: these are libraries of the libtorch that this process runs with; their initialisers register operators and
    // kernels with it, as they do when a program is linked to them.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) };
    // What they have registered refers to them until the process ends.
    library.map(mem::forget).map_err(|source| CudaError::Library { path: path.to_owned(), source })
}

/// A library of CUDA's compiler whose name starts with `prefix`, if it lies where libtorch's packages have it.
fn compiler_library(folder: &Path, prefix: &str) -> Option<PathBuf> {
    let in_folder = |folder: PathBuf| {
        let names = fs::read_dir(folder).ok()?;
        let paths = names.filter_map(|entry| Some(entry.ok()?.path()));
        let is_one = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
        };
        paths.filter(is_one).max()
    };
    in_folder(folder.to_owned()).or_else(|| in_folder(folder.join(OF_PYTHON)))
}

/// The number of GPUs, as CUDA's own runtime says: libtorch says 0 for every failure.
fn device_count() -> Result<usize, CudaError> {
    let mut count: c_int = 0;
    let runtime = Library::this();
    let path = || PathBuf::from("libcudart.so");
    // SAFETY: the function has this type in all versions of CUDA (CUDA Runtime API, "Device Management").
    let code = unsafe {
        let get = runtime
            .get::<unsafe extern "C" fn(*mut c_int) -> c_int>(b"cudaGetDeviceCount\0")
            .map_err(|source| CudaError::Library { path: path(), source })?;
        get(&raw mut count)
    };
    match code {
        0 if count > 0 => Ok(count.unsigned_abs() as usize),
        0 | NO_DEVICE => Err(CudaError::NoDevice),
        INSUFFICIENT_DRIVER => Err(CudaError::OldDriver),
        code => Err(CudaError::Runtime(code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_libtorch_without_cuda_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let error = open_libraries(temp.path()).unwrap_err();
        assert!(error.to_string().starts_with(&format!("{}: this libtorch has no CUDA", temp.path().display())));
    }

    #[test]
    fn a_library_that_does_not_load_is_named() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("libtorch_cuda.so"), "no library").unwrap();
        let error = open_libraries(temp.path()).unwrap_err();
        assert!(matches!(&error, CudaError::Library { path, .. } if path.ends_with("libtorch_cuda.so")), "{error}");
    }

    #[test]
    fn compiler_builtins_are_found_beside_libtorch_and_in_pythons_layout() {
        let temp = tempfile::tempdir().unwrap();
        let lib = temp.path().join("torch/lib");
        fs::create_dir_all(&lib).unwrap();
        let compiler_builtins = |lib: &Path| compiler_library(lib, COMPILER[0]);
        assert_eq!(compiler_builtins(&lib), None);
        let other = lib.join(OF_PYTHON);
        fs::create_dir_all(&other).unwrap();
        fs::write(other.join("libnvrtc-builtins.so.13.0"), "").unwrap();
        assert_eq!(compiler_builtins(&lib), Some(other.join("libnvrtc-builtins.so.13.0")));
        fs::write(lib.join("libnvrtc-builtins.so.13.0"), "").unwrap();
        assert_eq!(compiler_builtins(&lib), Some(lib.join("libnvrtc-builtins.so.13.0")));
    }

    #[test]
    fn float32_is_ieee_or_tf32_as_set() {
        for tf32 in [true, false] {
            use_tf32(tf32);
            assert_eq!(uses_tf32(), tf32);
            assert!(!with_ieee_float32(uses_tf32));
            assert_eq!(uses_tf32(), tf32);
        }
    }
}
