//! Images as videos: a folder of frames, the files of a folder that match a pattern, or a single image.
//!
//! Frames are in the order of their names, in which digits count as numbers: `f2.png` comes before `f10.png`. They are
//! read as shown, rotated by their Exif orientation, as 8-bit RGB: grey becomes RGB, 16 bits are rounded to 8,
//! transparency is dropped, and colour profiles are not applied. All frames of a clip must have one size.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageReader};
use tch::{Kind, Tensor};
use vidtok_core::{FrameRate, FrameSource, VideoError, VideoInfo};

use crate::input::extensions::{IMAGES, is_image};
use crate::input::fault::is_shortage;
use crate::input::path_text::path_text;
use crate::parallel::map;

/// Images as the frames of a video.
#[derive(Debug)]
pub struct FrameFolder {
    path: PathBuf,
    files: Vec<PathBuf>,
    info: VideoInfo,
    /// Frames returned in order so far.
    position: usize,
}

impl FrameFolder {
    /// Whether `path` is of this kind: a folder, an image, or a pattern such as `frames/%06d.png`, whose number may
    /// have any number of digits.
    #[must_use]
    pub fn accepts(path: &Path) -> bool {
        path.is_dir() || is_image(path)
    }

    /// Opens the images at `path` (see [`accepts`](Self::accepts)) as a video of this frame rate, and reads their
    /// sizes. They are decoded later, when they are read.
    ///
    /// # Errors
    /// [`VideoError::Decode`] if there is no image, or with the name of an image that is damaged or whose size differs
    /// from the first; [`VideoError::Io`] if a file cannot be read.
    pub fn open(path: impl Into<PathBuf>, frame_rate: FrameRate) -> Result<Self, VideoError> {
        let path = path.into();
        let files = frame_files(&path)?;
        let Some((first, others)) = files.split_first() else {
            let message = format!("no images in it ({})", IMAGES.join(", "));
            return Err(VideoError::Decode { path, message });
        };
        let [height, width] = read_header(&path, first)?.1;
        let sizes = map(others.iter().collect(), |file| read_header(&path, file).map(|(_, size, _)| size));
        for (file, size) in others.iter().zip(sizes) {
            let [h, w] = size?;
            if [h, w] != [height, width] {
                let first = name(&path, first);
                let message = format!("{w}x{h}, but {first} is {width}x{height}; the frames of a clip have one size");
                return Err(damaged(&path, file, &message));
            }
        }
        let frames = files.len() as u64;
        Ok(Self { info: VideoInfo { width, height, frame_rate, frames, times: None }, path, files, position: 0 })
    }

    /// Images whose description is known from an earlier [`open`](Self::open). Images that differ from it are errors
    /// when they are read.
    ///
    /// # Errors
    /// If the folder cannot be read, or the number of images has changed.
    pub fn with_info(path: impl Into<PathBuf>, info: VideoInfo) -> Result<Self, VideoError> {
        let path = path.into();
        let files = frame_files(&path)?;
        if files.len() as u64 != info.frames {
            let message = format!("{} images, not {} as when it was probed", files.len(), info.frames);
            return Err(VideoError::Decode { path, message });
        }
        Ok(Self { path, files, info, position: 0 })
    }

    /// Decodes an image into RGB bytes, row by row.
    fn decode(&self, file: &Path, pixels: &mut [u8]) -> Result<(), VideoError> {
        let (decoder, size, orientation) = read_header(&self.path, file)?;
        let expected = [self.info.height, self.info.width];
        if size != expected {
            let [[h, w], [height, width]] = [size, expected];
            return Err(damaged(&self.path, file, &format!("{w}x{h}, not {width}x{height} as when it was probed")));
        }
        let mut image = DynamicImage::from_decoder(decoder).map_err(|error| image_error(&self.path, file, error))?;
        image.apply_orientation(orientation);
        pixels.copy_from_slice(&image.into_rgb8());
        Ok(())
    }

    /// The images as frames, uint8 `[t, h, w, 3]`.
    fn frames(&self, files: Vec<&Path>) -> Result<Tensor, VideoError> {
        let VideoInfo { width, height, .. } = self.info;
        let size = [files.len() as i64, height, width, 3];
        // At least one byte, so that an image is checked against a size that no image has.
        let bytes = size[1..].iter().map(|&side| side.max(0) as usize).product::<usize>().max(1);
        let mut pixels = vec![0; files.len() * bytes];
        let images = files.into_iter().zip(pixels.chunks_exact_mut(bytes)).collect();
        map(images, |(file, pixels)| self.decode(file, pixels)).into_iter().collect::<Result<(), _>>()?;
        Ok(Tensor::from_data_size(&pixels, &size, Kind::Uint8))
    }
}

