//! Clips from a list of videos.
//!
//! A training clip is decided by `(seed, step, place in the batch)` and the videos alone. It is drawn in attempts:
//! each takes a video from the whole list, with random numbers of its own, and one that meets a video which cannot be
//! used leaves the clip to the next. So it does not matter when, or by whom, such a video was first met, and a run that
//! goes on at step n needs to store nothing.

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

use crate::clips::frame_cache::Budget;
use crate::clips::library::Library;
use crate::clips::quarantine::Fault;
use crate::clips::video::{Cut, Facts, Inputs, Origin, Video};
use crate::error::LoadError;
use crate::ffmpeg::locate::Ffmpeg;
use crate::ffmpeg::stop::Stop;
use crate::input::InputOptions;
use crate::sampling::ClipRule;
use crate::transform::{center_offset, to_model_range};

/// The most videos that are looked at ahead: each decoder has threads and memory of its own.
const LOOKS: usize = 8;

/// Where clips come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Video files, folders of frames, or images, which are videos of one frame.
    Videos {
        /// What reads videos.
        ffmpeg: Ffmpeg,
        /// The files. One that is listed twice is taken twice as often.
        paths: Vec<PathBuf>,
        /// How they are opened.
        input: InputOptions,
    },
    /// Made-up [`Scene`](crate::Scene)s of 6 seconds at 25 frames per second.
    Procedural {
        /// How many.
        scenes: usize,
        /// The seed of the first; the others follow.
        seed: u64,
    },
}

/// What a clip looks like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipSpec {
    /// Frames and their rate.
    pub rule: ClipRule,
    /// `[height, width]`.
    pub size: [i64; 2],
    /// What the shorter side of a video is resized to before the crop; the published recipe takes the height.
    pub shorter_side: i64,
    /// Where the crop lies in training clips; all others take the middle.
    pub crop: Crop,
    /// Whether every second training clip, by chance, is mirrored left to right.
    pub flip: bool,
    /// Clips that are kept apart from training.
    pub held_out: HeldOut,
}

impl ClipSpec {
    /// The same for images: clips of one frame, none held out.
    #[must_use]
    pub fn for_images(self) -> Self {
        Self { rule: ClipRule { frames: 1, sample_fps: None }, held_out: HeldOut::NONE, ..self }
    }
}

/// Where the crop lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crop {
    /// In the middle.
    Center,
    /// Anywhere, the same for all frames of a clip.
    Random,
}

/// Which clips are kept apart from training: the last frames of the first videos that are long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldOut {
    /// Clips at the end of a video.
    pub per_video: usize,
    /// Clips in all.
    pub max: usize,
}

impl HeldOut {
    /// No clip is kept apart.
    pub const NONE: Self = Self { per_video: 0, max: 0 };
}

/// Clips of one shape, and where they come from.
#[derive(Debug)]
pub struct Batch {
    /// Float `[b, 3, t, h, w]` in [-1, 1].
    pub clips: Tensor,
    /// The video of each clip and its first frame, for messages.
    pub names: Vec<String>,
}

/// Videos from which clips are cut. They are looked at when they are first needed; those that cannot be used are set
/// aside, see [`Library::quarantined`].
#[derive(Debug)]
pub struct ClipSet {
    library: Arc<Library>,
    spec: ClipSpec,
    /// Each video once, in the order in which they are first listed.
    videos: Vec<Video>,
    /// The list: places in `videos`.
    list: Vec<usize>,
    held_out: BTreeMap<usize, Tail>,
    set_aside: AtomicUsize,
}

/// The end of a video that is kept apart from training.
#[derive(Clone, Debug)]
struct Tail {
    /// The first frames of the clips, ascending; at least one.
    starts: Vec<u64>,
}

impl Tail {
    fn start(&self) -> u64 {
        self.starts[0]
    }
}

impl ClipSet {
    /// Looks at no more videos than it takes to find the clips to hold out: the first of `source`, several at a time.
    ///
    /// # Errors
    /// If there is no video, a clip is empty, or none can be held out.
    pub fn open(library: &Arc<Library>, source: Source, spec: ClipSpec) -> Result<Self, LoadError> {
        let ClipSpec { rule: ClipRule { frames, .. }, size: [height, width], shorter_side, .. } = spec;
        if frames < 1 || height < 1 || width < 1 || shorter_side < 1 {
            return Err(LoadError::EmptyClip { frames, height, width, shorter_side });
        }
        let (videos, list) = videos(source, &spec);
        if videos.is_empty() {
            return Err(LoadError::NoVideos);
        }
        let (library, set_aside) = (Arc::clone(library), AtomicUsize::new(0));
        let mut set = Self { library, spec, videos, list, held_out: BTreeMap::new(), set_aside };
        set.held_out = set.find_tails()?;
        Ok(set)
    }

