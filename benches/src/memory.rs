//! What Linux tells about the memory of this process, in MiB (`proc_pid_status(5)`).

use std::fs;
use std::io::{Error, ErrorKind, Result};

const STATUS: &str = "/proc/self/status";

/// Held now.
///
/// # Errors
/// If the system does not tell.
pub fn held() -> Result<f64> {
    field("VmRSS")
}

/// The most that was held since the start or [`forget_peak`].
///
/// # Errors
/// If the system does not tell.
pub fn peak() -> Result<f64> {
    field("VmHWM")
}

/// From now on only what comes after counts for the [`peak`].
///
/// # Errors
/// If the system does not let the process do this.
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
