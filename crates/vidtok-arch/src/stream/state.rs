//! What the layers remember from one piece of a clip to the next: from chunk to chunk of its frames, and within a chunk
//! from strip to strip of its rows.

use tch::Tensor;
use vidtok_torch::{CausalContext, RowEdges};

use crate::blocks::time_conv::Layer;
use crate::network::{Input, Stream};
use crate::stream::error::StreamError;

/// Axes of `[b, t, h, w, c]`.
const TIME: i64 = 1;
const ROWS: i64 = 2;
const COLUMNS: i64 = 3;

/// All kernels over height have three rows.
const KERNEL: i64 = 3;

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
    /// By stage, what layers keep.
    stages: Vec<Stage>,
    /// The stage that is computed.
    stage: usize,
    strip_rows: Option<i64>,
    /// What the steps so far were of, if one of them may have left something.
    stream: Option<Stream>,
    edge: Edge,
    last: bool,
    recompute: bool,
}

/// The memory of some layers that are run one after the other.
#[derive(Debug, Default)]
struct Stage {
    /// Of those that look back in time, for each strip on its own, in the order of the strips.
    frames: Vec<Memory>,
    /// Of those that look up, from the strip above.
    rows: Memory,
    /// Strips that were begun in this step.
    strips: usize,
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

    /// Computes this many rows of the network's input at a time, at least one. Without gradients. A stream that has begun
    /// cannot go on in other strips: its next step is an error.
    #[must_use]
    pub fn in_strips(self, rows: i64) -> Self {
        Self { strip_rows: Some(rows.max(1)), ..self }
    }

    /// All rows of the network's input at a time. As with [`in_strips`](Self::in_strips), only before the first step.
    #[must_use]
    pub fn in_one_piece(self) -> Self {
        Self { strip_rows: None, ..self }
    }

    /// Rows of a strip of the network's input, if it is computed in strips.
    #[must_use]
    pub fn strip_rows(&self) -> Option<i64> {
        self.strip_rows
    }

    /// Checks that the stream, if it has begun, goes on in the strips in which it began.
    ///
    /// # Errors
    /// If it does not.
    pub fn check_strips(&self) -> Result<(), StreamError> {
        match &self.stream {
            Some(stream) => self.check(&Stream { strip_rows: self.strip_rows, ..stream.clone() }),
            None => Ok(()),
        }
    }

    fn check(&self, next: &Stream) -> Result<(), StreamError> {
        match &self.stream {
            Some(stream) if stream != next => {
                Err(StreamError::Changed { expected: stream.to_string(), found: next.to_string() })
            }
            _ => Ok(()),
        }
    }

    /// Says that the next step is the clip's last: layers that wait for a later frame wait no longer, and none keeps
    /// anything.
    pub fn expect_last(&mut self) {
        self.last = true;
    }

