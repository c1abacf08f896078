//! What the layers remember from one piece of a clip to the next: from chunk to chunk of its frames, and within a chunk
//! from strip to strip of its rows.

use std::collections::BTreeMap;

use tch::Tensor;
use vidtok_torch::RowEdges;

/// Axes of `[b, t, h, w, c]`.
const TIME: i64 = 1;
const ROWS: i64 = 2;

/// All kernels over height have three rows.
const KERNEL: i64 = 3;

/// No frame has more; a file that says so is no state.
const MOST_STRIPS: usize = 1 << 16;

/// What the layers of one network keep for the chunk, or the strip, that follows.
///
/// A layer that looks back takes its frames or rows from here and leaves those that its next call needs. A whole clip
/// is one step from the empty state, and the last, after which nothing is kept; its whole height is one strip. Layers
/// are told apart by the order in which they are visited, which is the same in every step.
///
/// In strips, rows go through the layers from the top to the bottom as chunks do from the first frame to the last: a
/// kernel waits for the row below, so the output runs behind by a row a kernel until the last strip. Nothing is computed
/// twice, and the result is that of the whole frame. What sees whole frames (the middle's attention) gets them joined.
#[derive(Debug, Default)]
pub struct StreamState {
    /// Of layers that look back in time: on the whole frame first, then on each strip.
    frames: Vec<Memory>,
    /// Of layers that look up: from the strip above.
    rows: Memory,
    /// The place in `frames` of the strip that is computed; 0 for the whole frame.
    strip: usize,
    strip_rows: Option<i64>,
    edge: Edge,
    last: bool,
    recompute: bool,
}

/// Which part of the frame's height is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Edge {
    /// All of it.
    #[default]
    Whole,
    /// A strip that others follow.
    Strip,
    /// The lowest strip.
    LastStrip,
}

/// A slot a layer, in the order of their visits.
#[derive(Debug, Default)]
struct Memory {
    slots: Vec<Slot>,
    next: usize,
}

/// The memory of one layer.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// The last frames or rows that were seen, `[b, t, h, w, c]`.
    pub(crate) kept: Option<Tensor>,
    /// How many frames were seen.
    pub(crate) seen: i64,
}

impl Memory {
    fn take(&mut self) -> Slot {
        if self.next == self.slots.len() {
            self.slots.push(Slot::default());
        }
        self.next += 1;
        std::mem::take(&mut self.slots[self.next - 1])
    }

    /// For the layer that called [`take`](Self::take) last: `x` from `start` on along `axis`.
    fn keep(&mut self, x: &Tensor, axis: i64, start: i64, seen: i64) {
        // A copy, lest the whole of x stay in memory.
        let kept = x.narrow(axis, start, x.size()[axis as usize] - start).copy();
        self.slots[self.next - 1] = Slot { kept: Some(kept), seen };
    }
}

impl StreamState {
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

    /// Computes so many rows of the network's input at a time, at least one. Without gradients.
    #[must_use]
    pub fn in_strips(self, rows: i64) -> Self {
        Self { strip_rows: Some(rows.max(1)), ..self }
    }

    /// Says that the next step is the clip's last: layers that wait for a later frame wait no longer, and none keeps
    /// anything.
    pub fn expect_last(&mut self) {
        self.last = true;
    }

