//! Reading and writing videos, sampling frames, transforms, and loaders of training clips.
//!
//! Frames are uint8 `[t, h, w, 3]` RGB until they become clips, float `[b, 3, t, h, w]` in [-1, 1].
//!
//! ```no_run
//! use vidtok_data::{
//!     Ffmpeg, FrameSink, FrameSource, VideoQuality, VideoReader, VideoWriter, to_frames, to_model_range,
//! };
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
//! [`InputReader`] also reads images the same way: a folder of frames, or a single image.
//!
//! Random training clips, here of synthetic scenes. A listed video that cannot be read is skipped, and the clip
//! comes from another video.
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
//! let spec = ClipSpec { rule, size: [32, 32], shorter_side: 32, crop: Crop::Random, flip: true, held_out, filmed: false };
//! let clips = Arc::new(ClipSet::open(&library, Source::Procedural { scenes: 2, seed: 0 }, spec)?);
//! let options = LoaderOptions { batch: 4, rank: WorldRank::SINGLE, seed: 0, first_step: 0, workers: 2, prefetch: 2 };
//! for batch in Loader::start(Arc::clone(&clips), options)?.take(3) {
//!     assert_eq!(batch?.clips.size(), [4, 3, 5, 32, 32]);
//! }
//! assert_eq!(clips.held_out()?.len(), 2);
//! assert!(library.skipped().is_empty());
//! # Ok::<(), vidtok_data::LoadError>(())
//! ```
//!
//! # Layers
//! Imports run downwards: `clips` (training) and `videos` (whole videos) use `input` (any input), which uses `ffmpeg`
//! (video files); all may use `sampling`, `transform`, `json_lines` and `parallel`, which states how thread pools share
//! the cores.

mod clips;
mod error;
mod ffmpeg;
mod input;
mod json_lines;
mod parallel;
mod sampling;
mod transform;
mod videos;

pub use clips::clip_set::{Batch, ClipSet, ClipSpec, Crop, HeldOut, Source};
pub use clips::library::{Library, LibraryOptions};
pub use clips::loader::{Loader, LoaderOptions};
pub use clips::mixture::Mixture;
pub use clips::procedural::Scene;
pub use clips::skipped::SkippedVideo;
pub use error::LoadError;
pub use ffmpeg::notice::{HdrTransfer, Notice};
pub use ffmpeg::program::locate::Ffmpeg;
pub use ffmpeg::program::stop::Stop;
pub use ffmpeg::read::read_options::{Hdr, ReadOptions, Reading};
pub use ffmpeg::read::reader::VideoReader;
pub use ffmpeg::timeline::Timeline;
pub use ffmpeg::write_options::{VideoQuality, WriteOptions};
pub use ffmpeg::writer::{Destination, VideoWriter};
pub use input::fault::video_fault;
pub use input::file_stamp::FileStamp;
pub use input::frame_folder::FrameFolder;
pub use input::left_out::LeftOut;
pub use input::list::{VideoList, find_images, find_videos, list_videos, read_video_list};
pub use input::list_error::DatasetError;
pub use input::path_text::path_text;
pub use input::retry::RetryPolicy;
pub use input::{InputOptions, InputReader};
pub use json_lines::JsonLines;
pub use parallel::start_thread_pool;
pub use sampling::{ClipRule, Sampling, interval};
pub use transform::{
    center_crop, center_offset, cover, fit, resize_frames, resize_shorter_side, resized_size, to_unit_range,
};
pub use videos::ahead::{AheadInfo, AheadVideo, DecodeAhead};
pub use videos::prepared::{Preparation, PreparedVideo};
pub use vidtok_core::{FrameSink, FrameSource, to_frames, to_model_range};
