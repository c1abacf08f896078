//! Pictures as PNG files (<https://www.w3.org/TR/png-3/>), within this process: starting ffmpeg for each is slow.

use std::fs;
use std::path::Path;

use tch::{Device, Kind, Tensor};
use vidtok_core::write_atomically;

use crate::error::ReportError;

/// A picture, uint8 `[h, w, 3]` RGB, as the bytes of a PNG file.
///
/// # Errors
/// If it is no picture, or empty.
pub fn encode_png(picture: &Tensor) -> Result<Vec<u8>, ReportError> {
    let (height, width) = picture_size(picture)?;
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels(picture))?;
    writer.finish()?;
    Ok(bytes)
}

/// Writes a picture, uint8 `[h, w, 3]` RGB, as a PNG file.
///
/// # Errors
/// If it is no picture, or the file cannot be written; what was there is untouched then.
pub fn save_png(path: impl AsRef<Path>, picture: &Tensor) -> Result<(), ReportError> {
    save(path.as_ref(), &encode_png(picture)?)
}

pub(crate) fn save(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    write_atomically(path, |temporary| fs::write(temporary, bytes)).map_err(ReportError::io(path))
}

/// Height and width of a picture.
pub(crate) fn picture_size(picture: &Tensor) -> Result<(u32, u32), ReportError> {
    let wrong = || ReportError::shape("a picture uint8 [h, w, 3]", picture);
    match picture.size()[..] {
        [height, width, 3] if height.min(width) > 0 && picture.kind() == Kind::Uint8 => {
            Ok((height.try_into().map_err(|_| wrong())?, width.try_into().map_err(|_| wrong())?))
        }
        _ => Err(wrong()),
    }
}

fn pixels(picture: &Tensor) -> Vec<u8> {
    let mut pixels = vec![0; picture.numel()];
    picture.to_device(Device::Cpu).contiguous().copy_data_u8(&mut pixels, picture.numel());
    pixels
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Cursor;

    use super::*;

    pub(crate) fn decode_png(bytes: &[u8]) -> Tensor {
        let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
        Tensor::from_slice(&pixels).view([i64::from(info.height), i64::from(info.width), 3])
    }

    #[test]
    fn pictures_come_back_exactly_whatever_their_layout_in_memory() {
        let numbers = Tensor::arange(3 * 5 * 7, (Kind::Int64, Device::Cpu)) * 37;
        let planes = numbers.remainder(256).to_kind(Kind::Uint8).view([3, 5, 7]);
        let picture = planes.permute([1, 2, 0]);
        assert!(decode_png(&encode_png(&picture).unwrap()) == picture);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        save_png(&path, &picture).unwrap();
        assert!(decode_png(&fs::read(&path).unwrap()) == picture);
    }

    #[test]
    fn what_is_no_picture_is_refused_with_its_shape() {
        let message = |picture: &Tensor| encode_png(picture).unwrap_err().to_string();
        let float = Tensor::zeros([2, 2, 3], (Kind::Float, Device::Cpu));
        assert_eq!(message(&float), "expected a picture uint8 [h, w, 3], got Float [2, 2, 3]");
        for shape in [&[3, 2, 2][..], &[0, 2, 3], &[1, 2, 2, 3]] {
            let wrong = Tensor::zeros(shape, (Kind::Uint8, Device::Cpu));
            assert_eq!(message(&wrong), format!("expected a picture uint8 [h, w, 3], got Uint8 {shape:?}"));
        }
    }
}
