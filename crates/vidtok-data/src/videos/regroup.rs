//! Regrouping frames into chunks of another length.

use tch::Tensor;

/// The axis of frames in `[b, c, t, h, w]`.
const TIME: i64 = 2;

/// A queue of frames `[b, c, t, h, w]`.
#[derive(Debug, Default)]
pub(crate) struct Regroup {
    parts: Vec<Tensor>,
    frames: i64,
}

impl Regroup {
    /// Appends frames; `t` may be 0.
    pub(crate) fn push(&mut self, frames: Tensor) {
        let t = frames.size()[TIME as usize];
        if t > 0 {
            self.frames += t;
            self.parts.push(frames);
        }
    }

    /// The number of queued frames.
    pub(crate) fn frames(&self) -> i64 {
        self.frames
    }

    /// Removes the first `count` frames, or all if there are fewer; `None` if there are none.
    pub(crate) fn take(&mut self, count: i64) -> Option<Tensor> {
        let count = count.min(self.frames);
        if count == 0 {
            return None;
        }
        let mut parts = std::mem::take(&mut self.parts);
        let all = if parts.len() == 1 { parts.swap_remove(0) } else { Tensor::cat(&parts, TIME) };
        let rest = self.frames - count;
        self.frames = 0;
        if rest > 0 {
            self.push(all.narrow(TIME, count, rest));
        }
        Some(all.narrow(TIME, 0, count))
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn frames_keep_their_order_in_any_grouping() {
        let clip = Tensor::arange(23, (Kind::Int64, Device::Cpu)).view([1, 1, 23, 1, 1]);
        for (come, go) in [(1, 5), (5, 1), (7, 3), (23, 23), (4, 50)] {
            let (mut group, mut returned) = (Regroup::default(), Vec::new());
            for part in clip.split(come, TIME) {
                group.push(part);
                while group.frames() >= go {
                    returned.push(group.take(go).unwrap());
                }
            }
            returned.extend(group.take(go));
            assert!(returned.iter().rev().skip(1).all(|part| part.size()[2] == go), "{come} {go}");
            assert!(Tensor::cat(&returned, TIME).equal(&clip) && group.take(1).is_none(), "{come} {go}");
        }
    }
}
