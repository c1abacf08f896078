//! Distinguishing a bad file from data that cannot be reached, such as a network drive that is gone for a moment.
//!
//! An error is the fault of its video only if the rest of the data is there: the file can be opened, or it alone is
//! missing from a folder with other files. What cannot be reached is retried after a pause, a few times, and then
//! becomes [`VideoError::Unreachable`], which blames no video.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use vidtok_core::VideoError;

/// How often to retry reading, and what counts as data that cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The root folder of the data: a missing folder within it was removed, whereas a missing root means that nothing
    /// can be reached. `None`: the folder of each file.
    pub root: Option<PathBuf>,
    /// The pauses before the second attempt, the third, and so on.
    pub pauses: Vec<Duration>,
}

impl Default for RetryPolicy {
    /// Four retries within 1.5 seconds.
    fn default() -> Self {
        Self { root: None, pauses: [100, 200, 400, 800].map(Duration::from_millis).to_vec() }
    }
}

/// An error, by whether retrying may help.
enum Failure {
    Transient(VideoError),
    Permanent(VideoError),
}

impl RetryPolicy {
    /// A single attempt.
    #[must_use]
    pub fn once() -> Self {
        Self { root: None, pauses: Vec::new() }
    }

    /// The same pauses for data in this folder.
    #[must_use]
    pub fn within(&self, root: &Path) -> Self {
        Self { root: Some(root.to_owned()), ..self.clone() }
    }

    /// Calls `work` on the video at `path`, and again after each pause while it fails for a reason that may be
    /// transient, unless `is_stopped`.
    pub(crate) fn run<T>(
        &self,
        path: &Path,
        is_stopped: impl Fn() -> bool,
        mut work: impl FnMut() -> Result<T, VideoError>,
    ) -> Result<T, VideoError> {
        let mut pauses = self.pauses.iter();
        loop {
            let error = match work() {
                Ok(result) => return Ok(result),
                Err(error) if is_stopped() => return Err(error),
                Err(error) => error,
            };
            match (self.classify(path, error), pauses.next()) {
                (Failure::Transient(_), Some(pause)) => std::thread::sleep(*pause),
                (Failure::Transient(error) | Failure::Permanent(error), _) => return Err(error),
            }
        }
    }

    fn classify(&self, path: &Path, error: VideoError) -> Failure {
        let may_be_transient = match &error {
            // Even the program may be missing for a moment.
            VideoError::Backend { .. } => return Failure::Transient(error),
            VideoError::Io { source, .. } => {
                matches!(source.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) || is_of_the_device(source)
            }
            VideoError::Decode { message, .. } => SYSTEM_MESSAGES.iter().any(|end| message.ends_with(end)),
            VideoError::Empty { .. } | VideoError::NoSuchFrame { .. } => false,
            _ => return Failure::Permanent(error),
        };
        match obstacle(path, self.root.as_deref()) {
            Obstacle::Data(source) => Failure::Transient(VideoError::Unreachable { path: path.to_owned(), source }),
            // The error occurred during reading, and its cause is gone.
            Obstacle::None if may_be_transient => Failure::Transient(error),
            Obstacle::None | Obstacle::File => Failure::Permanent(error),
        }
    }
}

/// The ends of ffmpeg's messages about files that the system refuses.
const SYSTEM_MESSAGES: [&str; 8] = [
    "No such file or directory",
    "Permission denied",
    "Input/output error",
    "Stale file handle",
    "Transport endpoint is not connected",
    "Connection timed out",
    "Host is down",
    "No such device or address",
];

/// What prevents a file from being read.
enum Obstacle {
    None,
    /// The file itself, while other files are there.
    File,
    /// The data as a whole cannot be reached.
    Data(io::Error),
}

fn obstacle(path: &Path, root: Option<&Path>) -> Obstacle {
    let error = match open(path) {
        Ok(()) => return Obstacle::None,
        Err(error) if is_of_the_device(&error) || root == Some(path) => return Obstacle::Data(error),
        Err(error) => error,
    };
    // A broken link: the data is where the link points, and the root there is unknown.
    let target = fs::read_link(path).ok().map(|target| path.parent().unwrap_or(Path::new("")).join(target));
    let (path, root) = match &target {
        Some(target) => (target.as_path(), Path::new("/")),
        None => (path, root.or(path.parent()).unwrap_or(Path::new(""))),
    };
    // A folder that holds other files blames the file; if the folder is missing, its parent decides.
    for folder in path.ancestors().skip(1) {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        match holds_something(folder) {
            Ok(true) => return Obstacle::File,
            Ok(false) => {
                let message = format!("{} is empty, like the mount point of an unmounted drive", folder.display());
                return Obstacle::Data(io::Error::new(error.kind(), message));
            }
            Err(error) if error.kind() == ErrorKind::NotFound && folder != root && folder.starts_with(root) => {}
            Err(error) => {
                return Obstacle::Data(io::Error::new(error.kind(), format!("{}: {error}", folder.display())));
            }
        }
    }
    Obstacle::Data(error)
}

/// Whether a file or folder can be opened and read.
fn open(path: &Path) -> io::Result<()> {
    let metadata = path.metadata()?;
    if metadata.is_dir() {
        return fs::read_dir(path)?.next().transpose().map(drop);
    }
    match metadata.is_file() {
        true => File::open(path)?.read(&mut [0]).map(drop),
        false => Ok(()),
    }
}

