//! The memory of this process in MiB, as Linux reports it (`proc_pid_status(5)`).

use std::fs;
use std::io::{Error, ErrorKind, Result};

const STATUS: &str = "/proc/self/status";

/// The resident memory, in MiB.
///
/// # Errors
/// If the system does not report it.
pub fn held() -> Result<f64> {
    field("VmRSS")
}

/// The peak of resident memory since the start or [`forget_peak`], in MiB.
///
/// # Errors
/// If the system does not report it.
pub fn peak() -> Result<f64> {
    field("VmHWM")
}

/// Resets the [`peak`].
///
/// # Errors
/// If the system does not allow it.
pub fn forget_peak() -> Result<()> {
    let path = "/proc/self/clear_refs";
    fs::write(path, "5").map_err(|error| Error::new(error.kind(), format!("{path}: {error}")))
}

fn field(name: &str) -> Result<f64> {
    let status = fs::read_to_string(STATUS).map_err(|error| Error::new(error.kind(), format!("{STATUS}: {error}")))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    let missing = || Error::new(ErrorKind::InvalidData, format!("{STATUS}: no {name} in kB"));
    Ok(kib.ok_or_else(missing)? / 1024.0)
}
