//! One video of a list: probed when it is first needed, with its frames cached while memory is left.
//!
//! Frames are resized once and cached as bytes. A video that does not fit is decoded again for each clip, from its
//! beginning up to the clip: the same pixels, at the cost of a decoder run per clip.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tch::Tensor;
use vidtok_core::{FrameRate, FrameSource, VideoError, VideoInfo};

use crate::clips::camera::{Photograph, Shot};
use crate::clips::frame_cache::{CacheBudget, CachedFrames};
use crate::clips::index::Index;
use crate::clips::procedural::Scene;
use crate::clips::skipped::ClipError;
use crate::error::LoadError;
use crate::ffmpeg::notice::Notice;
use crate::ffmpeg::program::locate::Ffmpeg;
use crate::ffmpeg::program::stop::Stop;
use crate::ffmpeg::read::stream_format::StreamFormat;
use crate::input::path_text::path_text;
use crate::input::{InputOptions, InputReader};
use crate::transform::{resize_frames, resized_size};

/// Frames decoded and resized at a time.
const CHUNK: usize = 16;
/// Frames of a procedural video: 6 seconds.
const SCENE_FRAMES: u64 = 150;
/// Frames per second of a procedural video.
const SCENE_RATE: FrameRate = match FrameRate::new(25, 1) {
    Some(rate) => rate,
    None => unreachable!(),
};

/// A video of a list.
#[derive(Debug)]
pub(crate) struct Video {
    origin: Origin,
    state: Mutex<State>,
    /// Why the video is skipped, if it is.
    skipped: OnceLock<String>,
}

/// The source of a video's frames.
#[derive(Debug)]
pub(crate) enum Origin {
    File { inputs: Arc<Inputs>, path: PathBuf },
    Scene { seed: u64, size: [i64; 2] },
}

/// How the files of a list are read.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) ffmpeg: Ffmpeg,
    pub(crate) options: InputOptions,
    pub(crate) shorter_side: i64,
}

#[derive(Debug, Default)]
struct State {
    facts: Option<VideoFacts>,
    /// Whether the facts come from an earlier run, and the video was not probed in this one.
    is_recalled: bool,
    cached: Option<Arc<CachedFrames>>,
}

/// The facts about a video that clips depend on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct VideoFacts {
    info: VideoInfo,
    format: StreamFormat,
    /// `[height, width]` after resizing.
    pub(crate) size: [i64; 2],
}

/// The frames and pixels of a clip.
#[derive(Clone, Debug)]
pub(crate) struct ClipRegion {
    /// Frame indices, not descending.
    pub(crate) indices: Vec<u64>,
    /// `[top, left]`.
    pub(crate) offset: [i64; 2],
    /// `[height, width]`.
    pub(crate) size: [i64; 2],
    /// Whether the clip is mirrored left to right.
    pub(crate) mirrored: bool,
    /// How the clip is filmed from the region of the first frame, if it is.
    pub(crate) shot: Option<Shot>,
}

impl VideoFacts {
    pub(crate) fn frames(&self) -> u64 {
        self.info.frames
    }

    pub(crate) fn info(&self) -> &VideoInfo {
        &self.info
    }

    /// The description of the video's first `frames` frames.
    pub(crate) fn up_to(&self, frames: u64) -> VideoInfo {
        VideoInfo { frames, ..self.info.clone() }
    }

    fn frame_bytes(&self) -> u64 {
        (self.size[0] * self.size[1] * 3) as u64
    }

    fn bytes(&self) -> u64 {
        self.info.frames.saturating_mul(self.frame_bytes())
    }
}

impl Inputs {
    fn facts(&self, (info, format): (VideoInfo, StreamFormat)) -> VideoFacts {
        VideoFacts { size: resized_size([info.height, info.width], self.shorter_side), info, format }
    }

    fn reader(&self, path: &Path, facts: &VideoFacts, stop: &Stop) -> Result<InputReader, VideoError> {
        InputReader::with_info(&self.ffmpeg.until(stop), path, (&facts.info, &facts.format), &self.options)
    }
}

