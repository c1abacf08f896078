//! Cutting a clip that comes in chunks of any length into steps of the networks.

use tch::Tensor;

use crate::error::Error;
use crate::stream::Window;

/// The axis of frames in `[b, c, t, h, w]`.
const TIME: i64 = 2;

/// How many frames the networks take in one step.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Any multiple of this.
    Multiple(i64),
    /// A window; what is left at the end is the last one.
    Window(Window),
}

/// Cuts a clip into steps.
#[derive(Debug)]
pub(super) struct Steps {
    step: Step,
    /// Frames of the clip that have not come yet; `None` while that is not known.
    pub(super) missing: Option<i64>,
    /// Whether a step was cut already.
    pub(super) begun: bool,
    /// Frames that wait for others, and those that the next window shares with the last, `[b, c, t, h, w]`.
    pub(super) pending: Option<Tensor>,
    /// The shape of the first chunk.
    pub(super) first: Option<Vec<i64>>,
    /// Frames that wait while the end is not known, since they could be the last.
    held: i64,
}

/// The frames of one step.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) frames: Tensor,
    /// Whether the clip ends with it.
    pub(super) is_last: bool,
}

impl Steps {
    /// For a clip of so many frames, or of a number that is not known.
    pub(super) fn new(step: Step, total: Option<i64>, held: i64) -> Self {
        Self { step, missing: total, begun: false, pending: None, first: None, held }
    }

    /// Frames of all steps of a clip of so many: windows that overlap have some twice.
    pub(super) fn covered(step: Step, total: i64) -> i64 {
        match step {
            Step::Window(Window { frames, overlap }) if total > frames => {
                let advance = frames - overlap;
                total + overlap * ((total - frames + advance - 1) / advance)
            }
            _ => total,
        }
    }

    /// Takes the next frames; gives the steps that they fill.
    pub(super) fn push(&mut self, frames: &Tensor) -> Result<Vec<Cut>, Error> {
        let first = self.first.get_or_insert_with(|| frames.size());
        if without_time(first) != without_time(&frames.size()) {
            return Err(Error::Shape {
                what: "the next chunk",
                expected: format!("{first:?} but for the third axis, as the first one"),
                found: format!("{:?}", frames.size()),
            });
        }
        let t = frames.size()[TIME as usize];
        if let Some(missing) = &mut self.missing {
            if t > *missing {
                let expected = format!("{missing} more frames");
                return Err(Error::Shape { what: "the clip", expected, found: format!("{t}") });
            }
            *missing -= t;
        }
        let x = match self.pending.take() {
            Some(pending) => Tensor::cat(&[&pending, frames], TIME),
            None => frames.shallow_clone(),
        };
        Ok(self.cut(&x, self.missing == Some(0)))
    }

    /// Ends a clip of which the length was not known: its last frame is repeated up to a multiple of `unit`. Gives the
    /// last steps and the number of those repetitions.
    pub(super) fn finish(&mut self, unit: i64) -> (Vec<Cut>, i64) {
        self.missing = Some(0);
        let Some(pending) = self.pending.take() else { return (Vec::new(), 0) };
        let t = pending.size()[TIME as usize];
        let back = (unit - t % unit) % unit;
        let repeated = pending.narrow(TIME, t - 1, 1).expand([-1, -1, back, -1, -1], false);
        (self.cut(&Tensor::cat(&[pending, repeated], TIME), true), back)
    }

    /// The steps that `x`, all frames at hand, fills.
    fn cut(&mut self, x: &Tensor, ended: bool) -> Vec<Cut> {
        let t = x.size()[TIME as usize];
        let held = if self.missing.is_none() { self.held } else { 0 };
        let ready = if ended { t } else { (t - held).max(0) };
        let mut cuts = Vec::new();
        let mut start = 0;
        let mut take = |start: i64, length: i64| {
            let is_last = ended && start + length == t;
            cuts.push(Cut { frames: x.narrow(TIME, start, length), is_last });
        };
        match self.step {
            Step::Multiple(unit) => {
                let length = if ended { ready } else { ready / unit * unit };
                if length > 0 {
                    take(0, length);
                }
                start = length;
            }
            Step::Window(Window { frames, overlap }) => loop {
                let left = ready - start;
                let new = if self.begun { left - overlap } else { left };
                if new <= 0 || (left < frames && !ended) {
                    break;
                }
                let length = left.min(frames);
                take(start, length);
                self.begun = true;
                start += if ended && start + length == t { length } else { length - overlap };
            },
        }
        self.pending = (start < t).then(|| x.narrow(TIME, start, t - start).copy());
        cuts
    }
}

/// A shape `[b, c, t, h, w]` without t.
fn without_time(shape: &[i64]) -> (&[i64], &[i64]) {
    (&shape[..2], &shape[3..])
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    /// The frames of all steps of a clip of `t` that comes in chunks of `chunk`.
    fn steps(step: Step, total: Option<i64>, t: i64, chunk: i64) -> Vec<Vec<i64>> {
        let clip = Tensor::arange(t, (Kind::Int64, Device::Cpu)).view([1, 1, t, 1, 1]);
        let mut steps = Steps::new(step, total, 0);
        let mut cuts = Vec::new();
        for start in (0..t).step_by(chunk as usize) {
            cuts.extend(steps.push(&clip.narrow(2, start, chunk.min(t - start))).unwrap());
        }
        if total.is_none() {
            cuts.extend(steps.finish(2).0);
        }
        let frames = cuts.iter().map(|cut| Vec::<i64>::try_from(cut.frames.flatten(0, -1).contiguous()).unwrap());
        frames.collect()
    }

    #[test]
    fn windows_overlap_and_the_last_one_ends_with_the_clip() {
        let step = Step::Window(Window { frames: 4, overlap: 2 });
        for chunk in [1, 3, 9] {
            assert_eq!(steps(step, Some(8), 8, chunk), [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7]]);
            let expected = [vec![0, 1, 2, 3], vec![2, 3, 4, 5], vec![4, 5, 6]];
            assert_eq!(steps(step, Some(7), 7, chunk), expected);
            assert_eq!(steps(step, Some(2), 2, chunk), [[0, 1]]);
        }
        for total in 1..20 {
            let cut: usize = steps(step, Some(total), total, 3).iter().map(Vec::len).sum();
            assert_eq!(cut as i64, Steps::covered(step, total), "{total}");
        }
    }

    #[test]
    fn a_clip_without_a_known_end_is_filled_with_its_last_frame() {
        let step = Step::Window(Window { frames: 4, overlap: 2 });
        assert_eq!(steps(step, None, 6, 3), [[0, 1, 2, 3], [2, 3, 4, 5]]);
        assert_eq!(steps(step, None, 7, 3), [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 6]]);
        assert_eq!(steps(Step::Multiple(2), None, 5, 3), [vec![0, 1], vec![2, 3], vec![4, 4]]);
        assert_eq!(steps(Step::Multiple(2), None, 4, 2), [[0, 1], [2, 3]]);
    }
}
