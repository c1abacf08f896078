//! Memory plans that are the same for all workers.
//!
//! Chunks and strips may change the rounding of the last bits. For shards that are equal to the byte, the plan must
//! therefore not depend on how much memory a process happens to hold.

use tch::Device;
use vidtok::{Error, MemoryPlan, Tokenizer, Window, Work};

/// An allowance for the program and libtorch, without weights and frames, in bytes.
const PROGRAM: u64 = 384 << 20;

/// The plan for a clip of `[t, h, w]` within `budget` bytes, when decoded frames take up to `buffers` bytes.
pub(crate) fn plan(
    tokenizer: &Tokenizer,
    work: Work,
    clip: [i64; 3],
    window: Option<Window>,
    buffers: u64,
    budget: u64,
) -> Result<MemoryPlan, Error> {
    let weights = tokenizer.parameters().iter().map(|(_, tensor)| tensor.numel() * tensor.kind().elt_size_in_bytes());
    // On a GPU, the budget is for its own memory, beyond the weights.
    let held = if tokenizer.device() == Device::Cpu { PROGRAM + weights.sum::<usize>() as u64 + buffers } else { 0 };
    MemoryPlan::beside(tokenizer, work, clip, window, held, Some(budget))
}
