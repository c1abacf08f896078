//! H.264.

use tch::Tensor;
use vidtok_core::{Codec, FrameRate, FrameSink, FrameSource, Reconstructor};
use vidtok_data::{Ffmpeg, VideoQuality, VideoReader, VideoWriter, to_frames, to_model_range};

use crate::codecs::WINDOW;
use crate::codecs::reconstructors::{Coded, WholeClip};
use crate::error::EvalError;

/// H.264 at a bitrate: libx264 with its default preset, 4:2:0 for even sizes. Each clip is coded as a separate file.
#[derive(Debug)]
pub struct H264 {
    name: String,
    kilobits: u32,
    ffmpeg: Ffmpeg,
}

impl H264 {
    /// H.264 at a bitrate in kilobits per second.
    ///
    /// # Errors
    /// If ffmpeg is not found, or the bitrate is not from 1 to 1,000,000.
    pub fn new(kilobits: u32) -> Result<Self, EvalError> {
        Self::check(kilobits)?;
        Ok(Self { name: format!("h264:{kilobits}k"), kilobits, ffmpeg: Ffmpeg::locate()? })
    }

    /// Checks the range of the bitrate.
    pub(crate) fn check(kilobits: u32) -> Result<(), EvalError> {
        match kilobits {
            1..=1_000_000 => Ok(()),
            _ => Err(EvalError::setting("h264", "a bitrate of 1k to 1000000k", format!("{kilobits}k"))),
        }
    }

    fn code(&self, clip: &Tensor, frame_rate: FrameRate) -> Coded {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("clip.mp4");
        let size = clip.size();
        let mut clips = Vec::new();
        let mut bytes = 0;
        for clip in clip.split(1, 0) {
            let quality = VideoQuality::Bitrate(self.kilobits);
            let mut writer = VideoWriter::create(&self.ffmpeg, &path, [size[3], size[4]], frame_rate, quality)?;
            writer.write(&to_frames(&clip))?;
            writer.finish()?;
            bytes += path.metadata()?.len();
            let mut reader = VideoReader::open(&self.ffmpeg, &path)?;
            let mut parts = Vec::new();
            while let Some(frames) = reader.next_frames(WINDOW)? {
                parts.push(to_model_range(&frames));
            }
            clips.push(Tensor::cat(&parts, 2));
        }
        Ok((Tensor::cat(&clips, 0).to_device(clip.device()), Some(8.0 * bytes as f64)))
    }
}

impl Codec for H264 {
    fn name(&self) -> &str {
        &self.name
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![("kilobits_per_second", self.kilobits.to_string())]
    }

    fn window(&self) -> usize {
        WINDOW
    }

    fn start(&self, clip: [i64; 3], frame_rate: FrameRate) -> Box<dyn Reconstructor + '_> {
        Box::new(WholeClip::new(&self.name, clip[0], move |clip: &Tensor| self.code(clip, frame_rate)))
    }
}
