//! Telling a bad file from data that cannot be reached, such as a network drive that is gone for a moment.
//!
//! An error is the fault of its video only if the data is there: the file can be opened, or it alone is missing from a
//! folder that holds others. What cannot be reached is tried again after a pause, a few times, and is then an error of its
//! own ([`VideoError::Unreachable`]), by which no video may be judged.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use vidtok_core::VideoError;

/// Where videos lie, and how long is waited for those that cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The folder of the data. A folder in it that is gone was removed; if it is gone itself, nothing can be reached.
    /// `None`: the folder of each file.
    pub root: Option<PathBuf>,
    /// Pauses before the second attempt, the third, and so on.
    pub pauses: Vec<Duration>,
}

impl Default for Reach {
    /// Four more attempts within 1.5 seconds.
    fn default() -> Self {
        Self { root: None, pauses: [100, 200, 400, 800].map(Duration::from_millis).to_vec() }
    }
}

/// An error, and whether it may go away by itself.
enum Judged {
    Passing(VideoError),
    Lasting(VideoError),
}

impl Reach {
    /// One attempt.
    #[must_use]
    pub fn once() -> Self {
        Self { root: None, pauses: Vec::new() }
    }

    /// The same in this folder.
    #[must_use]
    pub fn within(&self, root: &Path) -> Self {
        Self { root: Some(root.to_owned()), ..self.clone() }
    }

    /// What `work` makes of the video at `path`; where that fails for a reason that may pass, it works again after each
    /// pause, unless `is_stopped`.
    pub(crate) fn patiently<T>(
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
            match (self.judge(path, error), pauses.next()) {
                (Judged::Passing(_), Some(pause)) => std::thread::sleep(*pause),
                (Judged::Passing(error) | Judged::Lasting(error), _) => return Err(error),
            }
        }
    }

    fn judge(&self, path: &Path, error: VideoError) -> Judged {
        let may_pass = match &error {
            // The program may be missing for a moment as well.
            VideoError::Backend { .. } => return Judged::Passing(error),
            VideoError::Io { source, .. } => {
                matches!(source.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) || is_of_the_device(source)
            }
            VideoError::Decode { message, .. } => SYSTEM_MESSAGES.iter().any(|end| message.ends_with(end)),
            VideoError::Empty { .. } | VideoError::NoSuchFrame { .. } => false,
            _ => return Judged::Lasting(error),
        };
        match obstacle(path, self.root.as_deref()) {
            Obstacle::Data(source) => Judged::Passing(VideoError::Unreachable { path: path.to_owned(), source }),
            // It was met while the video was read, and is gone now.
            Obstacle::None if may_pass => Judged::Passing(error),
            Obstacle::None | Obstacle::File => Judged::Lasting(error),
        }
    }
}

/// How ffmpeg ends what it says of files that the system refuses.
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

/// What keeps a file from being read.
enum Obstacle {
    None,
    /// The file itself, while others are there.
    File,
    /// The data as a whole.
    Data(io::Error),
}