    /// Bytes that the state holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let slots = self.frames.iter().chain([&self.rows]).flat_map(|memory| &memory.slots);
        let kept = slots.filter_map(|slot| slot.kept.as_ref());
        kept.map(|kept| kept.numel() * kept.kind().elt_size_in_bytes()).sum()
    }

    /// What layers keep between two steps, by names for a file.
    #[must_use]
    pub fn tensors(&self) -> Vec<(String, Tensor)> {
        let memories = self.frames.iter().enumerate();
        let slots = memories.flat_map(|(strip, memory)| {
            memory.slots.iter().enumerate().map(move |(slot, kept)| (format!("frames.{strip}.{slot}"), kept))
        });
        let named = slots.flat_map(|(name, Slot { kept, seen })| {
            let seen = (format!("{name}.seen"), Tensor::from(*seen));
            let kept = kept.as_ref().map(|kept| (format!("{name}.kept"), kept.shallow_clone()));
            [Some(seen), kept].into_iter().flatten()
        });
        named.collect()
    }

    /// The state of which these are the [`tensors`](Self::tensors), among others maybe; `None` if some are missing.
    #[must_use]
    pub fn from_tensors(tensors: &BTreeMap<String, Tensor>) -> Option<Self> {
        let mut frames: Vec<Memory> = Vec::new();
        let seen = tensors.iter().filter_map(|(name, seen)| Some((name.strip_suffix(".seen")?, seen)));
        let mut places = Vec::new();
        for (name, seen) in seen.filter(|(name, _)| name.starts_with("frames.")) {
            let (strip, slot) = name.strip_prefix("frames.")?.split_once('.')?;
            places.push((strip.parse::<usize>().ok()?, slot.parse::<usize>().ok()?, name, seen));
        }
        // By number, not by name.
        places.sort_unstable_by_key(|&(strip, slot, ..)| (strip, slot));
        for (strip, slot, name, seen) in places {
            // A strip whose rows all wait for the next one has no slots.
            if strip >= MOST_STRIPS {
                return None;
            }
            if strip >= frames.len() {
                frames.resize_with(strip + 1, Memory::default);
            }
            let slots = &mut frames[strip].slots;
            let kept = tensors.get(&format!("{name}.kept"));
            if slot != slots.len() || seen.numel() != 1 || kept.is_some_and(|kept| kept.dim() != 5) {
                return None;
            }
            slots.push(Slot { kept: kept.map(Tensor::shallow_clone), seen: i64::try_from(seen).ok()? });
        }
        Some(Self { frames, ..Self::streaming() })
    }

    pub(crate) fn is_last(&self) -> bool {
        self.last
    }

    pub(crate) fn recomputes(&self) -> bool {
        self.recompute
    }

    /// Starts a step, with layers on the whole frame.
    pub(crate) fn start_step(&mut self) {
        self.frames.iter_mut().for_each(|memory| memory.next = 0);
        self.rows = Memory::default();
        self.enter(0, Edge::Whole);
    }

    fn enter(&mut self, strip: usize, edge: Edge) {
        self.strip = strip;
        self.edge = edge;
        self.rows.next = 0;
        if self.frames.len() <= strip {
            self.frames.resize_with(strip + 1, Memory::default);
        }
    }

    /// `layers` on all strips of `x` `[b, t, h, w, c]`, and what they give joined again. They may give nothing (no row,
    /// or no frame) for a strip, and must go no further then.
    pub(crate) fn over_strips(&mut self, x: Tensor, mut layers: impl FnMut(Tensor, &mut Self) -> Tensor) -> Tensor {
        let h = x.size()[ROWS as usize];
        let rows = self.strip_rows.unwrap_or(h).clamp(1, h.max(1));
        if rows == h {
            return layers(x, self);
        }
        let mut parts: Vec<Tensor> = Vec::new();
        for (place, start) in (0..h).step_by(rows as usize).enumerate() {
            let length = rows.min(h - start);
            self.enter(place + 1, if start + length == h { Edge::LastStrip } else { Edge::Strip });
            let part = layers(x.narrow(ROWS, start, length).contiguous(), self);
            if !is_empty(&part) || start + length == h {
                parts.push(part);
            }
        }
        self.enter(0, Edge::Whole);
        Tensor::cat(&parts, ROWS)
    }

    /// What the next layer kept of earlier frames; empty at the start of a clip.
    pub(crate) fn take(&mut self) -> Slot {
        if self.frames.is_empty() {
            self.frames.push(Memory::default());
        }
        self.frames[self.strip].take()
    }

    /// Keeps the frames of `x` from `start` on for the layer that called [`take`](Self::take) last, after `seen`
    /// frames in all.
    pub(crate) fn keep(&mut self, x: &Tensor, start: i64, seen: i64) {
        if !self.last {
            self.frames[self.strip].keep(x, TIME, start, seen);
        }
    }

    /// `x` with the rows beside it that a kernel of three rows needs which moves by `stride`, the frame having so many
    /// rows of zeros above and below. If no output is determined yet, `Err` of an empty tensor, the layer's answer.
    ///
    /// On a whole frame it is `x` itself, as layers pad by themselves.
    pub(crate) fn extend_rows(
        &mut self,
        x: Tensor,
        stride: i64,
        zeros: [i64; 2],
    ) -> Result<(Tensor, RowEdges), Tensor> {
        if self.edge == Edge::Whole {
            return Ok((x, RowEdges::Zeros));
        }
        let black = |rows: i64| {
            let mut shape = x.size();
            shape[ROWS as usize] = rows;
            (rows > 0).then(|| Tensor::zeros(shape, (x.kind(), x.device())))
        };
        let above = self.rows.take().kept.or_else(|| black(zeros[0]));
        let below = if self.edge == Edge::Strip { None } else { black(zeros[1]) };
        let parts: Vec<Tensor> = above.into_iter().chain([x]).chain(below).collect();
        let all = Tensor::cat(&parts, ROWS);
        drop(parts);
        let outputs = ((all.size()[ROWS as usize] - KERNEL).div_euclid(stride) + 1).max(0);
        if self.edge == Edge::Strip {
            self.rows.keep(&all, ROWS, outputs * stride, 0);
        }
        match outputs {
            0 => Err(all.narrow(ROWS, 0, 0)),
            _ => Ok((all.narrow(ROWS, 0, (outputs - 1) * stride + KERNEL), RowEdges::Given)),
        }
    }

    /// `x` as late as the output of a layer beside it that runs behind by so many rows.
    pub(crate) fn delay_rows(&mut self, x: Tensor, lag: i64) -> Tensor {
        if self.edge == Edge::Whole || lag == 0 {
            return x;
        }
        let all = match self.rows.take().kept {
            Some(above) => Tensor::cat(&[above, x], ROWS),
            None => x,
        };
        if self.edge == Edge::LastStrip {
            return all;
        }
        let ready = (all.size()[ROWS as usize] - lag).max(0);
        self.rows.keep(&all, ROWS, ready, 0);
        all.narrow(ROWS, 0, ready).contiguous()
    }
}

