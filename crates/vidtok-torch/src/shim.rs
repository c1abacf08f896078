//! The functions of `shim/*.cpp`: features of libtorch that tch does not bind, and our own kernels.
//!
//! Nothing unwinds across the boundary. A function that may fail returns null on success, or a message that its caller
//! releases. Rust functions that C++ calls turn panics into such messages.

#![allow(unsafe_code)] // Calls of C++.

use std::any::Any;
use std::ffi::{CStr, c_char, c_double, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{null, null_mut};

use tch::{TchError, Tensor};
use torch_sys::C_tensor;

/// `vidtok::AutocastScope`, an opaque type.
#[repr(C)]
pub(crate) struct AutocastScope([u8; 0]);

/// `vidtok::ProcessGroup`, an opaque type.
#[repr(C)]
pub(crate) struct ProcessGroup([u8; 0]);

/// `vidtok::GradientReducer`, an opaque type.
#[repr(C)]
pub(crate) struct GradientReducer([u8; 0]);

/// `vidtok::Rendezvous`.
#[repr(C)]
pub(crate) struct Rendezvous {
    pub(crate) address: *const c_char,
    pub(crate) port: u16,
    pub(crate) serves: bool,
    pub(crate) prefix: *const c_char,
    pub(crate) interface: *const c_char,
}

/// An error message, or null on success.
pub(crate) type Status = *mut c_char;

/// A Rust function that C++ calls.
pub(crate) type Call = extern "C" fn(data: *const c_void, x: *mut C_tensor, y: *mut *mut C_tensor) -> Status;

unsafe extern "C" {
    fn vidtok_message_new(text: *const c_char, length: usize) -> Status;
    fn vidtok_message_release(message: Status);
    pub(crate) fn vidtok_reuse_freed_memory() -> Status;
    pub(crate) fn vidtok_peak_memory() -> u64;
    pub(crate) fn vidtok_reset_peak_memory() -> u64;
    pub(crate) fn vidtok_executed_multiply_adds() -> i64;
    pub(crate) fn vidtok_winograd_workspace(channels: i64, threads: i64) -> i64;
    pub(crate) fn vidtok_cuda_free_memory(index: i8, bytes: *mut u64) -> Status;
    pub(crate) fn vidtok_cuda_set_device(index: i8) -> Status;
    pub(crate) fn vidtok_cuda_use_tf32(tf32: bool) -> Status;
    pub(crate) fn vidtok_cuda_uses_tf32() -> bool;
    pub(crate) fn vidtok_cuda_use_deterministic(deterministic: bool) -> Status;
    pub(crate) fn vidtok_generator_seed(seed: i64, before: *mut *mut C_tensor) -> Status;
    pub(crate) fn vidtok_generator_restore(state: *const C_tensor) -> Status;
    pub(crate) fn vidtok_autocast_enter(cuda: bool, bfloat16: bool, scope: *mut *mut AutocastScope) -> Status;
    pub(crate) fn vidtok_autocast_leave(scope: *mut AutocastScope);
    pub(crate) fn vidtok_recompute(
        x: *const C_tensor,
        inner: *const C_tensor,
        y: *const C_tensor,
        data: *mut c_void,
        call: Call,
        release: extern "C" fn(*mut c_void),
        out: *mut *mut C_tensor,
    ) -> Status;
    pub(crate) fn vidtok_convolution(
        x: *const C_tensor,
        context_frames: *const C_tensor,
        zeros: i64,
        weight: *const C_tensor,
        bias: *const C_tensor,
        stride: *const i64,
        padding: *const i64,
        axes: usize,
        out: *mut *mut C_tensor,
    ) -> Status;
    pub(crate) fn vidtok_upsampled_convolution(
        x: *const C_tensor,
        context_frames: *const C_tensor,
        zeros: i64,
        weight: *const C_tensor,
        bias: *const C_tensor,
        centered: bool,
        padding: *const i64,
        axes: usize,
        out: *mut *mut C_tensor,
    ) -> Status;
    pub(crate) fn vidtok_normed_convolution(
        x: *const C_tensor,
        norm_weight: *const C_tensor,
        norm_bias: *const C_tensor,
        eps: c_double,
        weight: *const C_tensor,
        bias: *const C_tensor,
        padding: *const i64,
        out: *mut *mut C_tensor,
    ) -> Status;
    pub(crate) fn vidtok_process_group_connect(
        at: *const Rendezvous,
        rank: c_int,
        size: c_int,
        timeout_ms: u64,
        cuda: bool,
        out: *mut *mut ProcessGroup,
    ) -> Status;
    pub(crate) fn vidtok_process_group_release(group: *mut ProcessGroup);
    pub(crate) fn vidtok_broadcast(group: *const ProcessGroup, x: *const C_tensor) -> Status;
    pub(crate) fn vidtok_mean_over_processes(
        group: *const ProcessGroup,
        x: *const C_tensor,
        out: *mut *mut C_tensor,
    ) -> Status;
    pub(crate) fn vidtok_gradient_reducer_new(
        group: *const ProcessGroup,
        parameters: *const *const C_tensor,
        count: usize,
        out: *mut *mut GradientReducer,
    ) -> Status;
    pub(crate) fn vidtok_gradient_reducer_prepare(reducer: *mut GradientReducer) -> Status;
    pub(crate) fn vidtok_gradient_reducer_release(reducer: *mut GradientReducer);
    pub(crate) fn vidtok_lerp_many(
        tensors: *const *const C_tensor,
        ends: *const *const C_tensor,
        count: usize,
        share: c_double,
    ) -> Status;
    pub(crate) fn vidtok_scale_many(tensors: *const *const C_tensor, count: usize, factor: c_double) -> Status;
    pub(crate) fn vidtok_zero_many(tensors: *const *const C_tensor, count: usize) -> Status;
    pub(crate) fn vidtok_norm_of_many(tensors: *const *const C_tensor, count: usize, norm: *mut c_double) -> Status;
    pub(crate) fn vidtok_adamw_many(
        parameters: *const *const C_tensor,
        gradients: *const *const C_tensor,
        means: *const *const C_tensor,
        mean_squares: *const *const C_tensor,
        count: usize,
        step: c_double,
        lr: c_double,
        beta1: c_double,
        beta2: c_double,
        weight_decay: c_double,
        eps: c_double,
    ) -> Status;
    pub(crate) fn vidtok_gpu_compile(
        header: *const c_char,
        call: *const c_char,
        function: *const c_char,
        architecture: *const c_char,
        log: *mut Status,
    ) -> Status;
    pub(crate) fn vidtok_norm_silu(
        x: *const C_tensor,
        input_bias: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        eps: c_double,
        out: *mut *mut C_tensor,
    ) -> Status;
    pub(crate) fn vidtok_norm_silu_after(
        x: *const C_tensor,
        input_bias: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        eps: c_double,
        frames: i64,
        out: *mut *mut C_tensor,
    ) -> Status;
    pub(crate) fn vidtok_biased_sum(
        x: *const C_tensor,
        bias: *const C_tensor,
        residual: *const C_tensor,
        out: *mut *mut C_tensor,
    ) -> Status;
    #[cfg(test)]
    pub(crate) fn vidtok_gpu_norm_silu_on_cpu(
        x: *const C_tensor,
        input_bias: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        eps: c_double,
        ahead: i64,
        out: *mut *mut C_tensor,
    ) -> Status;
    #[cfg(test)]
    pub(crate) fn vidtok_gpu_norm_silu_backward_on_cpu(
        x: *const C_tensor,
        grad_y: *const C_tensor,
        input_bias: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        eps: c_double,
        out: *mut *mut C_tensor,
        sums: *mut *mut C_tensor,
    ) -> Status;
    #[cfg(test)]
    pub(crate) fn vidtok_gpu_biased_sum_on_cpu(
        x: *const C_tensor,
        bias: *const C_tensor,
        residual: *const C_tensor,
        out: *mut *mut C_tensor,
    ) -> Status;
    pub(crate) fn vidtok_unit_distance(
        x: *const C_tensor,
        y: *const C_tensor,
        weight: *const C_tensor,
        out: *mut *mut C_tensor,
    ) -> Status;
}

/// Turns a status from C++ into a result.
pub(crate) fn check(status: Status) -> Result<(), TchError> {
    if status.is_null() {
        return Ok(());
    }
    // SAFETY: a status that is not null is a message of ours.
    Err(TchError::Torch(unsafe { take_message(status) }))
}

/// The text of a message from C++, which is released.
///
/// # Safety
/// `message` is a null-terminated string that C++ made for us and that nobody else releases.
pub(crate) unsafe fn take_message(message: Status) -> String {
    // SAFETY: as the caller says.
    unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        vidtok_message_release(message);
        text
    }
}