impl FrameSource for FrameFolder {
    fn info(&self) -> &VideoInfo {
        &self.info
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn next_frames(&mut self, max: usize) -> Result<Option<Tensor>, VideoError> {
        let end = self.files.len().min(self.position.saturating_add(max));
        if end == self.position {
            return Ok(None);
        }
        let frames = self.frames(self.files[self.position..end].iter().map(PathBuf::as_path).collect())?;
        self.position = end;
        Ok(Some(frames))
    }

    fn frames_at(&self, indices: &[u64]) -> Result<Tensor, VideoError> {
        let frames = self.info.frames;
        if let Some(&index) = indices.iter().find(|&&index| index >= frames) {
            return Err(VideoError::NoSuchFrame { path: self.path.clone(), index, frames });
        }
        self.frames(indices.iter().map(|&index| self.files[index as usize].as_path()).collect())
    }
}

/// The images at `path`, in the order of their names.
pub(crate) fn frame_files(path: &Path) -> Result<Vec<PathBuf>, VideoError> {
    let (folder, pattern) = match Pattern::of(path) {
        _ if path.is_dir() => (path, None),
        // A pattern may also be the name of an existing file.
        Some(pattern) if !path.exists() => (path.parent().unwrap_or(Path::new("")), Some(pattern)),
        _ => return Ok(vec![path.to_owned()]),
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let io_error = |source| VideoError::Io { path: path.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(io_error)? {
        let entry = entry.map_err(io_error)?;
        let name = entry.file_name();
        let is_hidden = name.as_encoded_bytes().starts_with(b".");
        let is_meant = pattern.as_ref().is_none_or(|pattern| pattern.matches(&name));
        if !is_hidden && is_meant && is_image(Path::new(&name)) && !entry.path().is_dir() {
            files.push(entry.path());
        }
    }
    files.sort_by(|a, b| by_number(a.as_os_str().as_encoded_bytes(), b.as_os_str().as_encoded_bytes()));
    Ok(files)
}

/// A file name with a number in the place of `%d`, `%6d` or `%06d`.
struct Pattern<'a> {
    before: &'a str,
    after: &'a str,
}

impl<'a> Pattern<'a> {
    fn of(path: &'a Path) -> Option<Self> {
        let (before, rest) = path.file_name()?.to_str()?.split_once('%')?;
        let (width, after) = rest.split_once('d')?;
        width.bytes().all(|digit| digit.is_ascii_digit()).then_some(Self { before, after })
    }

    fn matches(&self, name: &OsStr) -> bool {
        let number = name.to_str().and_then(|name| name.strip_prefix(self.before)?.strip_suffix(self.after));
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()))
    }
}

/// Compares names, with runs of digits as numbers.
fn by_number(mut a: &[u8], mut b: &[u8]) -> Ordering {
    let whole = a.cmp(b);
    loop {
        let [x, y] = [a, b].map(|name| name.iter().take_while(|c| c.is_ascii_digit()).count());
        if x > 0 && y > 0 {
            let [m, n] = [&a[..x], &b[..y]].map(without_zeros);
            let numbers = m.len().cmp(&n.len()).then_with(|| m.cmp(n));
            if numbers.is_ne() {
                return numbers;
            }
            (a, b) = (&a[x..], &b[y..]);
            continue;
        }
        match (a.split_first(), b.split_first()) {
            (Some((p, rest_a)), Some((q, rest_b))) if p == q => (a, b) = (rest_a, rest_b),
            (Some((p, _)), Some((q, _))) => return p.cmp(q),
            // 1.png and 01.png have equal numbers.
            (None, None) => return whole,
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
        }
    }
}

fn without_zeros(digits: &[u8]) -> &[u8] {
    &digits[digits.iter().take_while(|&&digit| digit == b'0').count()..]
}

/// Reads the header of an image: a decoder for the rest, `[height, width]` as shown, and the orientation.
fn read_header(path: &Path, file: &Path) -> Result<(impl ImageDecoder + use<>, [i64; 2], Orientation), VideoError> {
    let refused = |error| image_error(path, file, error);
    let open = || -> Result<_, ImageError> {
        check_regular(file)?;
        let mut decoder = ImageReader::new(BufReader::new(File::open(file)?)).with_guessed_format()?.into_decoder()?;
        let orientation = decoder.orientation()?;
        Ok((decoder, orientation))
    };
    let (decoder, orientation) = open().map_err(refused)?;
    let (width, height) = decoder.dimensions();
    let size = match orientation {
        Orientation::NoTransforms
        | Orientation::FlipHorizontal
        | Orientation::FlipVertical
        | Orientation::Rotate180 => [height, width],
        _ => [width, height],
    };
    Ok((decoder, size.map(i64::from), orientation))
}

