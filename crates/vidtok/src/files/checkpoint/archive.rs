//! The zip archive that `torch.save` writes: `FOLDER/data.pkl`, `FOLDER/byteorder` and `FOLDER/data/KEY`, all stored
//! without compression.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use zip::{CompressionMethod, ZipArchive};

use crate::files::checkpoint::error::CheckpointError;

/// The largest pickle that is read, in bytes. The weights are in records of their own; a tensor's description takes about
/// 130 bytes.
const MAX_PICKLE: u64 = 64 << 20;

/// The first bytes of a zip archive with at least one record.
const ZIP_MAGIC: &[u8] = b"PK\x03\x04";

/// The first bytes of the format before PyTorch 1.6: a pickle of protocol 2 with the integer 0x1950a86a20f9469cfc6c.
const LEGACY_MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// The offset and the magic bytes of a tar archive, the oldest format.
const TAR_MAGIC: (usize, &[u8]) = (257, b"ustar");

/// An open archive.
#[derive(Debug)]
pub(super) struct Archive<R> {
    path: PathBuf,
    zip: ZipArchive<R>,
    folder: String,
    file_size: u64,
}

impl<R: Read + Seek> Archive<R> {
    /// Reads the directory of the archive in `reader`; `path` is for messages.
    ///
    /// # Errors
    /// If the archive is not of `torch.save`, is damaged, or was written on a big-endian machine.
    pub(super) fn open(mut reader: R, path: &Path) -> Result<Self, CheckpointError> {
        let path = path.to_owned();
        let mut start = Vec::new();
        let mut measure = || {
            reader.by_ref().take(512).read_to_end(&mut start)?;
            reader.seek(SeekFrom::End(0))
        };
        let file_size = match measure() {
            Ok(size) => size,
            Err(source) => return Err(CheckpointError::Io { path, source }),
        };
        if !start.starts_with(ZIP_MAGIC) {
            let (at, tar) = TAR_MAGIC;
            let is_tar = start.get(at..).is_some_and(|rest| rest.starts_with(tar));
            return Err(match start.starts_with(LEGACY_MAGIC) || is_tar {
                true => CheckpointError::Legacy { path },
                false => CheckpointError::NotAnArchive { path },
            });
        }
        let opened = ZipArchive::new(reader).and_then(|mut zip| {
            let bad = zip.has_duplicate_names() || zip.has_overlapping_files()?;
            Ok((zip, bad))
        });
        let (zip, bad) = match opened {
            Ok(opened) => opened,
            Err(source) => return Err(CheckpointError::Archive { path, source }),
        };
        if bad {
            return Err(CheckpointError::Overlap { path });
        }
        let folders = zip.file_names_raw().filter_map(|name| {
            let folder = std::str::from_utf8(name.strip_suffix(b"/data.pkl")?).ok()?;
            (!folder.contains('/')).then(|| folder.to_owned())
        });
        let mut folders: Vec<String> = folders.collect();
        let folder = match (folders.len(), folders.pop()) {
            (1, Some(folder)) => folder,
            (found, _) => return Err(CheckpointError::Pickles { path, found }),
        };
        let mut archive = Self { path, zip, folder, file_size };
        archive.check_byte_order()?;
        Ok(archive)
    }

    /// The file, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file's size in bytes.
    pub(super) fn file_size(&self) -> u64 {
        self.file_size
    }