    /// Bytes that the state holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let memories = self.stages.iter().flat_map(|stage| stage.frames.iter().chain([&stage.rows]));
        let slots = memories.flat_map(|memory| &memory.slots);
        let kept = slots.filter_map(|slot| slot.kept.as_ref());
        kept.map(|kept| kept.numel() * kept.kind().elt_size_in_bytes()).sum()
    }

    /// What layers keep between two steps, by names for a file.
    #[must_use]
    pub fn tensors(&self) -> Vec<(String, Tensor)> {
        let stages = self.stages.iter().enumerate();
        let memories = stages.flat_map(|(stage, Stage { frames, .. })| {
            frames.iter().enumerate().map(move |(strip, memory)| (format!("frames.{stage}.{strip}"), memory))
        });
        let mut tensors = Vec::new();
        for (place, memory) in memories {
            for (slot, Slot { kept, seen }) in memory.slots.iter().enumerate() {
                if let Some(kept) = kept {
                    tensors.push((format!("{place}.{slot}.kept"), kept.shallow_clone()));
                    tensors.push((format!("{place}.{slot}.seen"), Tensor::from(*seen)));
                }
            }
        }
        tensors
    }

    /// What each layer keeps of earlier frames, with the name of its slot.
    pub(crate) fn slots_mut(&mut self) -> impl Iterator<Item = (String, &mut Slot)> {
        let stages = self.stages.iter_mut().enumerate();
        let memories = stages.flat_map(|(stage, Stage { frames, .. })| {
            frames.iter_mut().enumerate().map(move |(strip, memory)| (format!("frames.{stage}.{strip}"), memory))
        });
        memories.flat_map(|(place, memory)| {
            memory.slots.iter_mut().enumerate().map(move |(slot, kept)| (format!("{place}.{slot}"), kept))
        })
    }

    /// Says that the steps so far were those of `b` clips.
    pub(crate) fn set_batch(&mut self, b: i64) {
        if let Some(stream) = &mut self.stream {
            stream.shape[0] = b;
        }
    }

    pub(crate) fn is_last(&self) -> bool {
        self.last
    }

    /// Whether layers see all rows of a frame at once.
    pub(crate) fn has_whole_frames(&self) -> bool {
        self.edge == Edge::Whole
    }

    pub(crate) fn recomputes(&self) -> bool {
        self.recompute
    }

    /// Starts a step over `x`, for a network that reads `input`. Nothing has changed if it is an error.
    pub(crate) fn start_step(&mut self, input: Input<'_>, x: &Tensor) -> Result<(), StreamError> {
        input.check(x)?;
        let stream = Stream::new(input.network, x, self.strip_rows);
        self.check(&stream)?;
        // The last step leaves nothing that another clip could meet.
        self.stream = (!self.last).then_some(stream);
        self.restart();
        Ok(())
    }

    /// Goes back to the first layer.
    pub(crate) fn restart(&mut self) {
        for stage in &mut self.stages {
            stage.strips = 0;
            stage.rows = Memory::default();
        }
        self.enter(0, Edge::Whole);
    }

    /// The layers of a stage are next, on the whole frame.
    pub(crate) fn start_stage(&mut self, stage: usize) {
        self.enter(stage, Edge::Whole);
    }

    /// The layers of a stage are next, on the next strip.
    fn enter(&mut self, place: usize, edge: Edge) {
        (self.stage, self.edge) = (place, edge);
        let stage = at(&mut self.stages, place);
        stage.rows.next = 0;
        at(&mut stage.frames, stage.strips).next = 0;
        stage.strips += 1;
    }

    /// `stages`, of which the first is number `first`, on all strips of `x` `[b, t, h, w, c]`, and what they give joined
    /// again. A stage may give nothing (no row, or no frame) for a strip; the next one does not see it then.
    pub(crate) fn over_strips(&mut self, x: Tensor, first: usize, stages: &[&dyn Run]) -> Tensor {
        let h = x.size()[ROWS as usize];
        match self.strip_rows.filter(|&rows| rows < h) {
            Some(rows) => {
                let mut parts = Vec::new();
                self.descend(x, rows, true, first, stages, &mut parts);
                // The last one stands for all where there are no frames.
                let full: Vec<&Tensor> = parts.iter().filter(|part| !is_empty(part)).collect();
                if full.is_empty() { parts.remove(parts.len() - 1) } else { Tensor::cat(&full, ROWS) }
            }
            None => stages.iter().enumerate().fold(x, |x, (place, stage)| {
                if is_empty(&x) {
                    return x;
                }
                self.enter(first + place, Edge::Whole);
                stage.run(x, self)
            }),
        }
    }

    /// All of `x` through `stages` in strips of about `rows` rows. Rows that wait in one stage come out with its last
    /// strip, which is cut again for the next, lest the last strip grow from stage to stage.
    fn descend(
        &mut self,
        x: Tensor,
        rows: i64,
        is_last: bool,
        place: usize,
        stages: &[&dyn Run],
        parts: &mut Vec<Tensor>,
    ) {
        let Some((stage, rest)) = stages.split_first().filter(|_| !is_empty(&x)) else { return parts.push(x) };
        let (h, w) = (x.size()[ROWS as usize], x.size()[COLUMNS as usize]);
        // To the nearest number of strips of that height, all about equally high.
        let count = ((2 * h + rows) / (2 * rows)).max(1);
        let ends = (1..=count).map(|strip| strip * h / count);
        let strips: Vec<Tensor> = ends
            .scan(0, |start, end| {
                let strip = x.narrow(ROWS, *start, end - *start);
                *start = end;
                Some(strip)
            })
            .collect();
        drop(x);
        let last = strips.len() - 1;
        for (number, strip) in strips.into_iter().enumerate() {
            let is_last = is_last && number == last;
            self.enter(place, if is_last { Edge::LastStrip } else { Edge::Strip });
            let y = stage.run(strip.contiguous(), self);
            let rows = (rows * y.size()[COLUMNS as usize] / w).max(1);
            self.descend(y, rows, is_last, place + 1, rest, parts);
        }
    }

    /// What the next layer kept of earlier frames; empty at the start of a clip.
    pub(crate) fn take(&mut self) -> Slot {
        self.frames().take()
    }

    /// Keeps the frames of `x` from `start` on for the layer that called [`take`](Self::take) last, after `seen`
    /// frames in all.
    pub(crate) fn keep(&mut self, x: &Tensor, start: i64, seen: i64) {
        if !self.last {
            self.frames().keep(x, TIME, start, seen);
        }
    }

    fn frames(&mut self) -> &mut Memory {
        let stage = at(&mut self.stages, self.stage);
        at(&mut stage.frames, stage.strips.saturating_sub(1))
    }

    fn rows(&mut self) -> &mut Memory {
        &mut at(&mut self.stages, self.stage).rows
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
        let above = self.rows().take().kept.or_else(|| black(zeros[0]));
        let below = if self.edge == Edge::Strip { None } else { black(zeros[1]) };
        let parts: Vec<Tensor> = above.into_iter().chain([x]).chain(below).collect();
        let all = Tensor::cat(&parts, ROWS);
        drop(parts);
        let outputs = ((all.size()[ROWS as usize] - KERNEL).div_euclid(stride) + 1).max(0);
        if self.edge == Edge::Strip {
            self.rows().keep(&all, ROWS, outputs * stride, 0);
        }
        match outputs {
            0 => Err(all.narrow(ROWS, 0, 0)),
            _ => Ok((all.narrow(ROWS, 0, (outputs - 1) * stride + KERNEL), RowEdges::Given)),
        }
    }

    /// The same of an `x` after its past, for a kernel that moves by one row. In strips both become one piece.
    pub(crate) fn extend_rows_after(
        &mut self,
        context: CausalContext,
        x: Tensor,
        zeros: [i64; 2],
    ) -> Result<(CausalContext, Tensor, RowEdges), Tensor> {
        if self.edge == Edge::Whole {
            return Ok((context, x, RowEdges::Zeros));
        }
        let (x, edges) = self.extend_rows(context.join(x), 1, zeros)?;
        Ok((CausalContext::NONE, x, edges))
    }

    /// `x` as late as the output of a layer beside it that runs behind by so many rows.
    pub(crate) fn delay_rows(&mut self, x: Tensor, lag: i64) -> Tensor {
        if self.edge == Edge::Whole || lag == 0 {
            return x;
        }
        let all = match self.rows().take().kept {
            Some(above) => Tensor::cat(&[above, x], ROWS),
            None => x,
        };
        if self.edge == Edge::LastStrip {
            return all;
        }
        let ready = (all.size()[ROWS as usize] - lag).max(0);
        self.rows().keep(&all, ROWS, ready, 0);
        all.narrow(ROWS, 0, ready).contiguous()
    }
}

