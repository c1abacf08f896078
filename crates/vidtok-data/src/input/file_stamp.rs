//! Detecting that a file has changed.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::input::extensions::is_image;
use crate::parallel::map;

/// The size and modification time of a file, or of all images of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    /// Bytes; for a folder, the total of its images.
    pub size: u64,
    /// The modification time in nanoseconds since 1970; for a folder, the latest of the folder and its images.
    pub mtime_ns: i64,
}

impl FileStamp {
    /// The stamp of a file or a folder of images.
    ///
    /// # Errors
    /// If the file system returns an error.
    pub fn at(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        let mtime_ns =
            |file: &fs::Metadata| file.mtime().saturating_mul(1_000_000_000).saturating_add(file.mtime_nsec());
        let mut stamp = Self { size: metadata.len(), mtime_ns: mtime_ns(&metadata) };
        if metadata.is_dir() {
            stamp.size = 0;
            let entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
            let images = entries.into_iter().filter(|path| is_image(path)).collect();
            for image in map(images, fs::metadata) {
                let image = image?;
                stamp.size = stamp.size.saturating_add(image.len());
                stamp.mtime_ns = stamp.mtime_ns.max(mtime_ns(&image));
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
