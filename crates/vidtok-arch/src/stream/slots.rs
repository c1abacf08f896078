//! The storage of a stream: one slot for each layer that remembers frames or rows.

use tch::Tensor;

/// What one layer remembers.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// The last frames or rows that the layer saw, `[b, t, h, w, c]`.
    pub(crate) kept: Option<Tensor>,
    /// How many frames the layer has seen.
    pub(crate) seen: i64,
}

/// The slots of layers that run one after the other, in the order of their visits.
///
/// The order identifies the layer, so it must be the same in every step. Debug builds check that a kept tensor fits its
/// layer's input and that every complete run visits the same number of slots.
#[derive(Debug, Default)]
pub(crate) struct SlotList {
    slots: Vec<Slot>,
    next: usize,
    /// Slots visited by a run that reached the last layer.
    complete: Option<usize>,
}

impl SlotList {
    /// Starts over at the first layer.
    pub(crate) fn rewind(&mut self) {
        self.next = 0;
    }

    /// Empties all slots.
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.next = 0;
    }

    /// Takes what the next layer kept. Its input is `x`, which may differ from the kept tensor along `axis` only.
    pub(crate) fn take(&mut self, x: &Tensor, axis: i64) -> Slot {
        if self.next == self.slots.len() {
            self.slots.push(Slot::default());
        }
        self.next += 1;
        let slot = std::mem::take(&mut self.slots[self.next - 1]);
        if let Some(kept) = &slot.kept {
            debug_assert!(
                fits(kept, x, axis),
                "slot {} holds {:?}, but its layer now reads {:?}: the order of layers has changed",
                self.next - 1,
                kept.size(),
                x.size()
            );
        }
        slot
    }

    /// Keeps `x` from `start` on along `axis`, after `seen` frames in all, for the layer that called
    /// [`take`](Self::take) last.
    pub(crate) fn keep(&mut self, x: &Tensor, axis: i64, start: i64, seen: i64) {
        // A copy: a view would hold all of x in memory.
        let kept = x.narrow(axis, start, x.size()[axis as usize] - start).copy();
        self.slots[self.next - 1] = Slot { kept: Some(kept), seen };
    }

    /// Checks the number of visited slots at the end of a run. A run that produced no output may have stopped early.
    pub(crate) fn check_visits(&mut self, is_complete: bool) {
        let visited = self.next;
        if is_complete {
            let expected = *self.complete.get_or_insert(visited);
            debug_assert!(visited == expected, "{visited} layers took their slots; in the first run {expected} did");
        } else if let Some(expected) = self.complete {
            debug_assert!(visited <= expected, "{visited} layers took their slots; in the first run {expected} did");
        }
    }

    /// All slots in order.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// All slots in order, to be replaced.
    pub(crate) fn slots_mut(&mut self) -> &mut [Slot] {
        &mut self.slots
    }
}

/// Whether two shapes agree but for `axis`.
fn fits(kept: &Tensor, x: &Tensor, axis: i64) -> bool {
    let (mut kept, x) = (kept.size(), x.size());
    kept.len() == x.len() && {
        kept[axis as usize] = x[axis as usize];
        kept == x
    }
}

/// The slots of a group of layers, which run one after the other on a frame or on each strip of it.
#[derive(Debug, Default)]
pub(crate) struct GroupSlots {
    /// What layers over time keep for the next chunk, by strip.
    pub(crate) frames: Vec<SlotList>,
    /// What layers over height keep for the next strip.
    pub(crate) rows: SlotList,
    /// Strips that this step has begun.
    pub(crate) strips: usize,
}

impl GroupSlots {
    /// The frames of the current strip.
    pub(crate) fn strip_frames(&mut self) -> &mut SlotList {
        at(&mut self.frames, self.strips.saturating_sub(1))
    }
}

/// The item at `index`; missing items are created.
pub(crate) fn at<T: Default>(items: &mut Vec<T>, index: usize) -> &mut T {
    if items.len() <= index {
        items.resize_with(index + 1, T::default);
    }
    &mut items[index]
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    const FRAMES: i64 = 1;

    fn activation(channels: i64) -> Tensor {
        Tensor::zeros([1, 3, 2, 2, channels], (Kind::Float, Device::Cpu))
    }

    /// A run of layers with these channels, which all keep their last frame.
    fn run(slots: &mut SlotList, channels: &[i64]) {
        slots.rewind();
        for &channels in channels {
            let x = activation(channels);
            let _ = slots.take(&x, FRAMES);
            slots.keep(&x, FRAMES, 2, 3);
        }
        slots.check_visits(true);
    }

    #[test]
    fn layers_get_their_own_frames_back() {
        let mut slots = SlotList::default();
        run(&mut slots, &[4, 8]);
        slots.rewind();
        assert_eq!(slots.take(&activation(4), FRAMES).kept.unwrap().size(), [1, 1, 2, 2, 4]);
        assert_eq!(slots.take(&activation(8), FRAMES).seen, 3);
    }

    #[cfg(debug_assertions)]
    #[test]
    fn layers_that_swap_add_or_forget_a_slot_are_caught() {
        use std::panic::{AssertUnwindSafe, catch_unwind};

        for other in [&[8, 4][..], &[4], &[4, 8, 8]] {
            let mut slots = SlotList::default();
            run(&mut slots, &[4, 8]);
            let caught = catch_unwind(AssertUnwindSafe(|| run(&mut slots, other)));
            assert!(caught.is_err(), "{other:?}");
        }
    }

    #[test]
    fn a_run_without_an_output_may_stop_early() {
        let mut slots = SlotList::default();
        run(&mut slots, &[4, 8]);
        slots.rewind();
        let _ = slots.take(&activation(4), FRAMES);
        slots.check_visits(false);
    }
}