/// The address of a tensor that may be missing: null then.
pub(crate) fn pointer(tensor: Option<&Tensor>) -> *const C_tensor {
    tensor.map_or(null(), |tensor| tensor.as_ptr())
}

/// Returns the new tensor that `call` writes.
///
/// # Panics
/// If C++ throws, like tch's own functions.
pub(crate) fn tensor(call: impl FnOnce(*mut *mut C_tensor) -> Status) -> Tensor {
    let Some(tensor) = maybe_tensor(call) else { panic!("libtorch returned neither a tensor nor an error message") };
    tensor
}

/// Returns the new tensor that `call` writes, or `None` if it writes none.
///
/// # Panics
/// If C++ throws, like tch's own functions.
pub(crate) fn maybe_tensor(call: impl FnOnce(*mut *mut C_tensor) -> Status) -> Option<Tensor> {
    let mut out = null_mut();
    if let Err(error) = check(call(&raw mut out)) {
        panic!("{error}");
    }
    // SAFETY: a pointer that is not null is a tensor that C++ made for us.
    (!out.is_null()).then(|| unsafe { Tensor::from_ptr(out) })
}

/// Runs `body` for C++ and turns a panic into a status.
pub(crate) fn guarded(body: impl FnOnce()) -> Status {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(()) => null_mut(),
        Err(panic) => {
            let text = panic_text(panic.as_ref());
            // SAFETY: the text is copied before the call returns.
            unsafe { vidtok_message_new(text.as_ptr().cast(), text.len()) }
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a message")
}
