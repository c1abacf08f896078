//! Regrouping a clip that arrives in chunks of any length into the steps of a network.

use tch::Tensor;
use vidtok_arch::ArchConfig;

use crate::error::Error;
use crate::stream::Window;

/// The axis of frames in `[b, c, t, h, w]`.
const TIME: i64 = 2;

/// How many frames a network takes in one step.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StepSize {
    /// Any multiple of this number.
    Multiple(i64),
    /// A window; the last one may be shorter.
    Window(Window),
}

impl StepSize {
    /// The steps of `model`: multiples of the temporal factor if it is causal, otherwise windows.
    pub(crate) fn new(model: &ArchConfig, window: Option<Window>) -> Self {
        const WHOLE: Window = Window { frames: i64::MAX, overlap: 0 };
        let factor = model.temporal_factor();
        match model.causality.is_causal() {
            true => Self::Multiple(factor),
            false => Self::Window(window.unwrap_or(WHOLE).fit(factor)),
        }
    }
}

/// Buffers the frames of a clip and emits them in steps.
#[derive(Debug)]
pub(crate) struct StepBuffer {
    step: StepSize,
    /// Frames still to come; `None` while the clip is open-ended.
    pub(super) remaining: Option<i64>,
    /// Windows only: whether the first window has been emitted.
    pub(super) begun: bool,
    /// Frames not yet emitted, and those that the next window shares with the previous one, `[b, c, t, h, w]`.
    pub(super) pending: Option<Tensor>,
    /// The shape of the first chunk.
    pub(super) first: Option<Vec<i64>>,
    /// Frames to hold back as long as the clip is open-ended, because they may turn out to be the last.
    held_back: i64,
}

/// The frames of one step.
#[derive(Debug)]
pub(super) struct StepInput {
    pub(super) frames: Tensor,
    /// Whether this is the clip's last step.
    pub(super) is_last: bool,
}

impl StepBuffer {
    /// For a clip of `total` frames, or an open-ended one.
    pub(super) fn new(step: StepSize, total: Option<i64>, held_back: i64) -> Self {
        Self { step, remaining: total, begun: false, pending: None, first: None, held_back }
    }

    /// The total number of frames in all steps of a clip of `total` frames; frames shared by two windows count twice.
    pub(super) fn frames_with_overlap(step: StepSize, total: i64) -> i64 {
        match step {
            StepSize::Window(Window { frames, overlap }) if total > frames => {
                let advance = frames - overlap;
                total + overlap * ((total - frames + advance - 1) / advance)
            }
            _ => total,
        }
    }

    /// Frames of a clip whose steps have `frames_with_overlap` frames in all: the inverse of
    /// [`frames_with_overlap`](Self::frames_with_overlap).
    pub(crate) fn frames_without_overlap(step: StepSize, frames_with_overlap: i64) -> i64 {
        match step {
            StepSize::Window(Window { frames, overlap }) if frames_with_overlap > frames => {
                frames_with_overlap - overlap * ((frames_with_overlap - 1) / frames)
            }
            _ => frames_with_overlap,
        }
    }

    /// Takes the next frames and returns the steps that they complete.
    pub(super) fn push(&mut self, frames: &Tensor) -> Result<Vec<StepInput>, Error> {
        let first = self.first.get_or_insert_with(|| frames.size());
        if without_time(first) != without_time(&frames.size()) {
            return Err(Error::Shape {
                what: "the next chunk",
                expected: format!("{first:?} like the first chunk, with any number of frames"),
                found: format!("{:?}", frames.size()),
            });
        }
        let t = frames.size()[TIME as usize];
        if let Some(remaining) = &mut self.remaining {
            if t > *remaining {
                let expected = format!("at most {remaining} more frames");
                return Err(Error::Shape { what: "the clip", expected, found: format!("{t}") });
            }
            *remaining -= t;
        }
        let x = match self.pending.take() {
            Some(pending) => Tensor::cat(&[&pending, frames], TIME),
            None => frames.shallow_clone(),
        };
        Ok(self.split(&x, self.remaining == Some(0)))
    }

