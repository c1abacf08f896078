//! The device of the tests.

use std::env;

use tch::Device;
use vidtok_torch::{use_cuda, use_tf32};

/// The variable that names it: `cpu`, the default, or `cuda`.
const VARIABLE: &str = "VIDTOK_TEST_DEVICE";

/// The device on which tests of the networks compute.
///
/// # Panics
/// If the variable names another device, or there is no GPU.
pub fn device() -> Device {
    match env::var(VARIABLE).as_deref() {
        Err(_) | Ok("" | "cpu") => Device::Cpu,
        Ok("cuda") => {
            use_cuda(0).unwrap_or_else(|error| panic!("{VARIABLE}=cuda: {error}"));
            use_tf32(false);
            Device::Cuda(0)
        }
        Ok(other) => panic!("{VARIABLE}={other}: expected cpu or cuda"),
    }
}
