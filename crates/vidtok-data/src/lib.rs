//! Video in and out, sampling, transforms and loaders.
//!
//! Frames are uint8 `[t, h, w, 3]` RGB until they become clips, float `[b, 3, t, h, w]` in [-1, 1].
//!
//! ```no_run
//! use vidtok_core::{FrameSink, FrameSource};
//! use vidtok_data::{Ffmpeg, Quality, VideoReader, VideoWriter, to_frames, to_model_range};
//!
//! let ffmpeg = Ffmpeg::locate()?;
//! let mut reader = VideoReader::open(&ffmpeg, "in.mp4")?;
//! let info = reader.info().clone();
//! let size = [info.height, info.width];
//! let mut writer = VideoWriter::create(&ffmpeg, "out.mp4", size, info.frame_rate, Quality::default())?;
//! while let Some(frames) = reader.next_frames(16)? {
//!     let clip = to_model_range(&frames); // [1, 3, t, h, w]
//!     writer.write(&to_frames(&clip))?;
//! }
//! Box::new(writer).finish()?;
//! # Ok::<(), vidtok_core::VideoError>(())
//! ```
//!
//! Random clips for training, here made up:
//!
//! ```
//! use std::sync::Arc;
//! use vidtok_data::{ClipRule, ClipSet, ClipSpec, Crop, Loader, LoaderOptions, Source};
//!
//! let rule = ClipRule { frames: 5, sample_fps: None };
//! let spec = ClipSpec { rule, size: [32, 32], shorter_side: 32, crop: Crop::Random, held_out: 1 };
//! let clips = Arc::new(ClipSet::open(Source::Procedural { scenes: 2, seed: 0 }, spec, 1 << 30)?);
//! let options = LoaderOptions { batch: 4, seed: 0, first_step: 0, workers: 2, prefetch: 2 };
//! for batch in Loader::start(Arc::clone(&clips), options)?.take(3) {
//!     assert_eq!(batch?.size(), [4, 3, 5, 32, 32]);
//! }
//! assert_eq!(clips.held_out()?.len(), 2);
//! # Ok::<(), vidtok_data::LoadError>(())
//! ```

mod dataset;
mod ffmpeg;
mod loader;
mod procedural;
mod sampling;
mod transform;

pub use dataset::{DatasetError, read_video_list};
pub use ffmpeg::{Ffmpeg, Quality, VideoReader, VideoWriter, save_png};
pub use loader::{ClipSet, ClipSpec, Crop, LoadError, Loader, LoaderOptions, Source};
pub use procedural::Scene;
pub use sampling::{ClipRule, Window, evaluation_windows, interval};
pub use transform::{
    center_crop, center_offset, cover, fit, resize_frames, resize_shorter_side, resized_size, to_frames,
    to_model_range, to_unit_range,
};
