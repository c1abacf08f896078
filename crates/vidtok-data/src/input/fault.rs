//! Distinguishing bad videos from failures of the machine.

use std::io::ErrorKind;

use vidtok_core::VideoError;

/// The problem with the video itself, on one line without its path; `None` if other videos would meet the same error:
/// the data cannot be reached, the machine has run out of something, or ffmpeg does not run. Callers that process many
/// videos skip the video if there is a fault, and return the error otherwise.
#[must_use]
pub fn video_fault(error: &VideoError) -> Option<String> {
    let path = match error {
        VideoError::Io { source, .. } if is_shortage(source) => return None,
        VideoError::Io { path, .. }
        | VideoError::Decode { path, .. }
        | VideoError::Empty { path }
        | VideoError::NoSuchFrame { path, .. } => path,
        _ => return None,
    };
    let message = error.to_string();
    Some(message.strip_prefix(&format!("{}: ", path.display())).unwrap_or(&message).to_owned())
}

/// Whether the machine has run out of something, or killed the decoder for that reason.
pub(crate) fn is_shortage(error: &std::io::Error) -> bool {
    // Too many open files, in the system or the process; std has no kind for these.
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::OutOfMemory | ErrorKind::Interrupted
    ) || matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}