    /// The full name of the record `name`.
    pub(super) fn record(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    /// The size of the record `name` in bytes.
    ///
    /// # Errors
    /// If it is missing, compressed or larger than the file.
    pub(super) fn size(&self, name: &str) -> Result<u64, CheckpointError> {
        let (path, record) = (self.path.clone(), self.record(name));
        let Some(index) = self.zip.index_for_name_raw(record.as_bytes()) else {
            return Err(CheckpointError::MissingRecord { path, record });
        };
        let entry = self.zip.by_index_data(index).map_err(|source| self.damaged(source))?;
        let size = entry.size();
        if entry.compression() != CompressionMethod::Stored || entry.encrypted() || entry.compressed_size() != size {
            return Err(CheckpointError::NotStored { path, record });
        }
        if size > self.file_size {
            return Err(CheckpointError::TooLarge { path, record, size, limit: self.file_size });
        }
        Ok(size)
    }

    /// The bytes of the record `name`, whose checksum is verified.
    ///
    /// # Errors
    /// As [`size`](Self::size), or if it cannot be read.
    pub(super) fn read(&mut self, name: &str) -> Result<Vec<u8>, CheckpointError> {
        let size = self.size(name)?;
        let record = self.record(name);
        let mut bytes = Vec::with_capacity(size as usize);
        let mut entry = match self.zip.by_name(&record) {
            Ok(entry) => entry,
            Err(source) => return Err(CheckpointError::Archive { path: self.path.clone(), source }),
        };
        match entry.read_to_end(&mut bytes) {
            Ok(read) if read as u64 == size => Ok(bytes),
            Ok(_) => Err(CheckpointError::Record {
                path: self.path.clone(),
                record,
                source: std::io::ErrorKind::UnexpectedEof.into(),
            }),
            Err(source) => Err(CheckpointError::Record { path: self.path.clone(), record, source }),
        }
    }

    /// The bytes of the pickle.
    ///
    /// # Errors
    /// As [`read`](Self::read), or if it is unreasonably large.
    pub(super) fn read_pickle(&mut self) -> Result<Vec<u8>, CheckpointError> {
        let size = self.size("data.pkl")?;
        if size > MAX_PICKLE {
            let (path, record) = (self.path.clone(), self.record("data.pkl"));
            return Err(CheckpointError::TooLarge { path, record, size, limit: MAX_PICKLE });
        }
        self.read("data.pkl")
    }

    /// Checks the record `byteorder`. Older files, which do not have it, are little-endian.
    fn check_byte_order(&mut self) -> Result<(), CheckpointError> {
        let order = match self.size("byteorder") {
            Ok(0..=16) => self.read("byteorder")?,
            Ok(_) => Vec::new(),
            Err(CheckpointError::MissingRecord { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        match order.as_slice() {
            b"little" => Ok(()),
            other => Err(CheckpointError::ByteOrder {
                path: self.path.clone(),
                found: String::from_utf8_lossy(other).into_owned(),
            }),
        }
    }

    fn damaged(&self, source: zip::result::ZipError) -> CheckpointError {
        CheckpointError::Archive { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use zip::CompressionMethod::{Deflated, Stored};

    use crate::files::checkpoint::testing::{archive, checkpoint, dict, refusal, storage, tensor};

    #[test]
    fn files_of_other_formats_are_recognised() {
        assert!(refusal(b"").contains("not a zip archive"));
        assert!(refusal(b"version https://git-lfs.github.com/spec/v1\n").contains("not a zip archive"));
        assert!(
            refusal(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.").contains("before PyTorch 1.6")
        );
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert!(refusal(&tar).contains("before PyTorch 1.6"));
        assert!(
            refusal(&archive(Stored, &[("word/document.xml", b"")]))
                .contains("FOLDER/data.pkl in the archive, found 0")
        );
    }

    #[test]
    fn truncated_archives_are_refused() {
        let file =
            checkpoint(&dict([("a", tensor(storage("FloatStorage", "0", 1), 0, &[1], &[1]))]), &[("0", &[0; 4])]);
        for len in [4, file.len() / 2, file.len() - 1] {
            assert!(refusal(&file[..len]).contains("damaged zip archive"), "{len}");
        }
    }

    #[test]
    fn big_endian_files_are_refused() {
        let pickle = dict([]).pickle();
        let file = archive(Stored, &[("data.pkl", &pickle), ("byteorder", b"big")]);
        assert_eq!(refusal(&file), "test.ckpt: byte order: expected \"little\", found \"big\"");
    }

    #[test]
    fn compressed_records_are_refused() {
        let file = archive(Deflated, &[("data.pkl", &[0; 1000])]);
        assert!(refusal(&file).contains("record t/data.pkl: expected it stored"));
    }

    #[test]
    fn a_damaged_record_fails_its_checksum() {
        let state = dict([("a", tensor(storage("FloatStorage", "0", 2), 0, &[2], &[1]))]);
        let mut file = checkpoint(&state, &[("0", b"\x11\x22\x33\x44\x55\x66\x77\x88")]);
        let at = file.windows(8).position(|bytes| bytes == b"\x11\x22\x33\x44\x55\x66\x77\x88").unwrap();
        file[at] ^= 1;
        assert!(refusal(&file).contains("record t/data/0: Invalid checksum"), "{}", refusal(&file));
    }

    #[test]
    fn records_with_one_name_are_refused() {
        let pickle = dict([]).pickle();
        let mut file = archive(Stored, &[("data/0", &pickle), ("data/1", &pickle)]);
        for at in 0..file.len() - 8 {
            if file[at..].starts_with(b"t/data/1") {
                file[at + 7] = b'0';
            }
        }
        assert!(refusal(&file).contains("overlap or have the same name"));
    }

    #[test]
    fn records_that_share_bytes_are_refused() {
        let mut file = archive(Stored, &[("data.pkl", b"0123"), ("data/0", b"4567")]);
        // Both directory entries then point to the first record; the offset is 42 bytes into an entry.
        let entry = file.windows(4).rposition(|bytes| bytes == b"PK\x01\x02").unwrap();
        file[entry + 42..entry + 46].fill(0);
        assert!(refusal(&file).contains("overlap or have the same name"));
    }
}
