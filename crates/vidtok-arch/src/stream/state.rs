//! The state of a stream: what a network's layers remember from chunk to chunk and from strip to strip.

use tch::Tensor;

use crate::stream::error::StreamError;
use crate::stream::input::{InputSpec, StreamSpec};
use crate::stream::slots::{GroupSlots, Slot, SlotList, at};

/// The time axis of `[b, t, h, w, c]`.
const TIME: i64 = 1;

/// What the layers of one network keep for the next chunk or strip.
///
/// A layer that looks back takes its frames or rows from the state and stores those that its next call will need. A
/// whole clip is a single step from the empty state, after which nothing is kept; a whole frame is a single strip.
/// Layers are identified by the order in which they run, so every step must run them in the same order.
///
/// Strips go through the layers from top to bottom as chunks go from the first frame to the last: a kernel needs the
/// row below its output, so each kernel delays the output by one row until the last strip. Nothing is computed twice,
/// and the result is that of the whole frame. Layers that need whole frames (the attention in the middle block) receive
/// the joined strips.
#[derive(Debug, Default)]
pub struct StreamState {
    groups: Vec<GroupSlots>,
    /// Index of the group of layers that is running.
    group: usize,
    strip_rows: Option<i64>,
    /// The stream in progress; `None` before the first step and after the last.
    stream: Option<StreamSpec>,
    edge: StripPosition,
    is_last: bool,
    recomputes: bool,
}

/// Which part of the frame's height is being computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum StripPosition {
    /// The whole height.
    #[default]
    Whole,
    /// Any strip but the last.
    Strip,
    /// The last strip, at the bottom.
    LastStrip,
}

impl StreamState {
    /// The state for a whole clip in one step.
    #[must_use]
    pub fn whole_clip() -> Self {
        Self { is_last: true, ..Self::default() }
    }

    /// The state for one training step over a whole clip with gradient checkpointing: autograd saves the inputs of
    /// blocks, and the backward pass recomputes the rest.
    #[must_use]
    pub fn recomputed() -> Self {
        Self { recomputes: true, ..Self::whole_clip() }
    }

    /// The state for a clip that arrives in chunks. Each chunk is one step, in order, and the concatenated outputs
    /// equal the output for the whole clip. The number of frames in each of an encoder's chunks must be a multiple of
    /// its temporal factor.
    #[must_use]
    pub fn streaming() -> Self {
        Self::default()
    }

    /// Computes `rows` rows of the network's input at a time, at least one. For inference only. Call this before the
    /// first step; if the strips change later, the next step returns an error.
    #[must_use]
    pub fn in_strips(self, rows: i64) -> Self {
        Self { strip_rows: Some(rows.max(1)), ..self }
    }

    /// Computes all rows at once. Like [`in_strips`](Self::in_strips), only before the first step.
    #[must_use]
    pub fn in_one_piece(self) -> Self {
        Self { strip_rows: None, ..self }
    }

    /// Rows of the network's input in a strip, or `None` if all rows are computed at once.
    #[must_use]
    pub fn strip_rows(&self) -> Option<i64> {
        self.strip_rows
    }

    /// Checks that a stream that has begun still has the strips that it began with.
    ///
    /// # Errors
    /// If the strips have changed since.
    pub fn check_strips(&self) -> Result<(), StreamError> {
        match &self.stream {
            Some(stream) => self.check(&StreamSpec { strip_rows: self.strip_rows, ..stream.clone() }),
            None => Ok(()),
        }
    }

    fn check(&self, next: &StreamSpec) -> Result<(), StreamError> {
        match &self.stream {
            Some(stream) if stream != next => {
                Err(StreamError::Changed { expected: stream.to_string(), found: next.to_string() })
            }
            _ => Ok(()),
        }
    }

    /// Marks the next step as the clip's last: no layer waits for later frames or stores anything.
    pub fn mark_last(&mut self) {
        self.is_last = true;
    }

