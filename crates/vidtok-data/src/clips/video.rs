//! One entry of a list of videos: looked at when it is first needed, its frames kept where there is room.
//!
//! Frames are resized once and kept as bytes. A video that finds no room is decoded anew for each clip, from its
//! beginning up to the clip: the same pixels, at the cost of a decoder run each.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tch::Tensor;
use vidtok_core::{FrameRate, FrameSource, VideoError, VideoInfo};

use crate::clips::frame_cache::{Budget, Kept};
use crate::clips::index::Index;
use crate::clips::procedural::Scene;
use crate::clips::quarantine::Fault;
use crate::error::LoadError;
use crate::ffmpeg::locate::Ffmpeg;
use crate::ffmpeg::picture::Picture;
use crate::ffmpeg::stop::Stop;
use crate::input::notice::Notice;
use crate::input::path_text::path_text;
use crate::input::{InputOptions, InputReader};
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
    facts: Option<Facts>,
    /// Whether the facts are from an earlier run, and nothing has been looked at in this one.
    is_recalled: bool,
    kept: Option<Arc<Kept>>,
}

/// What is known of a video.
#[derive(Clone, Debug, PartialEq)]
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

    fn frame_bytes(&self) -> u64 {
        (self.size[0] * self.size[1] * 3) as u64
    }

    fn bytes(&self) -> u64 {
        self.info.frames.saturating_mul(self.frame_bytes())
    }
}

impl Inputs {
    fn facts(&self, (info, picture): (VideoInfo, Picture)) -> Facts {
        Facts { size: resized_size([info.height, info.width], self.shorter_side), info, picture }
    }

    fn reader(&self, path: &Path, facts: &Facts, stop: &Stop) -> Result<InputReader, VideoError> {
        InputReader::with_info(&self.ffmpeg.until(stop), path, (&facts.info, &facts.picture), &self.options)
    }
}

impl Video {
    pub(crate) fn new(origin: Origin) -> Self {
        Self { origin, state: Mutex::default(), fault: OnceLock::new() }
    }

    pub(crate) fn name(&self) -> Cow<'_, str> {
        match &self.origin {
            Origin::File { path, .. } => path_text(path),
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

    /// Looks at the video, the first time, or recalls what is known of it from an earlier run.
    pub(crate) fn facts(&self, index: &Index, stop: &Stop) -> Result<Facts, Fault> {
        // Who waits here would otherwise decode the same video once more.
        let mut state = self.state();
        if let Some(facts) = &state.facts {
            return Ok(facts.clone());
        }
        let recalled = match &self.origin {
            Origin::File { inputs, path } => index.recall(path).map(|known| inputs.facts(known)),
            Origin::Scene { .. } => None,
        };
        state.is_recalled = recalled.is_some();
        let facts = recalled.map_or_else(|| self.look(index, stop), Ok)?;
        Ok(state.facts.insert(facts).clone())
    }

    /// The facts by a look of this run.
    pub(crate) fn checked_facts(&self, index: &Index, stop: &Stop) -> Result<Facts, Fault> {
        let mut state = self.state();
        if let Some(facts) = state.facts.as_ref().filter(|_| !state.is_recalled) {
            return Ok(facts.clone());
        }
        self.look_again(&mut state, index, stop)
    }

    fn look_again(&self, state: &mut State, index: &Index, stop: &Stop) -> Result<Facts, Fault> {
        let facts = self.look(index, stop)?;
        *state = State { facts: Some(facts.clone()), is_recalled: false, kept: None };
        Ok(facts)
    }

    fn look(&self, index: &Index, stop: &Stop) -> Result<Facts, Fault> {
        Ok(match &self.origin {
            Origin::File { inputs, path } => {
                inputs.facts(index.look(&inputs.ffmpeg.until(stop), path, &inputs.options)?)
            }
            Origin::Scene { size, .. } => {
                let [height, width] = *size;
                let info = VideoInfo { width, height, frame_rate: SCENE_RATE, frames: SCENE_FRAMES, times: None };
                Facts { info, picture: Picture::default(), size: *size }
            }
        })
    }

    /// What a user should know of how its frames are read.
    pub(crate) fn notices(&self, facts: &Facts) -> Vec<Notice> {
        match &self.origin {
            Origin::File { inputs, .. } => inputs.ffmpeg.notices(&facts.picture, inputs.options.read),
            Origin::Scene { .. } => Vec::new(),
        }
    }

    /// Appends the bytes of a cut to `pixels`.
    pub(crate) fn cut(
        &self,
        facts: &Facts,
        cut: &Cut,
        (index, budget): (&Index, &Arc<Budget>),
        stop: &Stop,
        pixels: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let mut append = || -> Result<(), Fault> {
            match self.kept(facts, budget, stop)? {
                Some(kept) => append_cut(pixels, &kept.frames, facts, cut, cut.indices.iter().copied()),
                None => append_cut(pixels, &self.frames_at(facts, &cut.indices, stop)?, facts, cut, 0..),
            }
            Ok(())
        };
        match append() {
            Err(Fault::Unusable(reason)) if !stop.is_stopped() => Err(self.blame(facts, index, stop, reason)),
            result => result,
        }
    }

    /// Why no clip could be made by `facts`: the video may well be whole, and they wrong.
    fn blame(&self, facts: &Facts, index: &Index, stop: &Stop, reason: String) -> Fault {
        let mut state = self.state();
        match &state.facts {
            Some(known) if known != facts => Fault::Outdated,
            _ if !state.is_recalled => Fault::Unusable(reason),
            _ => self.look_again(&mut state, index, stop).err().unwrap_or(Fault::Outdated),
        }
    }

    /// All frames, from memory if they have been needed before; none if there is no room for them.
    fn kept(&self, facts: &Facts, budget: &Arc<Budget>, stop: &Stop) -> Result<Option<Arc<Kept>>, Fault> {
        let mut state = self.state();
        if state.facts.as_ref().is_some_and(|known| known != facts) {
            return Err(Fault::Outdated);
        }
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
            Origin::File { inputs, path } => {
                let mut reader = inputs.reader(path, facts, stop)?;
                while let Some(chunk) = reader.next_frames(CHUNK)? {
                    append(&mut pixels, &resize_frames(&chunk, inputs.shorter_side));
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
        // The fields are set in one piece, so a panic cannot leave half of one behind.
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