/// Refuses pipes, on which opening would block.
fn check_regular(file: &Path) -> io::Result<()> {
    match file.metadata()?.is_file() {
        true => Ok(()),
        false => Err(io::Error::other("not a regular file")),
    }
}

/// Converts the error of an image to an error of its clip.
fn image_error(path: &Path, file: &Path, error: ImageError) -> VideoError {
    match error {
        // An error of the system; other I/O errors mean a truncated file.
        ImageError::IoError(source) if source.raw_os_error().is_some() => {
            let is_named = path == file || is_shortage(&source);
            let source = if is_named { source } else { named(path, file, &source) };
            VideoError::Io { path: path.to_owned(), source }
        }
        error => damaged(path, file, &error.to_string().lines().collect::<Vec<_>>().join(" ")),
    }
}

fn named(path: &Path, file: &Path, source: &io::Error) -> io::Error {
    io::Error::new(source.kind(), format!("{}: {source}", name(path, file)))
}

fn damaged(path: &Path, file: &Path, problem: &str) -> VideoError {
    let message = if path == file { problem.to_owned() } else { format!("{}: {problem}", name(path, file)) };
    VideoError::Decode { path: path.to_owned(), message }
}

/// The name of an image in messages about its folder.
fn name(path: &Path, file: &Path) -> String {
    let name = file.file_name().filter(|_| path != file).unwrap_or(file.as_os_str());
    path_text(Path::new(name)).into_owned()
}

#[cfg(test)]
mod tests {
    use image::{ExtendedColorType, ImageEncoder, codecs::jpeg::JpegEncoder, codecs::png::PngEncoder};

    use super::*;

    const RATE: FrameRate = match FrameRate::new(10, 1) {
        Some(rate) => rate,
        None => unreachable!(),
    };

    fn png(path: &Path, pixels: &[u8], [h, w]: [u32; 2], kind: ExtendedColorType) {
        PngEncoder::new(File::create(path).unwrap()).write_image(pixels, w, h, kind).unwrap();
    }

    /// Writes a frame of 2x3 pixels with one value.
    fn frame(path: &Path, value: u8) {
        png(path, &[value; 18], [2, 3], ExtendedColorType::Rgb8);
    }

    fn bytes(frames: &Tensor) -> Vec<u8> {
        Vec::try_from(frames.flatten(0, -1)).unwrap()
    }

    /// The first byte of each frame.
    fn values(frames: &Tensor) -> Vec<u8> {
        bytes(&frames.slice(1, 0, 1, 1).slice(2, 0, 1, 1).slice(3, 0, 1, 1))
    }

    #[test]
    fn frames_are_ordered_by_the_numbers_in_their_names() {
        let folder = tempfile::tempdir().unwrap();
        for (value, name) in ["f1.png", "f2.png", "f10.png", "f010b.png", "g0.png"].iter().enumerate() {
            frame(&folder.path().join(name), value as u8);
        }
        std::fs::write(folder.path().join("notes.txt"), "no frame").unwrap();
        std::fs::write(folder.path().join(".f3.png"), "hidden").unwrap();
        let mut video = FrameFolder::open(folder.path(), RATE).unwrap();
        assert_eq!(video.info(), &VideoInfo { width: 3, height: 2, frame_rate: RATE, frames: 5, times: None });
        assert_eq!(values(&video.next_frames(2).unwrap().unwrap()), [0, 1]);
        assert_eq!(values(&video.frames_at(&[1, 1, 4]).unwrap()), [1, 1, 4]);
        assert_eq!(values(&video.next_frames(9).unwrap().unwrap()), [2, 3, 4]);
        assert!(video.next_frames(9).unwrap().is_none());
        assert!(matches!(video.frames_at(&[5]), Err(VideoError::NoSuchFrame { index: 5, frames: 5, .. })));
    }

