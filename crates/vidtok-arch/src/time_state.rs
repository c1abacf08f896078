//! What the layers remember from one chunk of a clip to the next.

use tch::Tensor;

/// The frames that the layers of one network keep for the chunk that follows.
///
/// A layer that looks back in time takes its frames from here and leaves those that its next call needs. A whole clip
/// is one step from the empty state, and the last, after which nothing is kept. Layers are told apart by the order in
/// which they are visited, which is the same in every step.
#[derive(Debug, Default)]
pub struct TimeState {
    slots: Vec<Slot>,
    next: usize,
    last: bool,
    recompute: bool,
}

/// The memory of one layer.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// The last frames that were seen, `[b, k, h, w, c]`.
    pub(crate) frames: Option<Tensor>,
    /// How many frames were seen.
    pub(crate) seen: i64,
}

impl TimeState {
    /// For a whole clip in one step.
    #[must_use]
    pub fn whole_clip() -> Self {
        Self { last: true, ..Self::default() }
    }

    /// For a whole clip in one step of training, with gradient checkpointing: autograd keeps the inputs of blocks, and
    /// backward computes the rest again.
    #[must_use]
    pub fn recomputed() -> Self {
        Self { recompute: true, ..Self::whole_clip() }
    }

    /// For a clip that comes in chunks; each is one step of the network, in order. The result is that of the whole
    /// clip. Chunks of an encoder hold a multiple of its temporal factor of frames.
    #[must_use]
    pub fn streaming() -> Self {
        Self::default()
    }

    /// Says that the next step is the clip's last: layers that wait for a later frame wait no longer, and none keeps
    /// anything.
    pub fn expect_last(&mut self) {
        self.last = true;
    }

    /// Bytes that the state holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let frames = self.slots.iter().filter_map(|slot| slot.frames.as_ref());
        frames.map(|frames| frames.numel() * frames.kind().elt_size_in_bytes()).sum()
    }

    pub(crate) fn is_last(&self) -> bool {
        self.last
    }

    pub(crate) fn recomputes(&self) -> bool {
        self.recompute
    }

    /// Starts a step: the first layer is next.
    pub(crate) fn rewind(&mut self) {
        self.next = 0;
    }

    /// What the next layer kept; empty at the start of a clip.
    pub(crate) fn take(&mut self) -> Slot {
        if self.next == self.slots.len() {
            self.slots.push(Slot::default());
        }
        self.next += 1;
        std::mem::take(&mut self.slots[self.next - 1])
    }

    /// Keeps the frames of `x` from `start` on for the layer that called [`take`](Self::take) last, after `seen`
    /// frames in all.
    pub(crate) fn keep(&mut self, x: &Tensor, start: i64, seen: i64) {
        if !self.last {
            // A copy, lest the whole of x stay in memory.
            let frames = x.narrow(1, start, x.size()[1] - start).copy();
            self.slots[self.next - 1] = Slot { frames: Some(frames), seen };
        }
    }
}