fn obstacle(path: &Path, root: Option<&Path>) -> Obstacle {
    let error = match open(path) {
        Ok(()) => return Obstacle::None,
        Err(error) if is_of_the_device(&error) || root == Some(path) => return Obstacle::Data(error),
        Err(error) => error,
    };
    // A link to what is missing: the data is where it leads, and no folder there is known to be the root.
    let target = fs::read_link(path).ok().map(|target| path.parent().unwrap_or(Path::new("")).join(target));
    let (path, root) = match &target {
        Some(target) => (target.as_path(), Path::new("/")),
        None => (path, root.or(path.parent()).unwrap_or(Path::new(""))),
    };
    // Its folder shows whether others are there; if that is missing, the folder which held it does.
    for folder in path.ancestors().skip(1) {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        match holds_something(folder) {
            Ok(true) => return Obstacle::File,
            Ok(false) => {
                let message = format!("{} is empty, as a drive leaves it that is not mounted", folder.display());
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

/// Whether the file, or the folder, can be opened and read.
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

/// Whether a drive or a network is to blame, whatever file is asked for.
fn is_of_the_device(error: &io::Error) -> bool {
    // No such device; it has no kind yet.
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
    use crate::clips::quarantine::unusable;

    fn reach(root: &Path, attempts: usize) -> Reach {
        Reach { root: Some(root.to_owned()), pauses: vec![Duration::ZERO; attempts - 1] }
    }

    fn read(path: &Path) -> Result<Vec<u8>, VideoError> {
        fs::read(path).map_err(|source| VideoError::Io { path: path.to_owned(), source })
    }

    /// A folder `data` with `a.mp4` and `sub/b.mp4`, and its parent.
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
    fn data_that_comes_back_is_waited_for() {
        let (parent, root) = data();
        let away = parent.path().join("away");
        fs::rename(&root, &away).unwrap();
        let attempts = Cell::new(0);
        let path = root.join("sub/b.mp4");
        let found = reach(&root, 4).patiently(
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
    fn data_that_stays_away_is_an_error_that_blames_no_video() {
        let (_parent, root) = data();
        let attempts = Cell::new(0);
        let told = |path: &Path, is_stopped: bool| {
            attempts.set(0);
            let work = || {
                attempts.set(attempts.get() + 1);
                read(path)
            };
            reach(&root, 3).patiently(path, || is_stopped, work).unwrap_err()
        };
        // As an unmounted drive leaves it.
        fs::remove_file(root.join("sub/b.mp4")).unwrap();
        fs::write(root.join("sub/.hidden"), "").unwrap();
        let error = told(&root.join("sub/b.mp4"), false);
        assert!(matches!(error, VideoError::Unreachable { .. }) && unusable(&error).is_none(), "{error}");
        assert!(error.to_string().contains("sub is empty") && attempts.get() == 3, "{error}");
        fs::remove_dir_all(&root).unwrap();
        for name in ["a.mp4", "sub/b.mp4"] {
            let error = told(&root.join(name), false);
            assert!(error.to_string().contains("cannot be reached: ") && unusable(&error).is_none(), "{error}");
            assert_eq!(attempts.get(), 3);
        }
        told(&root.join("a.mp4"), true);
        assert_eq!(attempts.get(), 1, "whoever is stopped does not wait");
    }

    #[test]
    fn a_file_or_a_folder_that_was_removed_among_others_is_to_blame_at_once() {
        let (_parent, root) = data();
        fs::remove_dir_all(root.join("sub")).unwrap();
        std::os::unix::fs::symlink("nothing", root.join("link.mp4")).unwrap();
        for name in ["gone.mp4", "sub/b.mp4", "sub/deeper/c.mp4", "link.mp4"] {
            let (path, attempts) = (root.join(name), Cell::new(0));
            let work = || {
                attempts.set(attempts.get() + 1);
                read(&path)
            };
            let error = reach(&root, 3).patiently(&path, || false, work).unwrap_err();
            assert_eq!(attempts.get(), 1, "{error}");
            assert!(unusable(&error).unwrap().starts_with("No such file"), "{error}");
        }
        // Without a root, a folder that is gone may come back.
        let path = root.join("sub/b.mp4");
        let alone = Reach { root: None, pauses: Vec::new() }.patiently(&path, || false, || read(&path)).unwrap_err();
        assert!(matches!(alone, VideoError::Unreachable { .. }), "{alone}");
    }

    #[test]
    fn an_error_of_the_system_that_has_gone_is_tried_again_and_damage_is_not() {
        let (_parent, root) = data();
        let path = root.join("a.mp4");
        let attempts = |message: &str| {
            let attempts = Cell::new(0);
            let work = || -> Result<(), VideoError> {
                attempts.set(attempts.get() + 1);
                Err(VideoError::Decode { path: path.clone(), message: message.to_owned() })
            };
            let error = reach(&root, 3).patiently(&path, || false, work).unwrap_err();
            assert!(unusable(&error).is_some());
            attempts.get()
        };
        assert_eq!(attempts("Error opening input: Stale file handle"), 3);
        assert_eq!(attempts("Invalid data found when processing input"), 1);
        let stale = io::Error::from(ErrorKind::StaleNetworkFileHandle);
        assert!(is_of_the_device(&stale) && is_of_the_device(&io::Error::from_raw_os_error(5)));
    }
}