    #[test]
    fn a_pattern_selects_matching_files_and_an_image_is_a_clip_of_one_frame() {
        let folder = tempfile::tempdir().unwrap();
        for (name, value) in [("x000002.png", 2), ("x000001.png", 1), ("y000001.png", 9), ("x1b.png", 8)] {
            frame(&folder.path().join(name), value);
        }
        let read = |name: &str| {
            let mut video = FrameFolder::open(folder.path().join(name), RATE).unwrap();
            values(&video.next_frames(9).unwrap().unwrap())
        };
        assert_eq!(read("x%06d.png"), [1, 2]);
        assert_eq!(read("x%d.png"), [1, 2]);
        assert_eq!(read("y000001.png"), [9]);
        frame(&folder.path().join("x%d.png"), 7);
        assert_eq!(read("x%d.png"), [7]);
    }

    #[test]
    fn grey_16_bit_and_transparent_images_become_8_bit_rgb() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let read = |pixels: &[u8], kind| {
            png(&path, pixels, [1, 2], kind);
            bytes(&FrameFolder::open(&path, RATE).unwrap().next_frames(1).unwrap().unwrap())
        };
        assert_eq!(read(&[7, 200], ExtendedColorType::L8), [7, 7, 7, 200, 200, 200]);
        assert_eq!(read(&[1, 2, 3, 0, 4, 5, 6, 128], ExtendedColorType::Rgba8), [1, 2, 3, 4, 5, 6]);
        // 257 * 100 + 128 rounds to 100, one more to 101. The encoder takes the machine's byte order.
        let sixteen: Vec<u8> = [25_828u16, 25_829].iter().flat_map(|value| value.to_ne_bytes()).collect();
        assert_eq!(read(&sixteen, ExtendedColorType::L16), [100, 100, 100, 101, 101, 101]);
    }

    #[test]
    fn images_are_rotated_by_their_exif_orientation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jpg");
        let mut encoder = JpegEncoder::new_with_quality(File::create(&path).unwrap(), 100);
        // Exif, big endian: one entry, orientation 6, a quarter turn to the right.
        let exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec();
        encoder.set_exif_metadata(exif).unwrap();
        let pixels: Vec<u8> = (0..8 * 16).map(|i| if i % 16 < 8 { 0 } else { 255 }).collect();
        encoder.encode(&pixels, 16, 8, ExtendedColorType::L8).unwrap();
        let mut video = FrameFolder::open(&path, RATE).unwrap();
        let frame = video.next_frames(1).unwrap().unwrap();
        assert_eq!(frame.size(), [1, 16, 8, 3]);
        let frame = bytes(&frame);
        assert!(frame[0] < 8 && frame[15 * 8 * 3] > 247, "the left is on top");
    }

    #[test]
    fn damaged_and_mismatched_images_are_named_on_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        frame(&at("1.png"), 1);
        let whole = std::fs::read(at("1.png")).unwrap();
        let failure = |content: &[u8]| {
            std::fs::write(at("2.png"), content).unwrap();
            let read = FrameFolder::open(folder.path(), RATE).and_then(|mut video| video.next_frames(9));
            let error = read.unwrap_err();
            let message = error.to_string();
            assert!(message.contains("cannot decode: 2.png: ") && message.lines().count() == 1, "{message}");
            crate::video_fault(&error).unwrap()
        };
        for content in [&b""[..], b"no image", &whole[..20], &whole[..whole.len() - 20], b"GIF89a"] {
            failure(content);
        }
        png(&at("3.png"), &[1; 12], [2, 2], ExtendedColorType::Rgb8);
        let other = std::fs::read(at("3.png")).unwrap();
        std::fs::remove_file(at("3.png")).unwrap();
        assert_eq!(failure(&other), "cannot decode: 2.png: 2x2, but 1.png is 3x2; the frames of a clip have one size");
        let message = FrameFolder::open(tempfile::tempdir().unwrap().path(), RATE).unwrap_err().to_string();
        assert!(message.contains("no images in it (jpeg, jpg, png)"), "{message}");
    }

    #[test]
    fn a_folder_that_has_changed_since_it_was_probed_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        frame(&folder.path().join("1.png"), 1);
        let info = FrameFolder::open(folder.path(), RATE).unwrap().info().clone();
        let other = VideoInfo { width: 2, height: 3, ..info.clone() };
        let message = FrameFolder::with_info(folder.path(), other).unwrap().next_frames(1).unwrap_err().to_string();
        assert!(message.contains("1.png: 3x2, not 2x3"), "{message}");
        frame(&folder.path().join("2.png"), 1);
        let message = FrameFolder::with_info(folder.path(), info).unwrap_err().to_string();
        assert!(message.contains("2 images, not 1"), "{message}");
    }
}
