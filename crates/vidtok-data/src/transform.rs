//! The range of metrics, resizing and cropping; `vidtok_core` converts between frames and clips.
//!
//! Frames are uint8 `[t, h, w, 3]`, as videos are read and written. The model takes float `[b, 3, t, h, w]` in [-1, 1].

use tch::{Kind, Tensor};

/// Clips for the metrics: any shape, from [-1, 1] to float in [0, 1]. Values outside the range are clamped.
pub fn to_unit_range(video: &Tensor) -> Tensor {
    video.to_kind(Kind::Float).clamp(-1.0, 1.0).g_add_scalar_(1.0).g_div_scalar_(2.0)
}

/// Resizes images `[n, 3, h, w]` (float or uint8) so that their shorter side becomes `side`, by antialiased bilinear
/// interpolation. The longer side keeps the aspect ratio, rounded down.
pub fn resize_shorter_side(images: &Tensor, side: i64) -> Tensor {
    let size = images.size();
    let [.., h, w] = size[..] else {
        return images.shallow_clone();
    };
    let resized = resized_size([h, w], side);
    if resized == [h, w] {
        return images.shallow_clone();
    }
    images.internal_upsample_bilinear2d_aa(resized, false, None, None)
}

/// The size `[height, width]` that [`resize_shorter_side`] produces.
#[must_use]
pub fn resized_size([height, width]: [i64; 2], side: i64) -> [i64; 2] {
    let longer = |long: i64, short: i64| ((side as f64 * long as f64 / short as f64) as i64).max(1);
    if height <= width { [side, longer(width, height)] } else { [longer(height, width), side] }
}

/// Crops the centre `size` (`[height, width]`) of `[..., h, w]`. Smaller images are padded with zeros.
pub fn center_crop(images: &Tensor, size: [i64; 2]) -> Tensor {
    let [height, width] = size;
    let rank = images.dim();
    let (h, w) = (images.size()[rank - 2], images.size()[rank - 1]);
    let [missing_h, missing_w] = [(height - h).max(0), (width - w).max(0)];
    let border = [missing_w / 2, (missing_w + 1) / 2, missing_h / 2, (missing_h + 1) / 2];
    let images = if border == [0; 4] { images.shallow_clone() } else { images.constant_pad_nd(border) };
    let [top, left] = center_offset([h + missing_h, w + missing_w], size);
    images.narrow(-2, top, height).narrow(-1, left, width)
}

/// The offset `[top, left]` of a centre crop of size `crop` in an image of size `size`, both `[height, width]`.
#[must_use]
pub fn center_offset(size: [i64; 2], crop: [i64; 2]) -> [i64; 2] {
    // Halves are rounded to even, as in the published transform.
    let offset = |axis: usize| ((size[axis] - crop[axis]) as f64 / 2.0).round_ties_even() as i64;
    [offset(0), offset(1)]
}

/// The published preparation of a clip, uint8 `[t, h, w, 3]` to float `[1, 3, t, height, width]` in [-1, 1]: resizes
/// the shorter side to `size[0]` and crops the centre `size` (`[height, width]`).
pub fn fit(frames: &Tensor, size: [i64; 2]) -> Tensor {
    prepare(frames, Some(size[0]), Some(size))
}

/// Optionally resizes the shorter side and crops the centre `[height, width]`: uint8 `[t, h, w, 3]` to float
/// `[1, 3, t, h', w']` in [-1, 1].
pub(crate) fn prepare(frames: &Tensor, shorter_side: Option<i64>, crop: Option<[i64; 2]>) -> Tensor {
    let images = to_images(frames);
    let images = shorter_side.map_or_else(|| images.shallow_clone(), |side| resize_shorter_side(&images, side));
    let images = crop.map_or_else(|| images.shallow_clone(), |size| center_crop(&images, size));
    // Not in place, so that the result does not keep what was cropped away.
    let images = (images * 2.0).g_sub_scalar_(1.0);
    images.permute([1, 0, 2, 3]).unsqueeze(0)
}

/// Resizes the shorter side of frames to `side`: uint8 `[t, h, w, 3]` to uint8 `[t, h', w', 3]`.
///
/// Computes in integers, which is many times faster than [`fit`] and within 1 of its values.
pub fn resize_frames(frames: &Tensor, side: i64) -> Tensor {
    resize_shorter_side(&frames.permute([0, 3, 1, 2]), side).permute([0, 2, 3, 1]).contiguous()
}

/// Resizes a clip `[b, 3, t, h, w]` until it covers `size` (`[height, width]`), by antialiased bilinear interpolation,
/// and crops its centre. The side that is too long is rounded down. For a square size this equals [`fit`].
pub fn cover(video: &Tensor, size: [i64; 2]) -> Tensor {
    let shape = video.size();
    let &[b, channels, t, h, w] = shape.as_slice() else {
        return video.shallow_clone();
    };
    if [h, w] == size {
        return video.shallow_clone();
    }
    let [height, width] = size;
    let resized = if height * w >= width * h { [height, height * w / h] } else { [width * h / w, width] };
    let images = video.permute([0, 2, 1, 3, 4]).contiguous().view([b * t, channels, h, w]);
    let images = center_crop(&images.internal_upsample_bilinear2d_aa(resized, false, None, None), size);
    images.reshape([b, t, channels, height, width]).permute([0, 2, 1, 3, 4])
}

