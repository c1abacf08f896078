//! JPEG, frame by frame.

use std::io::Cursor;

use jpeg_encoder::{ColorType, Encoder};
use tch::{Device, Kind, Tensor};
use vidtok_core::{Codec, FrameRate, Reconstructor};
use vidtok_data::{to_frames, to_model_range};
use zune_jpeg::JpegDecoder;

use crate::codecs::WINDOW;
use crate::codecs::reconstructors::{Coded, EachPush};
use crate::error::EvalError;

/// JPEG of each frame at a quality from 1 to 100 on libjpeg's scale; chroma is subsampled below 90.
#[derive(Clone, Debug)]
pub struct Jpeg {
    name: String,
    quality: u8,
}

impl Jpeg {
    /// JPEG at `quality`.
    ///
    /// # Errors
    /// If the quality is not from 1 to 100.
    pub fn new(quality: u8) -> Result<Self, EvalError> {
        Self::check(quality)?;
        Ok(Self { name: format!("jpeg:{quality}"), quality })
    }

    /// Checks the range of the quality.
    pub(crate) fn check(quality: u8) -> Result<(), EvalError> {
        match quality {
            1..=100 => Ok(()),
            _ => Err(EvalError::setting("jpeg", "a quality of 1 to 100", quality)),
        }
    }

    fn code(&self, clip: &Tensor) -> Coded {
        let size = clip.size();
        let (b, h, w) = (size[0], size[3], size[4]);
        let mut images = Vec::new();
        let mut bytes = 0;
        for frame in to_frames(&clip.to_device(Device::Cpu)).unbind(0) {
            let pixels: Vec<u8> = Vec::try_from(frame.contiguous().flatten(0, -1))?;
            let mut file = Vec::new();
            let encoder = Encoder::new(&mut file, self.quality);
            encoder.encode(&pixels, u16::try_from(w)?, u16::try_from(h)?, ColorType::Rgb)?;
            bytes += file.len();
            let image = JpegDecoder::new(Cursor::new(file)).decode()?;
            images.push(Tensor::from_slice(&image).view([h, w, 3]));
        }
        let frames = Tensor::stack(&images, 0).view([b, -1, h, w, 3]);
        let clip = to_model_range(&frames).to_device(clip.device()).to_kind(Kind::Float);
        Ok((clip, Some(8.0 * bytes as f64)))
    }
}

impl Codec for Jpeg {
    fn name(&self) -> &str {
        &self.name
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![("quality", self.quality.to_string())]
    }

    fn window(&self) -> usize {
        WINDOW
    }

    fn start(&self, _clip: [i64; 3], _frame_rate: FrameRate) -> Box<dyn Reconstructor + '_> {
        Box::new(EachPush { codec: &self.name, code: |clip: &Tensor| self.code(clip) })
    }
}