impl Video {
    pub(crate) fn new(origin: Origin) -> Self {
        Self { origin, state: Mutex::default(), skipped: OnceLock::new() }
    }

    pub(crate) fn name(&self) -> Cow<'_, str> {
        match &self.origin {
            Origin::File { path, .. } => path_text(path),
            Origin::Scene { seed, .. } => format!("scene {seed}").into(),
        }
    }

    /// Why the video is skipped, if it is.
    pub(crate) fn skip_reason(&self) -> Option<&str> {
        self.skipped.get().map(String::as_str)
    }

    /// Skips the video. Returns false if it already was.
    pub(crate) fn skip(&self, reason: String) -> bool {
        self.state().cached = None;
        self.skipped.set(reason).is_ok()
    }

    /// The facts about the video, recalled from an earlier run or probed the first time.
    pub(crate) fn facts(&self, index: &Index, stop: &Stop) -> Result<VideoFacts, ClipError> {
        // Holding the lock makes other threads wait instead of probing the same video.
        let mut state = self.state();
        if let Some(facts) = &state.facts {
            return Ok(facts.clone());
        }
        let recalled = match &self.origin {
            Origin::File { inputs, path } => index.recall(path).map(|known| inputs.facts(known)),
            Origin::Scene { .. } => None,
        };
        state.is_recalled = recalled.is_some();
        let facts = recalled.map_or_else(|| self.probe(index, stop), Ok)?;
        Ok(state.facts.insert(facts).clone())
    }

    /// The facts about the video, probed in this run.
    pub(crate) fn probed_facts(&self, index: &Index, stop: &Stop) -> Result<VideoFacts, ClipError> {
        let mut state = self.state();
        if let Some(facts) = state.facts.as_ref().filter(|_| !state.is_recalled) {
            return Ok(facts.clone());
        }
        self.probe_again(&mut state, index, stop)
    }

    fn probe_again(&self, state: &mut State, index: &Index, stop: &Stop) -> Result<VideoFacts, ClipError> {
        let facts = self.probe(index, stop)?;
        *state = State { facts: Some(facts.clone()), is_recalled: false, cached: None };
        Ok(facts)
    }

    fn probe(&self, index: &Index, stop: &Stop) -> Result<VideoFacts, ClipError> {
        Ok(match &self.origin {
            Origin::File { inputs, path } => {
                inputs.facts(index.probe(&inputs.ffmpeg.until(stop), path, &inputs.options)?)
            }
            Origin::Scene { size, .. } => {
                let [height, width] = *size;
                let info = VideoInfo { width, height, frame_rate: SCENE_RATE, frames: SCENE_FRAMES, times: None };
                VideoFacts { info, format: StreamFormat::default(), size: *size }
            }
        })
    }

    /// What users should know about how the frames are read.
    pub(crate) fn notices(&self, facts: &VideoFacts) -> Vec<Notice> {
        match &self.origin {
            Origin::File { inputs, .. } => inputs.ffmpeg.notices(&facts.format, inputs.options.read),
            Origin::Scene { .. } => Vec::new(),
        }
    }

    /// Appends the bytes of a clip to `pixels`.
    pub(crate) fn append_clip(
        &self,
        facts: &VideoFacts,
        region: &ClipRegion,
        (index, budget): (&Index, &Arc<CacheBudget>),
        stop: &Stop,
        pixels: &mut Vec<u8>,
    ) -> Result<(), ClipError> {
        let mut append = || -> Result<(), ClipError> {
            if let Some(shot) = &region.shot {
                let still = ClipRegion { shot: None, ..region.clone() };
                let mut photograph = Vec::new();
                self.append_clip(facts, &still, (index, budget), stop, &mut photograph)?;
                let [height, width] = region.size.map(|side| side as usize);
                pixels.extend(shot.film(Photograph { pixels: &photograph, height, width }));
                return Ok(());
            }
            match self.cached(facts, budget, stop)? {
                Some(cached) => append_region(pixels, &cached.frames, facts, region, region.indices.iter().copied()),
                None => append_region(pixels, &self.frames_at(facts, &region.indices, stop)?, facts, region, 0..),
            }
            Ok(())
        };
        match append() {
            Err(ClipError::Skipped(reason)) if !stop.is_stopped() => Err(self.blame(facts, index, stop, reason)),
            result => result,
        }
    }

    /// Decides why no clip could be made: the video may be intact and the facts wrong.
    fn blame(&self, facts: &VideoFacts, index: &Index, stop: &Stop, reason: String) -> ClipError {
        let mut state = self.state();
        match &state.facts {
            Some(known) if known != facts => ClipError::Outdated,
            _ if !state.is_recalled => ClipError::Skipped(reason),
            _ => self.probe_again(&mut state, index, stop).err().unwrap_or(ClipError::Outdated),
        }
    }

    /// All frames, decoded on first use; `None` if the budget has no room for them.
    fn cached(
        &self,
        facts: &VideoFacts,
        budget: &Arc<CacheBudget>,
        stop: &Stop,
    ) -> Result<Option<Arc<CachedFrames>>, ClipError> {
        let mut state = self.state();
        if state.facts.as_ref().is_some_and(|known| known != facts) {
            return Err(ClipError::Outdated);
        }
        if let Some(cached) = &state.cached {
            return Ok(Some(Arc::clone(cached)));
        }
        let Some(reservation) = budget.reserve(facts.bytes()) else {
            return Ok(None);
        };
        let cached = Arc::new(CachedFrames { frames: self.all_frames(facts, stop)?, _reservation: reservation });
        Ok(Some(Arc::clone(state.cached.insert(cached))))
    }

    fn all_frames(&self, facts: &VideoFacts, stop: &Stop) -> Result<Vec<u8>, ClipError> {
        let mut pixels = Vec::with_capacity(facts.bytes() as usize);
        match &self.origin {
            Origin::File { inputs, path } => {
                let mut reader = inputs.reader(path, facts, stop)?;
                while let Some(chunk) = reader.next_frames(CHUNK)? {
                    append(&mut pixels, &resize_frames(&chunk, inputs.shorter_side));
                }
            }
            Origin::Scene { seed, size } => {
                let scene = Scene::new(*seed);
                let times: Vec<_> = (0..facts.frames()).map(scene_time).collect();
                for chunk in times.chunks(CHUNK) {
                    if stop.is_stopped() {
                        return Err(LoadError::Stopped.into());
                    }
                    append(&mut pixels, &scene.frames(chunk, *size));
                }
            }
        }
        Ok(pixels)
    }

    /// The frames with these indices, decoded or rendered again.
    fn frames_at(&self, facts: &VideoFacts, indices: &[u64], stop: &Stop) -> Result<Vec<u8>, ClipError> {
        let frames = match &self.origin {
            Origin::File { inputs, path } => {
                resize_frames(&inputs.reader(path, facts, stop)?.frames_at(indices)?, inputs.shorter_side)
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
        // Fields are assigned whole, so a panic cannot leave one half-written.
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

/// Appends a region whose frames are at these positions among `frames`.
fn append_region(
    pixels: &mut Vec<u8>,
    frames: &[u8],
    facts: &VideoFacts,
    region: &ClipRegion,
    positions: impl Iterator<Item = u64>,
) {
    let ([top, left], [height, width]) = (region.offset, region.size);
    for position in positions.take(region.indices.len()) {
        for row in top..top + height {
            let start = (position * facts.frame_bytes()) as usize + ((row * facts.size[1] + left) * 3) as usize;
            let row = &frames[start..start + width as usize * 3];
            if region.mirrored {
                pixels.extend(row.as_chunks::<3>().0.iter().rev().flatten());
            } else {
                pixels.extend_from_slice(row);
            }
        }
    }
}
