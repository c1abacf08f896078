//! Video in and out, sampling, transforms and loaders.
//!
//! Frames are uint8 `[t, h, w, 3]` RGB until they become clips, float `[b, 3, t, h, w]` in [-1, 1].
//!
//! ```no_run
//! use vidtok_core::{FrameSink, FrameSource};
//! use vidtok_data::{Ffmpeg, VideoQuality, VideoReader, VideoWriter, to_frames, to_model_range};
//!
//! let ffmpeg = Ffmpeg::locate()?;
//! let mut reader = VideoReader::open(&ffmpeg, "in.mp4")?;
//! let info = reader.info().clone();
//! let size = [info.height, info.width];
//! let mut writer = VideoWriter::create(&ffmpeg, "out.mp4", size, info.frame_rate, VideoQuality::default())?;
//! while let Some(frames) = reader.next_frames(16)? {
//!     let clip = to_model_range(&frames); // [1, 3, t, h, w]
//!     writer.write(&to_frames(&clip))?;
//! }
//! writer.finish()?;
//! # Ok::<(), vidtok_core::VideoError>(())
//! ```
//!
//! [`InputReader`] reads the same way what may also be images: a folder of frames, or a single one.
//!
//! Random clips for training, here made up. A video of a list that cannot be read is set aside, and another takes its
//! place.
//!
//! ```
//! use std::sync::Arc;
//! use vidtok_core::WorldRank;
//! use vidtok_data::{
//!     ClipRule, ClipSet, ClipSpec, Crop, HeldOut, Library, LibraryOptions, Loader, LoaderOptions, Source,
//! };
//!
//! let library = Library::open(&LibraryOptions { cache_bytes: 1 << 30, ..LibraryOptions::default() })?;
//! let rule = ClipRule { frames: 5, sample_fps: None };
//! let held_out = HeldOut { per_video: 1, max: 8 };
//! let spec = ClipSpec { rule, size: [32, 32], shorter_side: 32, crop: Crop::Random, flip: true, held_out };
//! let clips = Arc::new(ClipSet::open(&library, Source::Procedural { scenes: 2, seed: 0 }, spec)?);
//! let options = LoaderOptions { batch: 4, share: WorldRank::SINGLE, seed: 0, first_step: 0, workers: 2, prefetch: 2 };
//! for batch in Loader::start(Arc::clone(&clips), options)?.take(3) {
//!     assert_eq!(batch?.clips.size(), [4, 3, 5, 32, 32]);
//! }
//! assert_eq!(clips.held_out()?.len(), 2);
//! assert!(library.quarantined().is_empty());
//! # Ok::<(), vidtok_data::LoadError>(())
//! ```

mod clips;
mod error;
mod ffmpeg;
mod file_stamp;
mod input;
mod json_lines;
mod sampling;
mod transform;
mod videos;

pub use clips::clip_set::{Batch, ClipSet, ClipSpec, Crop, HeldOut, Source};
pub use clips::library::{Library, LibraryOptions};
pub use clips::loader::{Loader, LoaderOptions};
pub use clips::mixture::Mixture;
pub use clips::procedural::Scene;
pub use clips::quarantine::{Quarantined, unusable};
pub use error::LoadError;
pub use ffmpeg::locate::Ffmpeg;
pub use ffmpeg::reader::VideoReader;
pub use ffmpeg::stop::Stop;
pub use ffmpeg::timeline::Timeline;
pub use ffmpeg::writer::{Destination, VideoQuality, VideoWriter, WriteOptions, save_png};
pub use file_stamp::FileStamp;
pub use input::find::LeftOut;
pub use input::frame_folder::FrameFolder;
pub use input::list::{DatasetError, VideoList, find_images, find_videos, list_videos, read_video_list};
pub use input::notice::{HdrTransfer, Notice};
pub use input::path_text::path_text;
pub use input::reach::Reach;
pub use input::read_options::{Hdr, ReadOptions, Reading};
pub use input::{InputOptions, InputReader};
pub use json_lines::JsonLines;
pub use sampling::{ClipRule, Sampling, Window, evaluation_windows, interval};
pub use transform::{
    center_crop, center_offset, cover, fit, resize_frames, resize_shorter_side, resized_size, to_frames,
    to_model_range, to_unit_range,
};
pub use videos::ahead::{AheadInfo, AheadVideo, DecodeAhead};
pub use videos::prepared::{Preparation, PreparedVideo};