    /// Ends an open-ended clip and repeats its last frame until the length is a multiple of `unit`. Returns the last
    /// steps and the number of repetitions.
    pub(super) fn finish(&mut self, unit: i64) -> (Vec<StepInput>, i64) {
        self.remaining = Some(0);
        let Some(pending) = self.pending.take() else { return (Vec::new(), 0) };
        let t = pending.size()[TIME as usize];
        let repetitions = (unit - t % unit) % unit;
        let repeated = pending.narrow(TIME, t - 1, 1).expand([-1, -1, repetitions, -1, -1], false);
        (self.split(&Tensor::cat(&[pending, repeated], TIME), true), repetitions)
    }

    /// Splits the available frames `x` into complete steps and buffers the rest.
    fn split(&mut self, x: &Tensor, ended: bool) -> Vec<StepInput> {
        let t = x.size()[TIME as usize];
        let held_back = if self.remaining.is_none() { self.held_back } else { 0 };
        let ready = if ended { t } else { (t - held_back).max(0) };
        let mut inputs = Vec::new();
        let mut start = 0;
        let mut take = |start: i64, length: i64| {
            let is_last = ended && start + length == t;
            inputs.push(StepInput { frames: x.narrow(TIME, start, length), is_last });
        };
        match self.step {
            StepSize::Multiple(unit) => {
                let length = if ended { ready } else { ready / unit * unit };
                if length > 0 {
                    take(0, length);
                }
                start = length;
            }
            StepSize::Window(Window { frames, overlap }) => loop {
                let available = ready - start;
                let unseen = if self.begun { available - overlap } else { available };
                if unseen <= 0 || (available < frames && !ended) {
                    break;
                }
                let length = available.min(frames);
                take(start, length);
                self.begun = true;
                start += if ended && start + length == t { length } else { length - overlap };
            },
        }
        self.pending = (start < t).then(|| x.narrow(TIME, start, t - start).copy());
        inputs
    }
}

/// The axes of a shape `[b, c, t, h, w]` other than t.
fn without_time(shape: &[i64]) -> (&[i64], &[i64]) {
    (&shape[..2], &shape[3..])
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    /// The frames of all steps of a clip of `t` frames that arrives in chunks of `chunk` frames.
    fn steps(step: StepSize, total: Option<i64>, t: i64, chunk: i64) -> Vec<Vec<i64>> {
        let clip = Tensor::arange(t, (Kind::Int64, Device::Cpu)).view([1, 1, t, 1, 1]);
        let mut steps = StepBuffer::new(step, total, 0);
        let mut inputs = Vec::new();
        for start in (0..t).step_by(chunk as usize) {
            inputs.extend(steps.push(&clip.narrow(2, start, chunk.min(t - start))).unwrap());
        }
        if total.is_none() {
            inputs.extend(steps.finish(2).0);
        }
        let frames = inputs.iter().map(|input| Vec::<i64>::try_from(input.frames.flatten(0, -1).contiguous()).unwrap());
        frames.collect()
    }

    #[test]
    fn windows_overlap_and_the_last_one_ends_with_the_clip() {
        let step = StepSize::Window(Window { frames: 4, overlap: 2 });
        for chunk in [1, 3, 9] {
            assert_eq!(steps(step, Some(8), 8, chunk), [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7]]);
            let expected = [vec![0, 1, 2, 3], vec![2, 3, 4, 5], vec![4, 5, 6]];
            assert_eq!(steps(step, Some(7), 7, chunk), expected);
            assert_eq!(steps(step, Some(2), 2, chunk), [[0, 1]]);
        }
        for total in 1..20 {
            let frames_with_overlap: usize = steps(step, Some(total), total, 3).iter().map(Vec::len).sum();
            assert_eq!(frames_with_overlap as i64, StepBuffer::frames_with_overlap(step, total), "{total}");
            assert_eq!(StepBuffer::frames_without_overlap(step, frames_with_overlap as i64), total);
        }
    }

    #[test]
    fn an_open_ended_clip_is_padded_by_repeating_its_last_frame() {
        let step = StepSize::Window(Window { frames: 4, overlap: 2 });
        assert_eq!(steps(step, None, 6, 3), [[0, 1, 2, 3], [2, 3, 4, 5]]);
        assert_eq!(steps(step, None, 7, 3), [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 6]]);
        assert_eq!(steps(StepSize::Multiple(2), None, 5, 3), [vec![0, 1], vec![2, 3], vec![4, 4]]);
        assert_eq!(steps(StepSize::Multiple(2), None, 4, 2), [[0, 1], [2, 3]]);
    }
}
