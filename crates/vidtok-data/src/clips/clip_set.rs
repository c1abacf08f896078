//! Clips from a list of videos.
//!
//! A training clip depends only on the seed, the step, its position in the batch, and the videos. It is drawn in
//! attempts: each chooses a video from the whole list with its own random numbers, and if that video cannot be used,
//! the next attempt follows. So it does not matter when, or by which process, a bad video is first found, and a run
//! that resumes at step n needs no stored state.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZero;
use std::ops::{ControlFlow, Range};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};
use vidtok_core::to_model_range;

use crate::clips::camera::Shot;
use crate::clips::frame_cache::CacheBudget;
use crate::clips::library::Library;
use crate::clips::skipped::ClipError;
use crate::clips::video::{ClipRegion, Inputs, Origin, Video, VideoFacts};
use crate::error::LoadError;
use crate::ffmpeg::program::locate::Ffmpeg;
use crate::ffmpeg::program::stop::Stop;
use crate::input::InputOptions;
use crate::sampling::ClipRule;
use crate::transform::center_offset;

/// The maximum number of videos probed at once: each decoder has its own threads and memory.
const MAX_PROBES: usize = 8;

/// The source of clips.
#[derive(Clone, Debug)]
pub enum Source {
    /// Video files, folders of frames, or images, which are videos of one frame.
    Videos {
        /// The ffmpeg to read videos with.
        ffmpeg: Ffmpeg,
        /// The files. A file listed twice is chosen twice as often.
        paths: Vec<PathBuf>,
        /// How the files are opened.
        input: InputOptions,
    },
    /// Synthetic [`Scene`](crate::Scene)s of 6 seconds at 25 frames per second.
    Procedural {
        /// The number of scenes.
        scenes: usize,
        /// The seed of the first scene; the others follow it.
        seed: u64,
    },
}

/// The length, size and augmentation of clips.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipSpec {
    /// The number of frames and their rate.
    pub rule: ClipRule,
    /// `[height, width]` in pixels.
    pub size: [i64; 2],
    /// The size to which a video's shorter side is resized before cropping; the published recipe uses the height of the
    /// crop.
    pub shorter_side: i64,
    /// The position of the crop in training clips; all other clips are cropped at the centre.
    pub crop: Crop,
    /// Whether training clips are mirrored left to right with probability 1/2.
    pub flip: bool,
    /// The clips held out from training.
    pub held_out: HeldOut,
    /// Whether training clips are filmed from the first frame of each video by a random moving camera, instead of being
    /// cut from it.
    pub filmed: bool,
}

impl ClipSpec {
    /// The same specification for images: clips of one frame, none held out.
    #[must_use]
    pub fn for_images(self) -> Self {
        Self { rule: ClipRule { frames: 1, sample_fps: None }, held_out: HeldOut::NONE, ..self }
    }

    /// The same specification for photographs, of which a random camera films clips as long as those of videos: with pan,
    /// zoom, roll, perspective and pieces that float in front, and sometimes cuts, blur, flicker, noise and compression.
    /// The photographs are resized to `shorter_side`, at least the height of the clips; none are held out.
    #[must_use]
    pub fn for_photographs(self, shorter_side: i64) -> Self {
        Self { shorter_side: shorter_side.max(self.size[0]), held_out: HeldOut::NONE, filmed: true, ..self }
    }
}

/// The position of a crop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crop {
    /// The centre.
    Center,
    /// A random position, the same for all frames of a clip.
    Random,
}

/// Which clips are held out from training: the last frames of the first videos that are long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldOut {
    /// Clips at the end of each video.
    pub per_video: usize,
    /// The maximum over all videos.
    pub max: usize,
}

impl HeldOut {
    /// No clips are held out.
    pub const NONE: Self = Self { per_video: 0, max: 0 };
}

/// Clips of equal shape, and where each came from.
#[derive(Debug)]
pub struct Batch {
    /// Float `[b, 3, t, h, w]` in [-1, 1].
    pub clips: Tensor,
    /// The video and first frame of each clip, for messages.
    pub names: Vec<String>,
}