    /// The training clips of one step. The same arguments give the same clips.
    ///
    /// # Errors
    /// If no video can be used, or something is wrong that lies in none of them: there is no ffmpeg, or no space.
    pub fn batch(&self, seed: u64, step: u64, batch: usize) -> Result<Batch, LoadError> {
        self.part_until(&Stop::default(), seed, step, 0..batch)
    }

    /// The clips at these places of the batch.
    pub(crate) fn part_until(
        &self,
        stop: &Stop,
        seed: u64,
        step: u64,
        places: Range<usize>,
    ) -> Result<Batch, LoadError> {
        let mut clips = Clips::default();
        for place in places {
            self.random_clip(stop, [seed, step, place as u64], &mut clips)?;
        }
        Ok(self.finish(clips))
    }

    /// The clips that training never sees, each a batch of one: the last frames of the first videos that are long
    /// enough for [`HeldOut::per_video`] clips and one to train on.
    ///
    /// # Errors
    /// As [`batch`](Self::batch).
    pub fn held_out(&self) -> Result<Vec<Batch>, LoadError> {
        let mut batches = Vec::new();
        for (&index, tail) in &self.held_out {
            for start in &tail.starts {
                let choose = |facts: &Facts| self.spec.rule.exact_indices(facts.info(), *start);
                batches.extend(self.middle(index, choose)?);
            }
        }
        Ok(batches)
    }

