//! Our kernels for GPUs as CUDA's run-time compiler sees them.

#![allow(unsafe_code)] // Calls of the shim.

use std::ffi::CString;
use std::ptr::null_mut;

use tch::TchError;

use crate::shim;

/// Headers of `shim/gpu/kernels`, the type of the arguments and the function.
const KERNELS: [[&str; 3]; 3] = [
    ["norm_silu.h", "simt::NormSiluForward", "simt::norm_silu"],
    ["norm_silu.h", "simt::NormSiluBackward", "simt::norm_silu_backward"],
    ["biased_sum.h", "simt::BiasedSum", "simt::biased_sum"],
];

/// Types of activations and of parameters.
const TYPES: [[&str; 2]; 4] = [
    ["float", "float"],
    ["simt::Bfloat16", "simt::Bfloat16"],
    ["simt::Bfloat16", "float"],
    ["simt::Float16", "simt::Float16"],
];

/// Channels of all published and pretrained models.
const CHANNELS: [i64; 6] = [48, 64, 128, 192, 256, 512];

/// What a kernel takes on GPUs of one architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuKernelReport {
    /// The function with its number of channels and its types.
    pub kernel: String,
    /// Registers of a thread, of at most 255.
    pub registers: u32,
    /// Bytes of a thread's registers that do not fit and go through memory.
    pub spilled_bytes: u32,
}

/// Compiles all instances for an architecture. CUDA's compiler is loaded.
pub(crate) fn compile(architecture: &str) -> Result<Vec<GpuKernelReport>, TchError> {
    let mut reports = Vec::new();
    for [header, call, function] in KERNELS {
        for channels in CHANNELS {
            for [value, parameter] in TYPES {
                let kernel = format!("{function}<{channels}, {value}, {parameter}>");
                let log = compiler_log(header, call, &kernel, architecture)?;
                let number = |before: &str, after: &str| number_between(&log, before, after).unwrap_or(0);
                reports.push(GpuKernelReport {
                    registers: number("Used ", " registers"),
                    spilled_bytes: number("", " bytes spill stores"),
                    kernel: kernel.replace("simt::", ""),
                });
            }
        }
    }
    Ok(reports)
}

fn compiler_log(header: &str, call: &str, function: &str, architecture: &str) -> Result<String, TchError> {
    let texts = [header, call, function, architecture]
        .map(|text| CString::new(text).map_err(|error| TchError::Torch(error.to_string())));
    let [header, call, function, architecture] = texts;
    let (header, call, function, architecture) = (header?, call?, function?, architecture?);
    let mut log = null_mut();
    // SAFETY: the texts live during the call, which writes a message of ours to `log` if it succeeds.
    unsafe {
        shim::check(shim::vidtok_gpu_compile(
            header.as_ptr(),
            call.as_ptr(),
            function.as_ptr(),
            architecture.as_ptr(),
            &raw mut log,
        ))?;
        Ok(shim::take_message(log))
    }
}

/// The last number of `text` that stands between `before` and `after`.
fn number_between(text: &str, before: &str, after: &str) -> Option<u32> {
    let (start, _) = text.rsplit_once(after)?;
    let digits = start.rsplit(|c: char| !c.is_ascii_digit()).next()?;
    start.strip_suffix(digits)?.ends_with(before).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_the_log_of_the_compiler() {
        let log = "ptxas info    : Compiling entry function 'kernel' for 'sm_90'\n\
                   ptxas info    : Function properties for kernel\n\
                   \x20   0 bytes stack frame, 12 bytes spill stores, 8 bytes spill loads\n\
                   ptxas info    : Used 48 registers, used 0 barriers\n";
        assert_eq!(number_between(log, "Used ", " registers"), Some(48));
        assert_eq!(number_between(log, "", " bytes spill stores"), Some(12));
        assert_eq!(number_between(log, "Used ", " barriers"), None);
    }
}
