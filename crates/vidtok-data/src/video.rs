//! One entry of a list of videos: looked at when it is first needed, its frames kept where there is room.
//!
//! Frames are resized once and kept as bytes. A video that finds no room is decoded anew for each clip, from its
//! beginning up to the clip: the same pixels, at the cost of a decoder run each.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tch::Tensor;
use vidtok_core::{FrameRate, FrameSource, VideoInfo};

use crate::LoadError;
use crate::ffmpeg::{Ffmpeg, Picture, Stop, VideoReader};
use crate::frame_cache::{Budget, Kept};
use crate::index::Index;
use crate::notice::Notice;
use crate::procedural::Scene;
use crate::quarantine::Fault;
use crate::read_options::ReadOptions;
use crate::transform::{resize_frames, resized_size};

/// Frames that are decoded and resized at a time.
const CHUNK: usize = 16;
/// Frames of a procedural video: 6 seconds.
const SCENE_FRAMES: u64 = 150;
/// Its frames per second.
const SCENE_RATE: FrameRate = match FrameRate::new(25, 1) {
    Some(rate) => rate,
    None => panic!("no rate"),
};

/// A video of a list.
#[derive(Debug)]
pub(crate) struct Video {
    origin: Origin,
    state: Mutex<State>,
    /// Why it is set aside.
    fault: OnceLock<String>,
}

/// Where its frames come from.
#[derive(Debug)]
pub(crate) enum Origin {
    File { ffmpeg: Arc<Ffmpeg>, path: PathBuf, shorter_side: i64, options: ReadOptions },
    Scene { seed: u64, size: [i64; 2] },
}

#[derive(Debug, Default)]
struct State {
    facts: Option<Facts>,
    kept: Option<Arc<Kept>>,
}

/// What is known of a video.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    info: VideoInfo,
    picture: Picture,
    /// `[height, width]` once resized.
    pub(crate) size: [i64; 2],
}

/// What is cut out of a video.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    /// Frames, not descending.
    pub(crate) indices: Vec<u64>,
    /// `[top, left]`.
    pub(crate) offset: [i64; 2],
    /// `[height, width]`.
    pub(crate) size: [i64; 2],
    /// Whether left and right change places.
    pub(crate) mirrored: bool,
}

impl Facts {
    pub(crate) fn frames(&self) -> u64 {
        self.info.frames
    }

    pub(crate) fn info(&self) -> &VideoInfo {
        &self.info
    }

    /// The video's first `frames` frames.
    pub(crate) fn up_to(&self, frames: u64) -> VideoInfo {
        VideoInfo { frames, ..self.info.clone() }
    }

    fn reader(&self, ffmpeg: &Ffmpeg, path: &Path, options: ReadOptions) -> VideoReader {
        VideoReader::with_info(ffmpeg, path, self.info.clone()).with_picture(self.picture.clone(), options)
    }

    fn frame_bytes(&self) -> u64 {
        (self.size[0] * self.size[1] * 3) as u64
    }

    fn bytes(&self) -> u64 {
        self.info.frames.saturating_mul(self.frame_bytes())
    }
}

impl Video {
    pub(crate) fn new(origin: Origin) -> Self {
        Self { origin, state: Mutex::default(), fault: OnceLock::new() }
    }

