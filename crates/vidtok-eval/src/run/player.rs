//! Videos for the page: input, reconstruction and difference side by side.

use std::fs;
use std::path::{Path, PathBuf};

use tch::Tensor;
use vidtok_core::{FrameRate, FrameSink};
use vidtok_data::{Ffmpeg, VideoQuality, VideoWriter, WriteOptions, to_frames};
use vidtok_report::difference;

use crate::error::EvalError;
use crate::run::file_stem;

/// How much differences are amplified.
const DIFFERENCE_GAIN: f64 = 4.0;

/// The path of the player for a codec and a video, in the folder of the results.
pub(crate) fn player_path(out: &Path, codec: &str, video: &str) -> PathBuf {
    out.join("players").join(file_stem(codec)).join(file_stem(video) + ".mp4")
}

/// Writes a player.
pub(super) struct Player {
    writer: VideoWriter,
}

impl Player {
    /// Starts a player for frames of `[h, w]`.
    pub(super) fn new(ffmpeg: &Ffmpeg, path: &Path, [h, w]: [i64; 2], rate: FrameRate) -> Result<Self, EvalError> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(EvalError::file(folder))?;
        }
        // Browsers must be able to play it.
        let options = WriteOptions { quality: VideoQuality::Crf(23), player_friendly: true };
        let writer = VideoWriter::create(ffmpeg, path, [h, 3 * w], rate, options).map_err(EvalError::Player)?;
        Ok(Self { writer })
    }

    /// Writes the first `count` frames of consecutive windows `[b, 3, t, h, w]` in [-1, 1].
    pub(super) fn write(&mut self, input: &Tensor, reconstruction: &Tensor, count: i64) -> Result<(), EvalError> {
        let mut left = count;
        for (input, reconstruction) in input.split(1, 0).into_iter().zip(reconstruction.split(1, 0)) {
            let frames = left.min(input.size()[2]);
            left -= frames;
            if frames == 0 {
                break;
            }
            let [input, reconstruction] = [input, reconstruction].map(|clip| clip.narrow(2, 0, frames));
            let difference = difference(&input, &reconstruction, DIFFERENCE_GAIN)?.unsqueeze(0);
            let frames = to_frames(&Tensor::cat(&[input, reconstruction, difference], 4));
            self.writer.write(&frames).map_err(EvalError::Player)?;
        }
        Ok(())
    }

    /// Completes the file.
    pub(super) fn finish(mut self) -> Result<(), EvalError> {
        self.writer.finish().map_err(EvalError::Player)
    }
}