/// Videos to take clips from. Each is probed when it is first needed. Those that cannot be used are skipped, see
/// [`Library::skipped`].
#[derive(Debug)]
pub struct ClipSet {
    library: Arc<Library>,
    spec: ClipSpec,
    /// Each distinct video, in the order of the list.
    videos: Vec<Video>,
    /// The list, as indices into `videos`.
    list: Vec<usize>,
    held_out: BTreeMap<usize, HeldOutTail>,
    skipped: AtomicUsize,
}

/// The held-out end of a video.
#[derive(Clone, Debug)]
struct HeldOutTail {
    /// The first frames of the held-out clips, ascending; at least one.
    starts: Vec<u64>,
}

impl HeldOutTail {
    fn start(&self) -> u64 {
        self.starts[0]
    }
}

impl ClipSet {
    /// Opens a set, probing only as many of the first videos as it takes to find the clips to hold out.
    ///
    /// # Errors
    /// If the list is empty, the clip shape has a zero, or no video is long enough to hold out a clip.
    pub fn open(library: &Arc<Library>, source: Source, spec: ClipSpec) -> Result<Self, LoadError> {
        let ClipSpec { rule: ClipRule { frames, .. }, size: [height, width], shorter_side, .. } = spec;
        if frames < 1 || height < 1 || width < 1 || shorter_side < 1 {
            return Err(LoadError::EmptyClip { frames, height, width, shorter_side });
        }
        let (videos, list) = videos(source, &spec);
        if videos.is_empty() {
            return Err(LoadError::NoVideos);
        }
        let (library, skipped) = (Arc::clone(library), AtomicUsize::new(0));
        let mut set = Self { library, spec, videos, list, held_out: BTreeMap::new(), skipped };
        set.held_out = set.find_held_out()?;
        Ok(set)
    }

    /// The training clips of one step. Equal arguments return equal clips.
    ///
    /// # Errors
    /// If no video can be used, or for a reason unrelated to the videos: ffmpeg is missing, or memory or disk is full.
    pub fn batch(&self, seed: u64, step: u64, batch: usize) -> Result<Batch, LoadError> {
        self.part(&Stop::default(), seed, step, 0..batch)
    }

    /// The clips at these positions of the batch, or [`LoadError::Stopped`] once `stop` is set.
    pub(crate) fn part(&self, stop: &Stop, seed: u64, step: u64, positions: Range<usize>) -> Result<Batch, LoadError> {
        let mut clips = PartialBatch::default();
        for position in positions {
            self.random_clip(stop, [seed, step, position as u64], &mut clips)?;
        }
        Ok(self.finish(clips))
    }

    /// The clips that training never sees, each a batch of one: the last frames of the first videos that are long
    /// enough for [`HeldOut::per_video`] clips and one more to train on.
    ///
    /// # Errors
    /// See [`batch`](Self::batch).
    pub fn held_out(&self) -> Result<Vec<Batch>, LoadError> {
        let mut batches = Vec::new();
        for (&index, tail) in &self.held_out {
            for start in &tail.starts {
                let choose = |facts: &VideoFacts| self.spec.rule.exact_indices(facts.info(), *start);
                batches.extend(self.center_clip(index, choose)?);
            }
        }
        Ok(batches)
    }

