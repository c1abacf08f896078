//! TensorBoard event files. `tensorboard --logdir FOLDER` shows them, also during a run.
//!
//! A file is a sequence of TFRecords, each a protocol buffer `Event`
//! ([event.proto](https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto),
//! [summary.proto](https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/summary.proto)).

mod message;
mod record;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tch::Tensor;

use self::message::Message;
use crate::error::ReportError;
use crate::png::{encode_png, image_size};

/// From this version on, TensorBoard drops the points from step n on when a session starts at step n.
const FILE_VERSION: &[u8] = b"brain.Event:2";

/// Field numbers of `Event`.
mod event {
    pub(super) const WALL_TIME: u32 = 1;
    pub(super) const STEP: u32 = 2;
    pub(super) const FILE_VERSION: u32 = 3;
    pub(super) const SUMMARY: u32 = 5;
    pub(super) const SESSION_LOG: u32 = 7;
}

/// Field numbers of `Summary` and `Summary.Value`.
mod summary {
    pub(super) const VALUE: u32 = 1;
    pub(super) const TAG: u32 = 1;
    pub(super) const SIMPLE_VALUE: u32 = 2;
    pub(super) const IMAGE: u32 = 4;
}

/// Field numbers of `Summary.Image`, and its colour space value for RGB.
mod image {
    pub(super) const HEIGHT: u32 = 1;
    pub(super) const WIDTH: u32 = 2;
    pub(super) const COLORSPACE: u32 = 3;
    pub(super) const ENCODED: u32 = 4;
    pub(super) const RGB: u64 = 3;
}

/// The field number of `SessionLog.status`, and its value for a start.
mod session_log {
    pub(super) const STATUS: u32 = 1;
    pub(super) const START: u64 = 1;
}

/// Writes one event file. Events reach the file at [`flush`](Self::flush), when the buffer is full, and on drop.
///
/// Each writer has its own file; TensorBoard joins the files of a folder in the order of their creation. A file that a
/// crash cut within an event is read up to there.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: BufWriter<File>,
}

impl EventWriter {
    /// Creates an event file in `folder`, and the folder if it is missing.
    ///
    /// # Errors
    /// If the file cannot be created or written.
    pub fn create(folder: impl AsRef<Path>) -> Result<Self, ReportError> {
        let folder = folder.as_ref();
        fs::create_dir_all(folder).map_err(ReportError::io(folder))?;
        let (path, file) = new_file(folder, seconds() as u64).map_err(ReportError::io(folder))?;
        let mut writer = Self { path, file: BufWriter::new(file) };
        writer.append(event_now().bytes(event::FILE_VERSION, FILE_VERSION))?;
        writer.flush()?;
        Ok(writer)
    }

    /// Creates an event file for a run that resumes at `step`. TensorBoard drops this and later steps of earlier files
    /// in the folder (at the latest when a tag gets its next entry).
    ///
    /// # Errors
    /// If the file cannot be created or written.
    pub fn resume(folder: impl AsRef<Path>, step: u64) -> Result<Self, ReportError> {
        let mut writer = Self::create(folder)?;
        let start = Message::default().integer(session_log::STATUS, session_log::START);
        writer.append(event_now().integer(event::STEP, step).message(event::SESSION_LOG, start))?;
        writer.flush()?;
        Ok(writer)
    }

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a point to the curve `tag`. TensorBoard shows `a/b` and `a/c` together. The format stores float32.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f64) -> Result<(), ReportError> {
        self.summary(tag, step, |entry| entry.float(summary::SIMPLE_VALUE, value as f32))
    }

    /// Adds an image, uint8 `[h, w, 3]` RGB.
    ///
    /// # Errors
    /// If the tensor has another shape or kind, or the file cannot be written.
    pub fn image(&mut self, tag: &str, step: u64, image: &Tensor) -> Result<(), ReportError> {
        let (height, width) = image_size(image)?;
        let image = Message::default()
            .integer(image::HEIGHT, height.into())
            .integer(image::WIDTH, width.into())
            .integer(image::COLORSPACE, image::RGB)
            .bytes(image::ENCODED, &encode_png(image)?);
        self.summary(tag, step, |entry| entry.message(summary::IMAGE, image))
    }

    /// Writes all buffered events, so that TensorBoard sees them.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn flush(&mut self) -> Result<(), ReportError> {
        self.file.flush().map_err(ReportError::io(&self.path))
    }

    fn summary(&mut self, tag: &str, step: u64, value: impl FnOnce(Message) -> Message) -> Result<(), ReportError> {
        let entry = value(Message::default().bytes(summary::TAG, tag.as_bytes()));
        let summary = Message::default().message(summary::VALUE, entry);
        self.append(event_now().integer(event::STEP, step).message(event::SUMMARY, summary))
    }

    fn append(&mut self, event: Message) -> Result<(), ReportError> {
        self.file.write_all(&record::frame(&event.into_bytes())).map_err(ReportError::io(&self.path))
    }
}

fn event_now() -> Message {
    Message::default().double(event::WALL_TIME, seconds())
}

