//! What tells a file from what it was before.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::input::frame_folder::is_image;

/// A file that is written again gets another stamp; so does a folder of images if one of them is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    /// Bytes; of a folder, those of its images.
    pub size: u64,
    /// When it was written, in nanoseconds since 1970; of a folder, when that or an image was last.
    pub mtime_ns: i64,
}

impl FileStamp {
    /// The stamp of the file or the folder of images at `path`.
    ///
    /// # Errors
    /// If the system refuses to tell.
    pub fn at(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        let mtime_ns =
            |file: &fs::Metadata| file.mtime().saturating_mul(1_000_000_000).saturating_add(file.mtime_nsec());
        let mut stamp = Self { size: metadata.len(), mtime_ns: mtime_ns(&metadata) };
        if metadata.is_dir() {
            stamp.size = 0;
            for entry in fs::read_dir(path)? {
                let image = entry?.path();
                if is_image(&image) {
                    let image = fs::metadata(image)?;
                    stamp.size = stamp.size.saturating_add(image.len());
                    stamp.mtime_ns = stamp.mtime_ns.max(mtime_ns(&image));
                }
            }
        }
        Ok(stamp)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_folder_has_another_stamp_once_an_image_in_it_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("1.png");
        fs::write(&image, "abc").unwrap();
        let before = FileStamp::at(folder.path()).unwrap();
        assert_eq!((before.size, FileStamp::at(&image).unwrap().size), (3, 3));
        let later = SystemTime::now() + Duration::from_secs(9);
        fs::File::open(&image).unwrap().set_modified(later).unwrap();
        assert_ne!(FileStamp::at(folder.path()).unwrap(), before);
    }
}