    /// The clips from frame 0 of the first videos that can be used, at most `max`, each a batch of one. With a list of
    /// its own and 8 frames per second this is the published validation.
    ///
    /// # Errors
    /// As [`batch`](Self::batch).
    pub fn first_clips(&self, max: usize) -> Result<Vec<Batch>, LoadError> {
        let mut batches = Vec::new();
        if max == 0 {
            return Ok(batches);
        }
        let rule = self.spec.rule;
        self.scan(|index, _| {
            batches.extend(self.middle(index, |facts| rule.pad(rule.indices(facts.info(), 0)))?);
            Ok(if batches.len() == max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        if batches.is_empty() {
            return Err(self.none_usable());
        }
        Ok(batches)
    }

    /// The number of videos in the list.
    #[must_use]
    pub fn videos(&self) -> usize {
        self.list.len()
    }

    fn random_clip(&self, stop: &Stop, place: [u64; 3], clips: &mut Clips) -> Result<(), LoadError> {
        for attempt in 0.. {
            if self.set_aside.load(Ordering::Acquire) == self.videos.len() {
                break;
            }
            let mut rng = random_numbers(place, attempt);
            let index = self.list[rng.random_range(0..self.list.len())];
            let choose = |facts: &Facts| self.random_cut(index, facts, &mut rng.clone());
            if self.clip(index, (&self.library.budget, stop), clips, choose)? {
                return Ok(());
            }
        }
        Err(self.none_usable())
    }

    fn random_cut(&self, index: usize, facts: &Facts, rng: &mut ChaCha8Rng) -> Cut {
        let ClipSpec { rule, size, crop, flip, .. } = self.spec;
        let video = facts.up_to(self.held_out.get(&index).map_or(facts.frames(), Tail::start));
        let start = rule.random_start(&video, rng);
        let indices = rule.pad(rule.indices(&video, start));
        let offset = match crop {
            Crop::Center => center_offset(facts.size, size),
            Crop::Random => [0, 1].map(|axis| rng.random_range(0..=facts.size[axis] - size[axis])),
        };
        Cut { indices, offset, size, mirrored: flip && rng.random() }
    }

    /// The middle of the frames that are chosen; none if the video had to be set aside.
    fn middle(&self, index: usize, choose: impl Fn(&Facts) -> Vec<u64>) -> Result<Option<Batch>, LoadError> {
        let size = self.spec.size;
        let cut = |facts: &Facts| {
            let offset = center_offset(facts.size, size);
            Cut { indices: choose(facts), offset, size, mirrored: false }
        };
        let mut clips = Clips::default();
        // Such a clip is made once, so its video takes no room.
        let alone = (&Budget::new(0), &Stop::default());
        Ok(self.clip(index, alone, &mut clips, cut)?.then(|| self.finish(clips)))
    }

    /// What is known of a video; none if it is set aside.
    fn look(&self, index: usize, stop: &Stop) -> Result<Option<Facts>, LoadError> {
        self.usable(index, stop, |video| {
            let facts = video.facts(&self.library.index, stop)?;
            // None is set aside by what an earlier run has written.
            let facts = self.check_size(&facts).map_or_else(|_| self.checked(video, stop), |()| Ok(facts))?;
            video.notices(&facts).into_iter().for_each(|notice| self.library.note(&video.name(), notice));
            Ok(facts)
        })
    }

    /// The same by a look of this run.
    fn look_anew(&self, index: usize, stop: &Stop) -> Result<Option<Facts>, LoadError> {
        self.usable(index, stop, |video| self.checked(video, stop))
    }

    fn checked(&self, video: &Video, stop: &Stop) -> Result<Facts, Fault> {
        let facts = video.checked_facts(&self.library.index, stop)?;
        self.check_size(&facts).map(|()| facts)
    }

    fn check_size(&self, facts: &Facts) -> Result<(), Fault> {
        let (resized, crop) = (facts.size, self.spec.size);
        if resized[0] < crop[0] || resized[1] < crop[1] {
            let reason = format!("resized to {resized:?} (height, width) it is smaller than the crop of {crop:?}");
            return Err(Fault::Unusable(reason));
        }
        Ok(())
    }

    /// Appends a clip, the cut that `choose` makes of what is known of the video; false if the video is set aside, before
    /// or by this.
    fn clip(
        &self,
        index: usize,
        (budget, stop): (&Arc<Budget>, &Stop),
        clips: &mut Clips,
        choose: impl Fn(&Facts) -> Cut,
    ) -> Result<bool, LoadError> {
        // The second time where what was known is wrong.
        while let Some(facts) = self.look(index, stop)? {
            let cut = choose(&facts);
            let done = self.usable(index, stop, |video| {
                let shared = (&self.library.index, budget);
                match video.cut(&facts, &cut, shared, stop, &mut clips.pixels) {
                    Err(Fault::Outdated) => return Ok(false),
                    result => result?,
                }
                let start = cut.indices.first().copied().unwrap_or_default();
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

    /// What `work` makes of a video; none if the video is set aside, before or by this.
    fn usable<T>(
        &self,
        index: usize,
        stop: &Stop,
        work: impl FnOnce(&Video) -> Result<T, Fault>,
    ) -> Result<Option<T>, LoadError> {
        let video = &self.videos[index];
        if video.fault().is_some() {
            return Ok(None);
        }
        match work(video) {
            Ok(result) => Ok(Some(result)),
            // A decoder that was killed is no fault of its video.
            Err(_) if stop.is_stopped() => Err(LoadError::Stopped),
            Err(Fault::Elsewhere(error)) => Err(error),
            Err(Fault::Outdated) => Ok(None),
            Err(Fault::Unusable(reason)) => {
                if video.set_aside(reason.clone()) {
                    self.set_aside.fetch_add(1, Ordering::Release);
                    self.library.quarantine.add(&video.name(), &reason)?;
                }
                Ok(None)
            }
        }
    }

    /// Looks for the ends of videos to hold out.
    fn find_tails(&self) -> Result<BTreeMap<usize, Tail>, LoadError> {
        let HeldOut { per_video, max } = self.spec.held_out;
        let mut tails = BTreeMap::new();
        let mut left = max;
        let mut videos = 0;
        // Seconds that the longest video has, and those that it would need.
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
            if longest.is_none_or(|[most, least]| has / needs > most / least) {
                longest = Some([has, needs]);
            }
            // Training must never see these frames, whatever an earlier run has written of the video.
            if self.tail(facts, clips).is_some()
                && let Some(facts) = self.look_anew(index, &Stop::default())?
                && let Some(tail) = self.tail(&facts, clips)
            {
                tails.insert(index, tail);
                left -= clips;
            }
            Ok(if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        match longest {
            _ if !tails.is_empty() => Ok(tails),
            None => Err(self.none_usable()),
            Some([longest, needed]) => Err(LoadError::NothingHeldOut { clips: per_video, videos, longest, needed }),
        }
    }

    /// The last `clips` clips of a video, if as much is left to train on as one more takes.
    fn tail(&self, facts: &Facts, clips: usize) -> Option<Tail> {
        let rule = self.spec.rule;
        // From the end of the video, each clip before the next.
        let latest = rule.latest_start(facts.info());
        let mut starts: Vec<u64> =
            std::iter::successors(latest, |&start| rule.latest_start(&facts.up_to(start))).take(clips + 1).collect();
        (starts.len() > clips).then(|| {
            starts.truncate(clips);
            starts.reverse();
            Tail { starts }
        })
    }

    /// Visits the usable videos in their order, looking at several at a time, until `visit` has seen enough.
    fn scan(
        &self,
        mut visit: impl FnMut(usize, &Facts) -> Result<ControlFlow<()>, LoadError>,
    ) -> Result<(), LoadError> {
        let ahead = std::thread::available_parallelism().map_or(1, NonZero::get).min(LOOKS);
        for first in (0..self.videos.len()).step_by(ahead) {
            let indices = first..self.videos.len().min(first + ahead);
            for (index, facts) in indices.clone().zip(self.look_at_once(indices)?) {
                if let Some(facts) = facts?
                    && visit(index, &facts)?.is_break()
                {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// [`look`](Self::look)s at these videos on as many threads.
    fn look_at_once(&self, indices: Range<usize>) -> Result<Vec<Result<Option<Facts>, LoadError>>, LoadError> {
        std::thread::scope(|scope| {
            let start = |index| {
                let look = move || self.look(index, &Stop::default());
                std::thread::Builder::new().spawn_scoped(scope, look).map_err(LoadError::Thread)
            };
            let threads = indices.map(start).collect::<Result<Vec<_>, _>>()?;
            let join = |thread: ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|panic| Err(LoadError::panicked(&*panic)))
            };
            Ok(threads.into_iter().map(join).collect())
        })
    }

    fn none_usable(&self) -> LoadError {
        let first = &self.videos[0];
        let (path, reason) = (first.name().into_owned(), first.fault().unwrap_or_default().to_owned());
        LoadError::NoneUsable { videos: self.list.len(), path, reason }
    }

    fn finish(&self, clips: Clips) -> Batch {
        let [height, width] = self.spec.size;
        let shape = [clips.names.len() as i64, self.spec.rule.frames as i64, height, width, 3];
        let pixels = Tensor::from_data_size(&clips.pixels, &shape, Kind::Uint8);
        Batch { clips: to_model_range(&pixels), names: clips.names }
    }
}

/// A batch that is being filled.
#[derive(Default)]
struct Clips {
    pixels: Vec<u8>,
    names: Vec<String>,
}

/// The videos of a source, each once, and its list of places among them.
fn videos(source: Source, spec: &ClipSpec) -> (Vec<Video>, Vec<usize>) {
    match source {
        Source::Videos { ffmpeg, paths, input } => {
            let inputs = Arc::new(Inputs { ffmpeg, options: input, shorter_side: spec.shorter_side });
            let mut videos = Vec::new();
            let mut places = HashMap::new();
            let place = |path: PathBuf| {
                *places.entry(path.clone()).or_insert_with(|| {
                    videos.push(Video::new(Origin::File { inputs: Arc::clone(&inputs), path }));
                    videos.len() - 1
                })
            };
            let list = paths.into_iter().map(place).collect();
            (videos, list)
        }
        Source::Procedural { scenes, seed } => {
            // A third more than what is shown, so that random crops differ.
            let [height, width] = spec.size.map(|side| side.max(spec.shorter_side));
            let size = [height, width + width / 3];
            let scene = |i| Video::new(Origin::Scene { seed: seed.wrapping_add(i), size });
            ((0..scenes as u64).map(scene).collect(), (0..scenes).collect())
        }
    }
}

/// The random numbers of one attempt at `[seed, step, place]`, which no other attempt shares.
pub(crate) fn random_numbers([seed, step, place]: [u64; 3], attempt: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (bytes, part) in key.as_chunks_mut::<8>().0.iter_mut().zip([seed, step, place, attempt]) {
        *bytes = part.to_le_bytes();
    }
    ChaCha8Rng::from_seed(key)
}