/// Seconds since 1970.
fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Creates the next event file. TensorBoard knows event files by their names and reads them in alphabetical order.
fn new_file(folder: &Path, seconds: u64) -> io::Result<(PathBuf, File)> {
    let mut number = 0_u32;
    loop {
        let path = folder.join(format!("events.out.tfevents.{seconds:010}.{number:04}"));
        match File::create_new(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            made => return made.map(|file| (path, file)),
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::png::tests::decode_png;

    /// A field of a message: its number and its bytes, eight for an integer.
    fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let value = match key & 7 {
                0 => varint(&mut bytes).to_le_bytes().to_vec(),
                1 => take(&mut bytes, 8),
                2 => {
                    let length = varint(&mut bytes) as usize;
                    take(&mut bytes, length)
                }
                5 => take(&mut bytes, 4),
                other => panic!("wire type {other}"),
            };
            all.push((key >> 3, value));
        }
        all
    }

    fn varint(bytes: &mut &[u8]) -> u64 {
        let length = 1 + bytes.iter().position(|byte| byte & 0x80 == 0).unwrap();
        let digits = take(bytes, length);
        digits.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
    }

    fn take(bytes: &mut &[u8], count: usize) -> Vec<u8> {
        bytes.split_off(..count).unwrap().to_vec()
    }

    fn integer(value: u64) -> Vec<u8> {
        value.to_le_bytes().to_vec()
    }

    /// The events of a file, without their times.
    fn events(path: &Path) -> Vec<Vec<(u64, Vec<u8>)>> {
        let contents = record::tests::contents(&fs::read(path).unwrap());
        let without_time = |content: &Vec<u8>| {
            let mut all = fields(content);
            let (field, time) = all.remove(0);
            let time = f64::from_le_bytes(time.try_into().unwrap());
            assert!(field == 1 && (time - seconds()).abs() < 60.0, "{time}");
            all
        };
        contents.iter().map(without_time).collect()
    }

    #[test]
    fn events_match_tensorboards_own_writer_byte_for_byte() {
        // Written by tensorboard 2.21's RecordWriter and protocol buffers.
        let scalar = Message::default().bytes(summary::TAG, b"loss").float(summary::SIMPLE_VALUE, 0.25);
        let start = Message::default().integer(session_log::STATUS, session_log::START);
        let event = || Message::default().double(event::WALL_TIME, 1.5);
        let step = || event().integer(event::STEP, 300);
        for (event, expected) in [
            (
                event().bytes(event::FILE_VERSION, FILE_VERSION),
                "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c",
            ),
            (
                step().message(event::SUMMARY, Message::default().message(summary::VALUE, scalar)),
                "1b000000000000001a0d9e1309000000000000f83f10ac022a0d0a0b0a046c6f7373150000803e9908deed",
            ),
            (
                step().message(event::SESSION_LOG, start),
                "100000000000000095fbfe1809000000000000f83f10ac023a020801713b788a",
            ),
        ] {
            let bytes = record::frame(&event.into_bytes());
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, expected);
        }
    }

    #[test]
    fn scalars_and_images_are_written_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(folder.path().join("new")).unwrap();
        let image = Tensor::arange(2 * 3 * 3, (Kind::Uint8, Device::Cpu)).view([2, 3, 3]);
        writer.scalar("loss", 0, 0.5).unwrap();
        writer.image("clips", 1 << 40, &image).unwrap();
        writer.flush().unwrap();

        let events = events(writer.path());
        assert_eq!(events[0], [(3, FILE_VERSION.to_vec())]);
        assert_eq!(events[1][0], (2, integer(0)));
        let value = fields(&fields(&events[1][1].1)[0].1);
        assert_eq!(value, [(1, b"loss".to_vec()), (2, 0.5_f32.to_le_bytes().to_vec())]);

        assert_eq!(events[2][0], (2, integer(1 << 40)));
        let value = fields(&fields(&events[2][1].1)[0].1);
        assert_eq!(value[0], (1, b"clips".to_vec()));
        let encoded = fields(&value[1].1);
        assert_eq!(encoded[..3], [(1, integer(2)), (2, integer(3)), (3, integer(3))]);
        assert!(decode_png(&encoded[3].1) == image);
    }

    #[test]
    fn a_resumed_run_has_a_later_file_that_starts_at_its_step() {
        let folder = tempfile::tempdir().unwrap();
        let first = EventWriter::create(folder.path()).unwrap();
        let second = EventWriter::resume(folder.path(), 1000).unwrap();
        assert!(first.path() < second.path());
        assert_eq!(events(second.path())[1], [(2, integer(1000)), (7, vec![0x08, 0x01])]);
    }

    #[test]
    fn a_tensor_that_is_no_image_writes_no_event() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(folder.path()).unwrap();
        assert!(writer.image("a", 0, &Tensor::zeros([2, 2], (Kind::Uint8, Device::Cpu))).is_err());
        writer.flush().unwrap();
        assert_eq!(events(writer.path()).len(), 1);
    }

    #[test]
    fn a_folder_that_cannot_be_created_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = EventWriter::create(file.path()).unwrap_err().to_string();
        assert!(error.starts_with(&file.path().display().to_string()), "{error}");
    }
}
