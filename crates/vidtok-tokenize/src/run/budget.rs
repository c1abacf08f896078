//! How the work on a video is cut, so that every worker cuts it alike.
//!
//! Chunks and strips change nothing but the rounding of the last bits; for shards that are equal to the byte they must
//! not depend on what a process happens to hold.

use tch::Device;
use vidtok::{Error, MemoryPlan, Tokenizer, Window, Work};

/// What the program takes with libtorch, beside weights and frames, in bytes.
const PROGRAM: u64 = 384 << 20;

/// The plan for a clip of `[t, h, w]` within `budget` bytes, of which `waiting` are for frames that wait.
pub(crate) fn plan(
    tokenizer: &Tokenizer,
    work: Work,
    clip: [i64; 3],
    window: Option<Window>,
    waiting: u64,
    budget: u64,
) -> Result<MemoryPlan, Error> {
    let weights = tokenizer.parameters().iter().map(|(_, tensor)| tensor.numel() * tensor.kind().elt_size_in_bytes());
    // On a GPU the budget is for what comes beside the weights.
    let held = if tokenizer.device() == Device::Cpu { PROGRAM + weights.sum::<usize>() as u64 + waiting } else { 0 };
    MemoryPlan::beside(tokenizer, work, clip, window, held, Some(budget))
}