/// Layers that are run one after the other.
pub(crate) trait Run {
    /// `[b, t, h, w, c]` to the layers' own shape; empty if nothing is determined yet.
    fn run(&self, x: Tensor, state: &mut StreamState) -> Tensor;
}

impl<L: Layer> Run for L {
    fn run(&self, x: Tensor, state: &mut StreamState) -> Tensor {
        self.forward(x, state)
    }
}

/// The item at `place`, made if it is not there.
fn at<T: Default>(items: &mut Vec<T>, place: usize) -> &mut T {
    if items.len() <= place {
        items.resize_with(place + 1, T::default);
    }
    &mut items[place]
}

/// Nothing of `x` `[b, t, h, w, c]` is determined yet: neither a row nor a frame.
pub(crate) fn is_empty(x: &Tensor) -> bool {
    x.size()[1..4].contains(&0)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    /// Sums over three rows by a kernel with this stride between so many zeros.
    #[derive(Clone, Debug)]
    struct Sums(i64, [i64; 2]);

    impl Layer for Sums {
        fn forward(&self, x: Tensor, state: &mut StreamState) -> Tensor {
            let &Self(stride, zeros) = self;
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
        }
    }

    /// Of a frame in strips, once and again.
    fn sums(x: &Tensor, rows: i64, stride: i64, zeros: [i64; 2]) -> Tensor {
        let mut state = StreamState::whole_clip().in_strips(rows);
        state.restart();
        state.over_strips(x.shallow_clone(), 0, &[&Sums(stride, zeros), &Sums(1, [1, 1])])
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
