//! Cutting the work on a clip into chunks and strips that fit a memory budget.

use std::fmt;

use tch::{Device, Kind};
use vidtok_arch::{ArchConfig, Footprint};
use vidtok_core::Bytes;

use crate::error::Error;
use crate::memory::free::resident_bytes;
use crate::stream::Window;
use crate::tokenizer::Tokenizer;

/// The largest size of one activation at full resolution, in bytes, which limits the frames of a chunk. Larger chunks
/// would not be faster.
const ACTIVATION_BYTES: i64 = 256 << 20;
/// The largest size of a chunk's frames as float32, in bytes, unless the shortest chunk is larger. Beside light networks, the
/// copies of frames that wait take most of the memory.
const FRAME_BYTES: i64 = 12 << 20;
/// The largest number of frames of a chunk.
const MAX_FRAMES: i64 = 32;
/// Float32 copies of a chunk's frames while frames are read: one chunk waits, one is converted (a copy and the bytes), and
/// one is encoded.
const READ_COPIES: i64 = 4;
/// Float32 copies while frames are written: one chunk has been decoded, one waits, and one is converted (a copy and twice
/// the bytes).
const WRITE_COPIES: i64 = 4;
/// Float32 copies of the input frames that wait for their reconstruction, and of their concatenation with the next chunk.
const WAITING_COPIES: i64 = 2;
/// What libtorch allocates at first use, and what its allocator wastes, in bytes.
const OVERHEAD: i64 = 64 << 20;
/// The same on a GPU, with the workspaces of cuDNN and the blocks that the caching allocator keeps. An estimate.
const CUDA_OVERHEAD: i64 = 3 << 29;

/// The work on a clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Frames become latents.
    Encode,
    /// Latents become frames.
    Decode,
    /// Both for each chunk.
    Reconstruct,
}

/// How many frames and rows to compute at a time. The plan does not change the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Frames of a chunk, a multiple of the temporal factor.
    pub frames: i64,
    /// Rows of a strip, a multiple of the spatial factor; `None` for the whole height.
    pub rows: Option<i64>,
    /// The expected peak of the process's memory in bytes, including what it holds now; on a GPU, of the memory beside the
    /// weights.
    pub bytes: u64,
    /// The memory that the process may hold, in bytes; `None` for no limit.
    pub budget: Option<u64>,
}

impl MemoryPlan {
    /// The fastest plan for a clip of t frames of h x w within `budget` bytes. A non-causal model takes all frames of a window
    /// together, so that only strips save memory.
    ///
    /// # Errors
    /// [`Error::Memory`] with the smallest sufficient budget.
    pub fn fit(
        tokenizer: &Tokenizer,
        work: Work,
        [t, h, w]: [i64; 3],
        window: Option<Window>,
        budget: Option<u64>,
    ) -> Result<Self, Error> {
        // On a GPU the budget does not include the weights.
        let held = resident_bytes().filter(|_| tokenizer.device() == Device::Cpu).unwrap_or(0);
        Self::beside(tokenizer, work, [t, h, w], window, held, budget)
    }

    /// [`fit`](Self::fit) for a process that already holds `held` bytes. This plan depends only on its arguments and on the
    /// number of threads.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn beside(
        tokenizer: &Tokenizer,
        work: Work,
        [t, h, w]: [i64; 3],
        window: Option<Window>,
        held: u64,
        budget: Option<u64>,
    ) -> Result<Self, Error> {
        let model = &tokenizer.config().model;
        let (f_t, f_s) = (model.temporal_factor(), model.spatial_factor());
        let whole = t.div_ceil_by(f_t) * f_t;
        let max = match (model.causality.is_causal(), window) {
            (true, _) => preferred_frames(model, h, w).min(whole),
            (false, window) => window.map_or(whole, |window| window.frames.min(whole)),
        };
        let min = if model.causality.is_causal() { f_t } else { max };
        let plan = |frames: i64, rows: Option<i64>| {
            let bytes = held + step_bytes(tokenizer, work, [frames, h, w], rows);
            Self { frames, rows, bytes, budget }
        };
        let fits = |plan: &Self| budget.is_none_or(|budget| plan.bytes <= budget);
        // Shorter chunks first, because they cost least, then lower and lower strips of the shortest chunk.
        let chunks = (min / f_t..=max / f_t).rev().map(|chunk| plan(chunk * f_t, None));
        let heights = (2..=h.div_ceil_by(f_s)).map(|parts| h.div_ceil_by(parts).div_ceil_by(f_s) * f_s);
        let mut strips = heights.filter(|&rows| rows < h).map(|rows| plan(min, Some(rows)));
        let smallest = plan(min, (f_s < h).then_some(f_s));
        chunks
            .chain(&mut strips)
            .find(fits)
            .ok_or(Error::Memory { needed: smallest.bytes, budget: budget.unwrap_or(0) })
    }
}

impl fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} frames at a time", self.frames)?;
        if let Some(rows) = self.rows {
            write!(f, " in strips of {rows} rows")?;
        }
        write!(f, ", about {}", Bytes(self.bytes))?;
        match self.budget {
            Some(budget) => write!(f, " of {} memory", Bytes(budget)),
            None => write!(f, " of memory"),
        }
    }
}

