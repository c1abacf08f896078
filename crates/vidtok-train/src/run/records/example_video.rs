//! The example video of a stage: a clip beside its reconstruction.

use std::path::Path;

use tch::Tensor;
use vidtok::{MemoryPlan, StreamReconstructor, Tokenizer, Work};
use vidtok_core::{FrameRate, FrameSink, FrameSource, Reconstructed, VideoError};
use vidtok_data::{
    Destination, Ffmpeg, InputOptions, InputReader, Scene, Timeline, VideoWriter, WriteOptions, center_offset,
    resize_frames, to_frames, to_model_range,
};

use crate::error::TrainError;

/// Frames per example.
const FRAMES: i64 = 75;

/// The source of the frames.
pub(crate) enum Example<'a> {
    /// A video file, or a folder of frames.
    Video(&'a Path, InputOptions),
    /// The procedural scene with this seed.
    Scene(u64),
}

/// Small clips are enlarged by the largest integer factor that keeps their shorter side within this.
const SHOWN_SIDE: i64 = 256;

/// Writes the first seconds of a clip on the left of its reconstruction. Frames are resized to a shorter side of `side`
/// pixels and cropped to the middle `crop` (height, width), if given.
pub(crate) fn write(
    tokenizer: &Tokenizer,
    ffmpeg: &Ffmpeg,
    example: &Example<'_>,
    (side, crop): (i64, Option<[i64; 2]>),
    video: &Path,
) -> Result<(), TrainError> {
    let (mut frames, timeline) = read(ffmpeg, example, side)?;
    if let Some([height, width]) = crop {
        let size = frames.size();
        let [top, left] = center_offset([size[1], size[2]], [height, width]);
        frames = frames.narrow(1, top, height).narrow(2, left, width);
    }
    let size = frames.size();
    let (t, h, w) = (size[0], size[1], size[2]);
    let chunk = MemoryPlan::fit(tokenizer, Work::Reconstruct, [t, h, w], None, None)?.frames;
    let mut stream = StreamReconstructor::new(tokenizer, [t, h, w], None);
    let enlarged = (SHOWN_SIDE / side).max(1);
    let shown = [h * enlarged, 2 * w * enlarged];
    let options = WriteOptions { player_friendly: true, ..WriteOptions::default() };
    let destination = Destination::File(video.to_owned());
    let mut writer = VideoWriter::with_timeline(ffmpeg, destination, shown, &timeline, options)?;
    for start in (0..t).step_by(chunk as usize) {
        let part = frames.narrow(0, start, chunk.min(t - start));
        let Some(Reconstructed { input, reconstruction, .. }) = stream.push(&to_model_range(&part))? else { continue };
        let both = to_frames(&Tensor::cat(&[input.to_device(reconstruction.device()), reconstruction], 4));
        let both = [1, 2].into_iter().fold(both, |x, axis| x.repeat_interleave_self_int(enlarged, axis, None));
        writer.write(&both)?;
    }
    Ok(writer.finish()?)
}

/// The frames, uint8 `[t, h, w, 3]`, and their times.
fn read(ffmpeg: &Ffmpeg, example: &Example<'_>, side: i64) -> Result<(Tensor, Timeline), VideoError> {
    match example {
        Example::Video(path, input) => {
            let mut reader = InputReader::open(ffmpeg, *path, input)?;
            let timeline = Timeline::of(reader.info());
            let mut parts = Vec::new();
            let mut count = 0;
            while let Some(frames) = reader.next_frames((FRAMES - count).clamp(0, 16) as usize)? {
                count += frames.size()[0];
                parts.push(resize_frames(&frames, side));
                if count >= FRAMES {
                    break;
                }
            }
            Ok((Tensor::cat(&parts, 0), timeline))
        }
        Example::Scene(seed) => {
            let rate = FrameRate::from_f64(25.0).ok_or_else(|| VideoError::Empty { path: "scene".into() })?;
            let times: Vec<f64> = (0..FRAMES).map(|i| i as f64 / rate.as_f64()).collect();
            Ok((Scene::new(*seed).frames(&times, [side, side * 4 / 3]), Timeline::even(rate)))
        }
    }
}