/// Frames as images: uint8 `[t, h, w, 3]` to float `[t, 3, h, w]` in [0, 1].
fn to_images(frames: &Tensor) -> Tensor {
    unit_floats(&frames.permute([0, 3, 1, 2]).contiguous())
}

/// Bytes as new floats in [0, 1].
fn unit_floats(bytes: &Tensor) -> Tensor {
    bytes.to_dtype(Kind::Float, false, true).g_div_scalar_(255.0)
}

#[cfg(test)]
mod tests {
    use tch::Device;
    use vidtok_core::{to_frames, to_model_range};

    use super::*;

    #[test]
    fn bytes_survive_the_round_trip_through_model_range() {
        let frames = Tensor::arange(2 * 4 * 8 * 3 * 2, (Kind::Int64, Device::Cpu)).remainder(256);
        let frames = frames.to_kind(Kind::Uint8).view([4, 4, 8, 3]);
        let video = to_model_range(&frames);
        assert_eq!(video.size(), [1, 3, 4, 4, 8]);
        assert_eq!(to_frames(&video), frames);
        assert_eq!(to_frames(&to_model_range(&frames.view([2, 2, 4, 8, 3]))), frames);
    }

    #[test]
    fn conversions_in_place_leave_their_input_and_equal_the_formula() {
        let bytes = Tensor::arange(256, (Kind::Int64, Device::Cpu)).view([1, 1, 256, 1]).repeat([2, 1, 1, 3]);
        for frames in [bytes.to_kind(Kind::Uint8), bytes.to_kind(Kind::Float)] {
            let before = frames.copy();
            let expected = (frames.to_kind(Kind::Float) / 255.0 * 2.0 - 1.0).permute([3, 0, 1, 2]).unsqueeze(0);
            assert!(to_model_range(&frames).equal(&expected) && prepare(&frames, None, None).equal(&expected));
            assert!(frames.equal(&before));
        }
    }

    #[test]
    fn black_and_white_are_the_ends_of_model_range() {
        let frames = Tensor::from_slice(&[0u8, 51, 255]).view([1, 1, 1, 3]);
        let video = Vec::<f32>::try_from(to_model_range(&frames).flatten(0, -1)).unwrap();
        assert_eq!((video[0], video[2]), (-1.0, 1.0));
        assert!((video[1] + 0.6).abs() < 1e-6);
    }

    #[test]
    fn values_out_of_range_are_clamped_and_others_rounded() {
        let video = Tensor::from_slice(&[-3.0f32, 7.0, 0.001]).view([1, 3, 1, 1, 1]);
        assert_eq!(Vec::<u8>::try_from(to_frames(&video).flatten(0, -1)).unwrap(), [0, 255, 128]);
        let unit = Vec::<f32>::try_from(to_unit_range(&video).flatten(0, -1)).unwrap();
        assert_eq!(unit, [0.0, 1.0, 0.5005]);
    }

    #[test]
    fn resized_bytes_are_close_to_resized_floats() {
        let frames = Tensor::rand([2, 90, 120, 3], (Kind::Float, Device::Cpu)) * 255.0;
        let frames = frames.round().to_kind(Kind::Uint8);
        let bytes = resize_frames(&frames, 64).to_kind(Kind::Float);
        let floats = resize_shorter_side(&to_images(&frames), 64).permute([0, 2, 3, 1]) * 255.0;
        assert_eq!(bytes.size(), [2, 64, 85, 3]);
        assert!((bytes - floats).abs().max().double_value(&[]) <= 1.0);
    }

    #[test]
    fn the_longer_side_is_rounded_down() {
        assert_eq!(resized_size([144, 176], 96), [96, 117]);
        assert_eq!(resized_size([48, 40], 64), [76, 64]);
        assert_eq!(resized_size([1, 1000], 1), [1, 1000]);
    }

    #[test]
    fn cover_produces_the_given_size_and_agrees_with_fit_on_squares() {
        tch::manual_seed(0);
        let frames = (Tensor::rand([2, 40, 61, 3], (Kind::Float, Device::Cpu)) * 255.0).to_kind(Kind::Uint8);
        let video = to_model_range(&frames);
        let square = cover(&video, [32, 32]);
        assert!(square.allclose(&fit(&frames, [32, 32]), 1e-5, 1e-5, false));
        for size in [[16, 60], [60, 16], [40, 61], [80, 20], [1, 1]] {
            assert_eq!(cover(&video, size).size(), [1, 3, 2, size[0], size[1]]);
        }
    }

    #[test]
    fn crops_are_centred_and_small_images_are_padded() {
        let row = Tensor::arange(6, (Kind::Float, Device::Cpu)).view([1, 1, 1, 6]);
        assert_eq!(Vec::<f32>::try_from(center_crop(&row, [1, 3]).flatten(0, -1)).unwrap(), [2.0, 3.0, 4.0]);
        let narrow = center_crop(&(row + 1.0), [1, 9]).flatten(0, -1);
        assert_eq!(Vec::<f32>::try_from(narrow).unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.0, 0.0]);
    }
}
