//! Conversion between frames as bytes and videos as the models take them.

use tch::{Kind, Tensor};

/// Converts frames, uint8 `[t, h, w, 3]` or `[b, t, h, w, 3]`, to a video, float `[b, 3, t, h, w]` in [-1, 1].
///
/// The channels stay last in memory, which is the layout of the networks.
pub fn to_model_range(frames: &Tensor) -> Tensor {
    let frames = if frames.dim() == 4 { frames.unsqueeze(0) } else { frames.shallow_clone() };
    // A new tensor that is changed in place: for large clips, fresh memory costs more than the arithmetic.
    let video = frames.to_dtype(Kind::Float, false, true).g_div_scalar_(255.0).g_mul_scalar_(2.0).g_sub_scalar_(1.0);
    video.permute([0, 4, 1, 2, 3])
}

/// Converts a video `[b, 3, t, h, w]` in [-1, 1] to frames, uint8 `[b * t, h, w, 3]`, one clip after the other.
///
/// Values outside the range are clamped, the others rounded to the nearest.
pub fn to_frames(video: &Tensor) -> Tensor {
    let bytes = video.to_kind(Kind::Float).clamp(-1.0, 1.0).g_add_scalar_(1.0).g_mul_scalar_(127.5).round_();
    bytes.to_kind(Kind::Uint8).permute([0, 2, 3, 4, 1]).flatten(0, 1).contiguous()
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn all_byte_values_survive_the_conversion_and_values_out_of_range_are_clamped() {
        let frames = Tensor::arange(256, (Kind::Uint8, Device::Cpu)).view([1, 16, 16, 1]).expand([1, 16, 16, 3], true);
        let video = to_model_range(&frames);
        assert_eq!((video.size(), video.min().double_value(&[])), (vec![1, 3, 1, 16, 16], -1.0));
        assert!(to_frames(&video).equal(&frames));
        assert!(to_frames(&(video * 3.0)).equal(&to_frames(&((to_model_range(&frames) * 3.0).clamp(-1.0, 1.0)))));
    }
}