/// Nothing is determined yet: neither a row nor a frame.
pub(crate) fn is_empty(x: &Tensor) -> bool {
    x.numel() == 0
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    /// Sums over three rows by a kernel with this stride between so many zeros, of a frame in strips.
    fn sums(x: &Tensor, rows: i64, stride: i64, zeros: [i64; 2]) -> Tensor {
        let mut state = StreamState::whole_clip().in_strips(rows);
        state.start_step();
        state.over_strips(x.shallow_clone(), |x, state| {
            let x = state.delay_rows(x, 1);
            if is_empty(&x) {
                return x;
            }
            let (x, edges) = match state.extend_rows(x, stride, zeros) {
                Ok(extended) => extended,
                Err(none) => return none,
            };
            let [above, below] = if edges == RowEdges::Zeros { zeros } else { [0, 0] };
            let x = x.constant_pad_nd([0, 0, 0, 0, above, below]);
            let outputs = (x.size()[2] - 3) / stride + 1;
            let part = |start| x.slice(2, start, start + (outputs - 1) * stride + 1, stride);
            part(0) + part(1) + part(2)
        })
    }

    #[test]
    fn rows_that_come_in_strips_are_summed_as_the_whole_is() {
        let x = Tensor::arange(12 * 2, (Kind::Float, Device::Cpu)).square().view([1, 1, 12, 2, 1]);
        for (stride, zeros, height) in [(1, [1, 1], 12), (2, [0, 1], 6)] {
            let whole = sums(&x, 12, stride, zeros);
            assert_eq!(whole.size()[2], height);
            for rows in 1..12 {
                assert!(sums(&x, rows, stride, zeros).equal(&whole), "{rows} {stride}");
            }
        }
    }
}