/// Frames of a chunk that keep the machine busy without wasting memory.
fn preferred_frames(model: &ArchConfig, h: i64, w: i64) -> i64 {
    let number = (h * w * size_of::<f32>() as i64).max(1);
    let by_activations = ACTIVATION_BYTES / (number * model.numbers_per_pixel());
    let frames = by_activations.min(FRAME_BYTES / (number * 3)).min(MAX_FRAMES);
    let factor = model.temporal_factor();
    (frames / factor * factor).max(factor)
}

/// The memory that the work takes in addition to what the process held before, in bytes.
fn step_bytes(tokenizer: &Tokenizer, work: Work, [t, h, w]: [i64; 3], rows: Option<i64>) -> u64 {
    let model = &tokenizer.config().model;
    let f_s = model.spatial_factor();
    let padded = [t, h.div_ceil_by(f_s) * f_s, w.div_ceil_by(f_s) * f_s];
    let rows = rows.unwrap_or(padded[1]);
    let both = [model.encoder_footprint(padded, rows), model.decoder_footprint(padded, rows)];
    let footprint = match work {
        Work::Encode => both[0],
        Work::Decode => both[1],
        // Encoder and decoder run alternately, each with its own state.
        Work::Reconstruct => {
            let [Footprint { state: a, step: b }, Footprint { state: c, step: d }] = both;
            Footprint { state: a + c, step: b.max(d) }
        }
    };
    let number = match tokenizer.kind() {
        Kind::BFloat16 | Kind::Half => 2,
        _ => 4,
    };
    let copies = match work {
        Work::Encode => READ_COPIES,
        Work::Decode => WRITE_COPIES,
        Work::Reconstruct => READ_COPIES + WAITING_COPIES + WRITE_COPIES,
    };
    let frames = copies * 3 * size_of::<f32>() as i64 * padded.iter().product::<i64>();
    let (overhead, step) = match tokenizer.device() {
        Device::Cpu => {
            let inside = size_of::<f32>() as i64 * model.convolution_numbers(i64::from(tch::get_num_threads()));
            (OVERHEAD + inside, footprint.step)
        }
        // Where our kernels do not run, libtorch's convolutions read a copy of the input that is joined with its context: a
        // fourth activation beside the three that a step holds here.
        _ => (CUDA_OVERHEAD, footprint.step * 4 / 3),
    };
    (overhead + number * (footprint.state + step) + frames).unsigned_abs()
}

/// Division that rounds up.
trait DivCeil {
    fn div_ceil_by(self, by: i64) -> i64;
}

impl DivCeil for i64 {
    fn div_ceil_by(self, by: i64) -> i64 {
        (self + by - 1) / by
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Causality;
    use crate::config::Config;
    use crate::config::tests::TINY;

    fn tokenizer(causality: Causality) -> Tokenizer {
        let mut config = Config::parse(TINY).unwrap();
        config.model.causality = causality;
        Tokenizer::init(config, 0, Device::Cpu).unwrap()
    }

    /// A plan for a process that holds 20 MiB; what this process holds depends on other tests.
    fn fit(causality: Causality, budget: Option<u64>) -> Result<MemoryPlan, Error> {
        let window = (causality == Causality::NonCausal).then_some(Window::PUBLISHED);
        MemoryPlan::beside(&tokenizer(causality), Work::Reconstruct, [100, 180, 320], window, 20 << 20, budget)
    }

    #[test]
    fn a_smaller_budget_first_shortens_chunks_then_lowers_strips_then_fails_with_the_least_budget() {
        let free = fit(Causality::V1_1, None).unwrap();
        assert!(free.rows.is_none() && free.frames > 2);
        let mut last = free;
        let mut budget = free.bytes;
        let error = loop {
            budget = budget / 10 * 9;
            match fit(Causality::V1_1, Some(budget)) {
                Ok(plan) => {
                    assert!(plan.bytes <= budget && plan.frames <= last.frames);
                    assert!(plan.rows.is_none() || plan.frames == 2);
                    assert!(plan.rows.unwrap_or(180) <= last.rows.unwrap_or(180));
                    last = plan;
                }
                Err(error) => break error,
            }
        };
        assert!(last.rows.is_some_and(|rows| rows < 90));
        let Error::Memory { needed, .. } = error else { panic!("{error}") };
        assert!(fit(Causality::V1_1, Some(needed)).is_ok() && fit(Causality::V1_1, Some(needed - 1)).is_err());
    }

    #[test]
    fn a_non_causal_window_is_never_divided() {
        let free = fit(Causality::NonCausal, None).unwrap();
        assert_eq!((free.frames, free.rows), (16, None));
        let small = fit(Causality::NonCausal, Some(free.bytes / 10 * 8)).unwrap();
        assert!(small.frames == 16 && small.rows.is_some());
    }

    #[test]
    fn a_short_clip_is_one_chunk() {
        let plan = MemoryPlan::fit(&tokenizer(Causality::V1_0), Work::Encode, [5, 8, 8], None, None).unwrap();
        assert_eq!((plan.frames, plan.rows), (6, None));
    }

    #[test]
    fn a_plan_is_displayed_on_one_line() {
        let plan = MemoryPlan { frames: 8, rows: Some(96), bytes: 3 << 29, budget: Some(2 << 30) };
        assert_eq!(plan.to_string(), "8 frames at a time in strips of 96 rows, about 1.50 GiB of 2.00 GiB memory");
    }
}