    /// The clips from frame 0 of the first usable videos, at most `max`, each a batch of one. With a separate list of
    /// videos and 8 frames per second this is the published validation.
    ///
    /// # Errors
    /// See [`batch`](Self::batch).
    pub fn first_clips(&self, max: usize) -> Result<Vec<Batch>, LoadError> {
        let mut batches = Vec::new();
        if max == 0 {
            return Ok(batches);
        }
        let rule = self.spec.rule;
        self.scan(|index, _| {
            batches.extend(self.center_clip(index, |facts| rule.pad(rule.indices(facts.info(), 0)))?);
            Ok(if batches.len() == max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        if batches.is_empty() {
            return Err(self.no_usable_video());
        }
        Ok(batches)
    }

    /// The number of videos in the list.
    #[must_use]
    pub fn videos(&self) -> usize {
        self.list.len()
    }

    fn random_clip(&self, stop: &Stop, position: [u64; 3], clips: &mut PartialBatch) -> Result<(), LoadError> {
        for attempt in 0.. {
            if self.skipped.load(Ordering::Acquire) == self.videos.len() {
                break;
            }
            let mut rng = random_numbers(position, attempt);
            let index = self.list[rng.random_range(0..self.list.len())];
            let choose = |facts: &VideoFacts| self.random_region(index, facts, &mut rng.clone());
            if self.append_clip(index, (&self.library.budget, stop), clips, choose)? {
                return Ok(());
            }
        }
        Err(self.no_usable_video())
    }

    fn random_region(&self, index: usize, facts: &VideoFacts, rng: &mut ChaCha8Rng) -> ClipRegion {
        let ClipSpec { rule, size, crop, flip, filmed, .. } = self.spec;
        if filmed {
            let shot = Shot::new(rng.random(), rule.frames, size);
            return ClipRegion {
                indices: vec![0],
                offset: [0, 0],
                size: facts.size,
                mirrored: false,
                shot: Some(shot),
            };
        }
        let video = facts.up_to(self.held_out.get(&index).map_or(facts.frames(), HeldOutTail::start));
        let start = rule.random_start(&video, rng);
        let indices = rule.pad(rule.indices(&video, start));
        let offset = match crop {
            Crop::Center => center_offset(facts.size, size),
            Crop::Random => [0, 1].map(|axis| rng.random_range(0..=facts.size[axis] - size[axis])),
        };
        ClipRegion { indices, offset, size, mirrored: flip && rng.random(), shot: None }
    }

    /// The centre crop of the chosen frames, as a batch of one; `None` if the video is skipped.
    fn center_clip(&self, index: usize, choose: impl Fn(&VideoFacts) -> Vec<u64>) -> Result<Option<Batch>, LoadError> {
        let size = self.spec.size;
        let region = |facts: &VideoFacts| {
            let offset = center_offset(facts.size, size);
            ClipRegion { indices: choose(facts), offset, size, mirrored: false, shot: None }
        };
        let mut clips = PartialBatch::default();
        // Such a clip is made once, so its video need not be cached.
        let no_cache = CacheBudget::new(0);
        Ok(self.append_clip(index, (&no_cache, &Stop::default()), &mut clips, region)?.then(|| self.finish(clips)))
    }

    /// The facts about a video; `None` if it is skipped.
    fn facts(&self, index: usize, stop: &Stop) -> Result<Option<VideoFacts>, LoadError> {
        self.with_video(index, stop, |video| {
            let facts = video.facts(&self.library.index, stop)?;
            // Facts from the index may be out of date, so probe the video before skipping it.
            let facts = self.check_size(&facts).map_or_else(|_| self.probed_facts(video, stop), |()| Ok(facts))?;
            video.notices(&facts).into_iter().for_each(|notice| self.library.note(&video.name(), notice));
            Ok(facts)
        })
    }

    /// The facts about a video, probed in this run; `None` if it is skipped.
    fn probe(&self, index: usize, stop: &Stop) -> Result<Option<VideoFacts>, LoadError> {
        self.with_video(index, stop, |video| self.probed_facts(video, stop))
    }

    fn probed_facts(&self, video: &Video, stop: &Stop) -> Result<VideoFacts, ClipError> {
        let facts = video.probed_facts(&self.library.index, stop)?;
        self.check_size(&facts).map(|()| facts)
    }

    fn check_size(&self, facts: &VideoFacts) -> Result<(), ClipError> {
        let (resized, crop) = (facts.size, self.spec.size);
        if resized[0] < crop[0] || resized[1] < crop[1] {
            let reason = format!("resized to {resized:?} (height, width), smaller than the crop of {crop:?}");
            return Err(ClipError::Skipped(reason));
        }
        Ok(())
    }

    /// Appends the clip that `choose` selects. Returns false if the video was skipped before, or is now.
    fn append_clip(
        &self,
        index: usize,
        (budget, stop): (&Arc<CacheBudget>, &Stop),
        clips: &mut PartialBatch,
        choose: impl Fn(&VideoFacts) -> ClipRegion,
    ) -> Result<bool, LoadError> {
        // Repeats if the recorded facts turn out to be wrong.
        while let Some(facts) = self.facts(index, stop)? {
            let region = choose(&facts);
            let done = self.with_video(index, stop, |video| {
                let shared = (&self.library.index, budget);
                match video.append_clip(&facts, &region, shared, stop, &mut clips.pixels) {
                    Err(ClipError::Outdated) => return Ok(false),
                    result => result?,
                }
                let start = region.indices.first().copied().unwrap_or_default();
                clips.names.push(format!("{}, from frame {start}", video.name()));
                Ok(true)
            })?;
            match done {
                Some(false) => {}
                Some(true) => return Ok(true),
                None => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Calls `work` with a video. Returns `None` if the video is skipped, already or by this call.
    fn with_video<T>(
        &self,
        index: usize,
        stop: &Stop,
        work: impl FnOnce(&Video) -> Result<T, ClipError>,
    ) -> Result<Option<T>, LoadError> {
        let video = &self.videos[index];
        if video.skip_reason().is_some() {
            return Ok(None);
        }
        match work(video) {
            Ok(result) => Ok(Some(result)),
            // An error of a decoder that we killed says nothing about the video.
            Err(_) if stop.is_stopped() => Err(LoadError::Stopped),
            Err(ClipError::Other(error)) => Err(error),
            Err(ClipError::Outdated) => Ok(None),
            Err(ClipError::Skipped(reason)) => {
                if video.skip(reason.clone()) {
                    self.skipped.fetch_add(1, Ordering::Release);
                    self.library.skipped.add(&video.name(), &reason)?;
                }
                Ok(None)
            }
        }
    }

    /// Finds the ends of videos to hold out.
    fn find_held_out(&self) -> Result<BTreeMap<usize, HeldOutTail>, LoadError> {
        let HeldOut { per_video, max } = self.spec.held_out;
        let mut tails = BTreeMap::new();
        let mut left = max;
        let mut videos = 0;
        // Of the video that comes closest to being long enough: its duration, and the duration needed, in seconds.
        let mut longest: Option<[f64; 2]> = None;
        if per_video.min(max) == 0 {
            return Ok(tails);
        }
        self.scan(|index, facts| {
            let clips = per_video.min(left);
            videos += 1;
            let seconds = |frames: u64| frames as f64 / facts.info().frame_rate.as_f64();
            let needed = self.spec.rule.span(facts.info()).saturating_mul(clips as u64 + 1);
            let [has, needs] = [facts.frames(), needed].map(seconds);
            if longest.is_none_or(|[best, needed]| has / needs > best / needed) {
                longest = Some([has, needs]);
            }
            // Training must never see these frames, so the recorded facts are verified.
            if self.tail(facts, clips).is_some()
                && let Some(facts) = self.probe(index, &Stop::default())?
                && let Some(tail) = self.tail(&facts, clips)
            {
                tails.insert(index, tail);
                left -= clips;
            }
            Ok(if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        match longest {
            _ if !tails.is_empty() => Ok(tails),
            None => Err(self.no_usable_video()),
            Some([longest, needed]) => Err(LoadError::NothingHeldOut { clips: per_video, videos, longest, needed }),
        }
    }

    /// The last `clips` clips of a video, if one more clip fits before them to train on.
    fn tail(&self, facts: &VideoFacts, clips: usize) -> Option<HeldOutTail> {
        let rule = self.spec.rule;
        // The starts of clips from the end of the video backwards.
        let latest = rule.latest_start(facts.info());
        let mut starts: Vec<u64> =
            std::iter::successors(latest, |&start| rule.latest_start(&facts.up_to(start))).take(clips + 1).collect();
        (starts.len() > clips).then(|| {
            starts.truncate(clips);
            starts.reverse();
            HeldOutTail { starts }
        })
    }

    /// Visits the usable videos in order until `visit` breaks, probing several at a time.
    fn scan(
        &self,
        mut visit: impl FnMut(usize, &VideoFacts) -> Result<ControlFlow<()>, LoadError>,
    ) -> Result<(), LoadError> {
        let ahead = std::thread::available_parallelism().map_or(1, NonZero::get).min(MAX_PROBES);
        for first in (0..self.videos.len()).step_by(ahead) {
            let indices = first..self.videos.len().min(first + ahead);
            for (index, facts) in indices.clone().zip(self.facts_in_parallel(indices)?) {
                if let Some(facts) = facts?
                    && visit(index, &facts)?.is_break()
                {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The facts about these videos, each probed on its own thread: the threads mostly wait for their decoders.
    fn facts_in_parallel(
        &self,
        indices: Range<usize>,
    ) -> Result<Vec<Result<Option<VideoFacts>, LoadError>>, LoadError> {
        std::thread::scope(|scope| {
            let start = |index| {
                let facts = move || self.facts(index, &Stop::default());
                std::thread::Builder::new().spawn_scoped(scope, facts).map_err(LoadError::Thread)
            };
            let threads = indices.map(start).collect::<Result<Vec<_>, _>>()?;
            let join = |thread: ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|panic| Err(LoadError::panicked(&*panic)))
            };
            Ok(threads.into_iter().map(join).collect())
        })
    }

    fn no_usable_video(&self) -> LoadError {
        let first = &self.videos[0];
        let (path, reason) = (first.name().into_owned(), first.skip_reason().unwrap_or_default().to_owned());
        LoadError::NoneUsable { videos: self.list.len(), path, reason }
    }

    fn finish(&self, clips: PartialBatch) -> Batch {
        let [height, width] = self.spec.size;
        let shape = [clips.names.len() as i64, self.spec.rule.frames as i64, height, width, 3];
        let pixels = Tensor::from_data_size(&clips.pixels, &shape, Kind::Uint8);
        Batch { clips: to_model_range(&pixels), names: clips.names }
    }
}

/// A batch under construction.
#[derive(Default)]
struct PartialBatch {
    pixels: Vec<u8>,
    names: Vec<String>,
}

/// The distinct videos of a source, and its list as indices into them.
fn videos(source: Source, spec: &ClipSpec) -> (Vec<Video>, Vec<usize>) {
    match source {
        Source::Videos { ffmpeg, paths, input } => {
            let inputs = Arc::new(Inputs { ffmpeg, options: input, shorter_side: spec.shorter_side });
            let mut videos = Vec::new();
            let mut indices = HashMap::new();
            let index = |path: PathBuf| {
                *indices.entry(path.clone()).or_insert_with(|| {
                    videos.push(Video::new(Origin::File { inputs: Arc::clone(&inputs), path }));
                    videos.len() - 1
                })
            };
            let list = paths.into_iter().map(index).collect();
            (videos, list)
        }
        Source::Procedural { scenes, seed } => {
            // A third wider than the crop, so that random crops differ.
            let [height, width] = spec.size.map(|side| side.max(spec.shorter_side));
            let size = [height, width + width / 3];
            let scene = |i| Video::new(Origin::Scene { seed: seed.wrapping_add(i), size });
            ((0..scenes as u64).map(scene).collect(), (0..scenes).collect())
        }
    }
}

/// The random number generator of one attempt at `[seed, step, position]`. No two attempts share random numbers.
pub(crate) fn random_numbers([seed, step, position]: [u64; 3], attempt: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (bytes, part) in key.as_chunks_mut::<8>().0.iter_mut().zip([seed, step, position, attempt]) {
        *bytes = part.to_le_bytes();
    }
    ChaCha8Rng::from_seed(key)
}