/// Whether a folder holds anything but hidden files.
fn holds_something(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        if !entry?.file_name().as_encoded_bytes().starts_with(b".") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the error comes from a drive or a network, regardless of the file.
fn is_of_the_device(error: &io::Error) -> bool {
    // ENXIO and ENODEV mean that the device is gone; std has no kind for them.
    const ENXIO: i32 = 6;
    const ENODEV: i32 = 19;
    const EIO: i32 = 5;
    matches!(
        error.kind(),
        ErrorKind::StaleNetworkFileHandle
            | ErrorKind::NotConnected
            | ErrorKind::TimedOut
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
    ) || matches!(error.raw_os_error(), Some(ENXIO | ENODEV | EIO))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::input::fault::video_fault;

    fn policy(root: &Path, attempts: usize) -> RetryPolicy {
        RetryPolicy { root: Some(root.to_owned()), pauses: vec![Duration::ZERO; attempts - 1] }
    }

    fn read(path: &Path) -> Result<Vec<u8>, VideoError> {
        fs::read(path).map_err(|source| VideoError::Io { path: path.to_owned(), source })
    }

    /// A folder `data` with `a.mp4` and `sub/b.mp4`, in a temporary parent.
    fn data() -> (tempfile::TempDir, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path().join("data");
        fs::create_dir_all(root.join("sub")).unwrap();
        for name in ["a.mp4", "sub/b.mp4"] {
            fs::write(root.join(name), "x").unwrap();
        }
        (parent, root)
    }

    #[test]
    fn data_that_returns_is_retried_until_then() {
        let (parent, root) = data();
        let away = parent.path().join("away");
        fs::rename(&root, &away).unwrap();
        let attempts = Cell::new(0);
        let path = root.join("sub/b.mp4");
        let found = policy(&root, 4).run(
            &path,
            || false,
            || {
                attempts.set(attempts.get() + 1);
                if attempts.get() == 3 {
                    fs::rename(&away, &root).unwrap();
                }
                read(&path)
            },
        );
        assert_eq!((found.unwrap(), attempts.get()), (b"x".to_vec(), 3));
    }

    #[test]
    fn data_that_stays_unreachable_blames_no_video() {
        let (_parent, root) = data();
        let attempts = Cell::new(0);
        let fail = |path: &Path, is_stopped: bool| {
            attempts.set(0);
            let work = || {
                attempts.set(attempts.get() + 1);
                read(path)
            };
            policy(&root, 3).run(path, || is_stopped, work).unwrap_err()
        };
        // An unmounted drive leaves an empty folder.
        fs::remove_file(root.join("sub/b.mp4")).unwrap();
        fs::write(root.join("sub/.hidden"), "").unwrap();
        let error = fail(&root.join("sub/b.mp4"), false);
        assert!(matches!(error, VideoError::Unreachable { .. }) && video_fault(&error).is_none(), "{error}");
        assert!(error.to_string().contains("sub is empty") && attempts.get() == 3, "{error}");
        fs::remove_dir_all(&root).unwrap();
        for name in ["a.mp4", "sub/b.mp4"] {
            let error = fail(&root.join(name), false);
            assert!(error.to_string().contains("cannot be reached: ") && video_fault(&error).is_none(), "{error}");
            assert_eq!(attempts.get(), 3);
        }
        fail(&root.join("a.mp4"), true);
        assert_eq!(attempts.get(), 1, "whoever is stopped does not wait");
    }

    #[test]
    fn a_file_removed_among_others_is_to_blame_without_retrying() {
        let (_parent, root) = data();
        fs::remove_dir_all(root.join("sub")).unwrap();
        std::os::unix::fs::symlink("nothing", root.join("link.mp4")).unwrap();
        for name in ["gone.mp4", "sub/b.mp4", "sub/deeper/c.mp4", "link.mp4"] {
            let (path, attempts) = (root.join(name), Cell::new(0));
            let work = || {
                attempts.set(attempts.get() + 1);
                read(&path)
            };
            let error = policy(&root, 3).run(&path, || false, work).unwrap_err();
            assert_eq!(attempts.get(), 1, "{error}");
            assert!(video_fault(&error).unwrap().starts_with("No such file"), "{error}");
        }
        // Without a root, a missing folder may return.
        let path = root.join("sub/b.mp4");
        let alone = RetryPolicy { root: None, pauses: Vec::new() }.run(&path, || false, || read(&path)).unwrap_err();
        assert!(matches!(alone, VideoError::Unreachable { .. }), "{alone}");
    }

    #[test]
    fn transient_system_errors_are_retried_and_damage_is_not() {
        let (_parent, root) = data();
        let path = root.join("a.mp4");
        let attempts = |message: &str| {
            let attempts = Cell::new(0);
            let work = || -> Result<(), VideoError> {
                attempts.set(attempts.get() + 1);
                Err(VideoError::Decode { path: path.clone(), message: message.to_owned() })
            };
            let error = policy(&root, 3).run(&path, || false, work).unwrap_err();
            assert!(video_fault(&error).is_some());
            attempts.get()
        };
        assert_eq!(attempts("Error opening input: Stale file handle"), 3);
        assert_eq!(attempts("Invalid data found when processing input"), 1);
        let stale = io::Error::from(ErrorKind::StaleNetworkFileHandle);
        assert!(is_of_the_device(&stale) && is_of_the_device(&io::Error::from_raw_os_error(5)));
    }
}