    pub(crate) fn name(&self) -> Cow<'_, str> {
        match &self.origin {
            Origin::File { path, .. } => path.to_string_lossy(),
            Origin::Scene { seed, .. } => format!("scene {seed}").into(),
        }
    }

    /// Why it is set aside, if it is.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.fault.get().map(String::as_str)
    }

    /// Sets it aside; false if it was before.
    pub(crate) fn set_aside(&self, reason: String) -> bool {
        self.state().kept = None;
        self.fault.set(reason).is_ok()
    }

    /// Looks at the video, the first time.
    pub(crate) fn facts(&self, index: &Index, stop: &Stop) -> Result<Facts, Fault> {
        // Who waits here would otherwise decode the same video once more.
        let mut state = self.state();
        if let Some(facts) = &state.facts {
            return Ok(facts.clone());
        }
        let facts = match &self.origin {
            Origin::File { ffmpeg, path, shorter_side, .. } => {
                let (info, picture) = index.look(&ffmpeg.until(stop), path)?;
                let size = resized_size([info.height, info.width], *shorter_side);
                Facts { info, picture, size }
            }
            Origin::Scene { size, .. } => {
                let [height, width] = *size;
                let info = VideoInfo { width, height, frame_rate: SCENE_RATE, frames: SCENE_FRAMES, times: None };
                Facts { info, picture: Picture::default(), size: *size }
            }
        };
        Ok(state.facts.insert(facts).clone())
    }

    /// What a user should know of how its frames are read.
    pub(crate) fn notices(&self, facts: &Facts) -> Vec<Notice> {
        match &self.origin {
            Origin::File { ffmpeg, options, .. } => ffmpeg.notices(&facts.picture, *options),
            Origin::Scene { .. } => Vec::new(),
        }
    }

    /// Appends the bytes of a cut to `pixels`.
    pub(crate) fn cut(
        &self,
        facts: &Facts,
        cut: &Cut,
        budget: &Arc<Budget>,
        stop: &Stop,
        pixels: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        match self.kept(facts, budget, stop)? {
            Some(kept) => append_cut(pixels, &kept.frames, facts, cut, cut.indices.iter().copied()),
            None => append_cut(pixels, &self.frames_at(facts, &cut.indices, stop)?, facts, cut, 0..),
        }
        Ok(())
    }

    /// All frames, from memory if they have been needed before; none if there is no room for them.
    fn kept(&self, facts: &Facts, budget: &Arc<Budget>, stop: &Stop) -> Result<Option<Arc<Kept>>, Fault> {
        let mut state = self.state();
        if let Some(kept) = &state.kept {
            return Ok(Some(Arc::clone(kept)));
        }
        let Some(room) = budget.take(facts.bytes()) else {
            return Ok(None);
        };
        let kept = Arc::new(Kept { frames: self.all_frames(facts, stop)?, _room: room });
        Ok(Some(Arc::clone(state.kept.insert(kept))))
    }

    fn all_frames(&self, facts: &Facts, stop: &Stop) -> Result<Vec<u8>, Fault> {
        let mut pixels = Vec::with_capacity(facts.bytes() as usize);
        match &self.origin {
            Origin::File { ffmpeg, path, shorter_side, options } => {
                let mut reader = facts.reader(&ffmpeg.until(stop), path, *options);
                while let Some(chunk) = reader.next_frames(CHUNK)? {
                    append(&mut pixels, &resize_frames(&chunk, *shorter_side));
                }
            }
            Origin::Scene { seed, size } => {
                let scene = Scene::new(*seed);
                for frame in 0..facts.frames() {
                    if stop.is_stopped() {
                        return Err(LoadError::Stopped.into());
                    }
                    append(&mut pixels, &scene.frames(&[scene_time(frame)], *size));
                }
            }
        }
        Ok(pixels)
    }

    /// Some frames, made anew.
    fn frames_at(&self, facts: &Facts, indices: &[u64], stop: &Stop) -> Result<Vec<u8>, Fault> {
        let frames = match &self.origin {
            Origin::File { ffmpeg, path, shorter_side, options } => {
                let reader = facts.reader(&ffmpeg.until(stop), path, *options);
                resize_frames(&reader.frames_at(indices)?, *shorter_side)
            }
            Origin::Scene { seed, size } => {
                let times: Vec<_> = indices.iter().copied().map(scene_time).collect();
                Scene::new(*seed).frames(&times, *size)
            }
        };
        let mut pixels = Vec::new();
        append(&mut pixels, &frames);
        Ok(pixels)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Both fields are set in one piece, so a panic cannot leave half of one behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn scene_time(frame: u64) -> f64 {
    frame as f64 / SCENE_RATE.as_f64()
}

fn append(pixels: &mut Vec<u8>, frames: &Tensor) {
    let (start, count) = (pixels.len(), frames.numel());
    pixels.resize(start + count, 0);
    frames.copy_data_u8(&mut pixels[start..], count);
}

/// Appends a cut whose frames lie at these places among `frames`.
fn append_cut(pixels: &mut Vec<u8>, frames: &[u8], facts: &Facts, cut: &Cut, places: impl Iterator<Item = u64>) {
    let ([top, left], [height, width]) = (cut.offset, cut.size);
    for place in places.take(cut.indices.len()) {
        for row in top..top + height {
            let start = (place * facts.frame_bytes()) as usize + ((row * facts.size[1] + left) * 3) as usize;
            let row = &frames[start..start + width as usize * 3];
            if cut.mirrored {
                pixels.extend(row.as_chunks::<3>().0.iter().rev().flatten());
            } else {
                pixels.extend_from_slice(row);
            }
        }
    }
}
