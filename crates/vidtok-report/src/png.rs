//! PNG files (<https://www.w3.org/TR/png-3/>), encoded in this process: starting ffmpeg for each image is slow.

use std::fs;
use std::path::Path;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use tch::{Device, Kind, Tensor};
use vidtok_core::write_atomically;

use crate::error::ReportError;

/// Encodes an image, uint8 `[h, w, 3]` RGB, as the bytes of a PNG file.
///
/// # Errors
/// If the tensor has another shape or kind, or is empty.
pub fn encode_png(image: &Tensor) -> Result<Vec<u8>, ReportError> {
    let (height, width) = image_size(image)?;
    let mut bytes = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::Adaptive);
    encoder.write_image(&pixels(image), width, height, ExtendedColorType::Rgb8)?;
    Ok(bytes)
}

/// Writes an image, uint8 `[h, w, 3]` RGB, as a PNG file, atomically.
///
/// # Errors
/// If the tensor has another shape or kind, or the file cannot be written. An existing file stays as it is then.
pub fn save_png(path: impl AsRef<Path>, image: &Tensor) -> Result<(), ReportError> {
    save(path.as_ref(), &encode_png(image)?)
}

pub(crate) fn save(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    write_atomically(path, |temporary| fs::write(temporary, bytes)).map_err(ReportError::io(path))
}

/// The height and width of an image, in pixels.
pub(crate) fn image_size(image: &Tensor) -> Result<(u32, u32), ReportError> {
    let wrong = || ReportError::shape("an image uint8 [h, w, 3]", image);
    match image.size()[..] {
        [height, width, 3] if height.min(width) > 0 && image.kind() == Kind::Uint8 => {
            Ok((height.try_into().map_err(|_| wrong())?, width.try_into().map_err(|_| wrong())?))
        }
        _ => Err(wrong()),
    }
}

fn pixels(image: &Tensor) -> Vec<u8> {
    let mut pixels = vec![0; image.numel()];
    image.to_device(Device::Cpu).contiguous().copy_data_u8(&mut pixels, image.numel());
    pixels
}

#[cfg(test)]
pub(crate) mod tests {
    use image::{ColorType, ImageFormat};

    use super::*;

    pub(crate) fn decode_png(bytes: &[u8]) -> Tensor {
        let image = image::load_from_memory_with_format(bytes, ImageFormat::Png).unwrap();
        assert_eq!(image.color(), ColorType::Rgb8);
        let size = [image.height(), image.width(), 3].map(i64::from);
        Tensor::from_slice(image.as_bytes()).view(size)
    }

    #[test]
    fn images_survive_encoding_in_any_memory_layout() {
        let numbers = Tensor::arange(3 * 5 * 7, (Kind::Int64, Device::Cpu)) * 37;
        let planes = numbers.remainder(256).to_kind(Kind::Uint8).view([3, 5, 7]);
        let image = planes.permute([1, 2, 0]);
        assert!(decode_png(&encode_png(&image).unwrap()) == image);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        save_png(&path, &image).unwrap();
        assert!(decode_png(&fs::read(&path).unwrap()) == image);
    }

    #[test]
    fn tensors_that_are_no_images_are_refused_with_their_shape() {
        let message = |image: &Tensor| encode_png(image).unwrap_err().to_string();
        let float = Tensor::zeros([2, 2, 3], (Kind::Float, Device::Cpu));
        assert_eq!(message(&float), "expected an image uint8 [h, w, 3], got Float [2, 2, 3]");
        for shape in [&[3, 2, 2][..], &[0, 2, 3], &[1, 2, 2, 3]] {
            let wrong = Tensor::zeros(shape, (Kind::Uint8, Device::Cpu));
            assert_eq!(message(&wrong), format!("expected an image uint8 [h, w, 3], got Uint8 {shape:?}"));
        }
    }
}