    /// The memory that the state holds, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let lists = self.groups.iter().flat_map(|group| group.frames.iter().chain([&group.rows]));
        let kept = lists.flat_map(SlotList::slots).filter_map(|slot| slot.kept.as_ref());
        kept.map(|kept| kept.numel() * kept.kind().elt_size_in_bytes()).sum()
    }

    /// What the layers keep between two steps, named for saving.
    #[must_use]
    pub fn tensors(&self) -> Vec<(String, Tensor)> {
        let groups = self.groups.iter().enumerate();
        let lists = groups.flat_map(|(group, GroupSlots { frames, .. })| {
            frames.iter().enumerate().map(move |(strip, list)| (list_name(group, strip), list))
        });
        let mut tensors = Vec::new();
        for (list_name, list) in lists {
            for (index, Slot { kept, seen }) in list.slots().iter().enumerate() {
                if let Some(kept) = kept {
                    tensors.push((format!("{list_name}.{index}.kept"), kept.shallow_clone()));
                    tensors.push((format!("{list_name}.{index}.seen"), Tensor::from(*seen)));
                }
            }
        }
        tensors
    }

    /// The slots of earlier frames with their names in [`tensors`](Self::tensors).
    pub(super) fn slots_mut(&mut self) -> impl Iterator<Item = (String, &mut Slot)> {
        let groups = self.groups.iter_mut().enumerate();
        let lists = groups.flat_map(|(group, GroupSlots { frames, .. })| {
            frames.iter_mut().enumerate().map(move |(strip, list)| (list_name(group, strip), list))
        });
        lists.flat_map(|(name, list)| {
            list.slots_mut().iter_mut().enumerate().map(move |(index, slot)| (format!("{name}.{index}"), slot))
        })
    }

    /// Sets the number of clips that the stream expects in a batch.
    pub(super) fn set_batch_size(&mut self, b: i64) {
        if let Some(stream) = &mut self.stream {
            stream.shape[0] = b;
        }
    }

    /// Whether this step is the clip's last.
    pub(crate) fn is_last(&self) -> bool {
        self.is_last
    }

    /// Whether layers see all rows of a frame at once.
    pub(crate) fn has_whole_frames(&self) -> bool {
        self.edge == StripPosition::Whole
    }

    /// Whether the backward pass recomputes blocks.
    pub(crate) fn recomputes(&self) -> bool {
        self.recomputes
    }

    /// Starts a step over `x` for a network that reads `input`. On an error the state is unchanged.
    pub(crate) fn start_step(&mut self, input: InputSpec<'_>, x: &Tensor) -> Result<(), StreamError> {
        input.check(x)?;
        let stream = StreamSpec::new(input.network, x, self.strip_rows);
        self.check(&stream)?;
        if self.stream.is_none() {
            // Another network may have used this state for the last step of its clip, which keeps nothing.
            self.groups.clear();
        }
        self.stream = (!self.is_last).then_some(stream);
        self.restart();
        Ok(())
    }

    /// Goes back to the first layer of the first group, on whole frames.
    ///
    /// Entering a group counts as one strip, and saved states use this count as a name. This call already enters group
    /// 0, so an encoder in strips numbers its strips there from 1.
    pub(crate) fn restart(&mut self) {
        for group in &mut self.groups {
            group.strips = 0;
            group.rows.clear();
        }
        self.enter(0, StripPosition::Whole);
    }

    /// Runs the layers of the group with this index on whole frames.
    pub(crate) fn run_group<T>(&mut self, index: usize, run: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.run_strip(index, StripPosition::Whole, run)
    }

    /// Runs the layers of the group with this index on the next strip.
    pub(super) fn run_strip<T>(
        &mut self,
        index: usize,
        edge: StripPosition,
        run: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        self.enter(index, edge);
        self.run_current_group(run)
    }

    /// Runs the layers of the current group; at the start of a step that is the first.
    pub(crate) fn run_current_group<T>(&mut self, run: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let y = run(self);
        self.frame_slots().check_visits(y.is_some());
        if self.edge != StripPosition::Whole {
            self.row_slots().check_visits(y.is_some());
        }
        y
    }

    fn enter(&mut self, index: usize, edge: StripPosition) {
        (self.group, self.edge) = (index, edge);
        let group = at(&mut self.groups, index);
        group.strips += 1;
        group.strip_frames().rewind();
        group.rows.rewind();
    }

    /// Takes the frames before `x` `[b, t, h, w, c]` that the next layer stored in the previous step; empty at the
    /// start of a clip.
    pub(crate) fn take(&mut self, x: &Tensor) -> Slot {
        self.frame_slots().take(x, TIME)
    }

    /// Stores the frames of `x` from `start` on, for the layer that called [`take`](Self::take) last; `seen` is the
    /// number of frames that the layer has seen in total.
    pub(crate) fn keep(&mut self, x: &Tensor, start: i64, seen: i64) {
        if !self.is_last {
            self.frame_slots().keep(x, TIME, start, seen);
        }
    }

    fn frame_slots(&mut self) -> &mut SlotList {
        at(&mut self.groups, self.group).strip_frames()
    }

    /// The rows that the layers of this group keep for the next strip.
    pub(super) fn row_slots(&mut self) -> &mut SlotList {
        &mut at(&mut self.groups, self.group).rows
    }

    /// The part of the frame's height that is running.
    pub(super) fn edge(&self) -> StripPosition {
        self.edge
    }
}

/// The name of a strip's frames in saved states.
fn list_name(group: usize, strip: usize) -> String {
    format!("frames.{group}.{strip}")
}
