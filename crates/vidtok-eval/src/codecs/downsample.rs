//! Downsampling in time and space, and interpolation back.

use tch::Tensor;
use vidtok_core::{Codec, FrameRate, Reconstructor};

use crate::codecs::WINDOW;
use crate::codecs::reconstructors::{Coded, WholeClip};
use crate::error::EvalError;

/// The baseline that a latent of the same size must beat: frames are downsampled with antialiasing and every n-th one is
/// kept, from the first to the last; interpolation back is linear in time and bicubic in space.
#[derive(Clone, Debug)]
pub struct Downsample {
    name: String,
    time: i64,
    space: i64,
}

impl Downsample {
    /// Downsampling by these factors.
    ///
    /// # Errors
    /// If a factor is not from 1 to 1024.
    pub fn new(time: i64, space: i64) -> Result<Self, EvalError> {
        Self::check(time, space)?;
        Ok(Self { name: format!("down:{time}x{space}"), time, space })
    }

    /// Checks the range of the factors.
    pub(crate) fn check(time: i64, space: i64) -> Result<(), EvalError> {
        let range = 1..=1024;
        match range.contains(&time) && range.contains(&space) {
            true => Ok(()),
            false => Err(EvalError::setting("down", "factors TIMExSPACE of 1 to 1024", format!("{time}x{space}"))),
        }
    }

    fn code(&self, clip: &Tensor) -> Coded {
        let size = clip.size();
        let (b, t, h, w) = (size[0], size[2], size[3], size[4]);
        let [small_h, small_w] = [h, w].map(|side| (side / self.space).max(1));
        let kept = 1 + (t - 1) / self.time;
        let images = clip.transpose(1, 2).reshape([b * t, 3, h, w]);
        let small = images.internal_upsample_bilinear2d_aa([small_h, small_w], false, None, None);
        // To [b, 3 h' w', t], to drop and interpolate frames along the last axis.
        let over_time = small.view([b, t, -1]).transpose(1, 2);
        let positions = if kept == 1 { vec![0] } else { (0..kept).map(|i| i * (t - 1) / (kept - 1)).collect() };
        let latent = over_time.index_select(2, &Tensor::from_slice(&positions).to_device(clip.device()));
        let frames = latent.upsample_linear1d([t], true, None).transpose(1, 2).reshape([b * t, 3, small_h, small_w]);
        let large = frames.upsample_bicubic2d([h, w], false, None, None);
        Ok((large.view([b, t, 3, h, w]).transpose(1, 2).contiguous(), None))
    }
}

impl Codec for Downsample {
    fn name(&self) -> &str {
        &self.name
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![("time", self.time.to_string()), ("space", self.space.to_string())]
    }

    fn window(&self) -> usize {
        WINDOW
    }

    fn start(&self, clip: [i64; 3], _frame_rate: FrameRate) -> Box<dyn Reconstructor + '_> {
        Box::new(WholeClip::new(&self.name, clip[0], |clip: &Tensor| self.code(clip)))
    }
}
