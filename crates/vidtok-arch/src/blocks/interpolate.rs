//! Linear upsampling over time, as version 1.1 of VidTok does it.

use tch::Tensor;

use crate::stream::state::StreamState;

/// Frames before a frame that its outputs need.
const BEFORE: i64 = 1;
/// Frames after a frame that its outputs need.
const AFTER: i64 = 1;
/// The most frames that a stream keeps: those that wait for the next chunk, and those before them.
pub(crate) const KEPT_FRAMES: i64 = BEFORE + AFTER;

/// Interpolates `x` `[b, t, h, w, c]` to twice the frames with half-pixel centres. The first
/// 2^`earlier_doublings` frames of a clip, which come from its first frame, are interpolated apart from the rest;
/// `earlier_doublings` counts the temporal upsampling layers before this one.
///
/// An output may need the frame after it, so in a stream the last frame of a chunk waits for the next chunk. Returns
/// `None` if all frames wait.
pub(crate) fn interpolate(x: Tensor, earlier_doublings: usize, state: &mut StreamState) -> Option<Tensor> {
    let head = 1 << earlier_doublings;
    let context = state.take(&x);
    let seen = context.seen + x.size()[1];
    // The waiting frame, after the frame before it if there is one.
    let kept = context.kept.as_ref().map_or(0, |frames| frames.size()[1]);
    let x = match context.kept {
        Some(frames) => Tensor::cat(&[frames, x], 1),
        None => x,
    };
    let t = x.size()[1];
    let done = if kept > 0 && last_frame_waits(context.seen, head, false) { kept - AFTER } else { kept };
    let ready = if last_frame_waits(seen, head, state.is_last()) { t - AFTER } else { t };
    state.keep(&x, (ready - BEFORE).max(0), seen);
    if ready == done {
        return None;
    }
    let in_head = (head - (seen - t)).clamp(0, t);
    let parts = [x.narrow(1, 0, in_head), x.narrow(1, in_head, t - in_head)];
    drop(x);
    let mut parts: Vec<Tensor> = parts.into_iter().filter(|part| part.size()[1] > 0).map(upsample).collect();
    let upsampled = if parts.len() == 1 { parts.remove(0) } else { Tensor::cat(&parts, 1) };
    drop(parts);
    Some(upsampled.narrow(1, 2 * done, 2 * (ready - done)))
}

/// Whether the last of the `seen` frames needs the frame after it.
fn last_frame_waits(seen: i64, head: i64, is_last: bool) -> bool {
    !is_last && seen != head
}

/// Twice the frames of `x` `[b, t, h, w, c]`; the first and the last frame are continued beyond the ends.
fn upsample(x: Tensor) -> Tensor {
    let t = x.size()[1];
    let extended = Tensor::cat(&[x.narrow(1, 0, 1), x.shallow_clone(), x.narrow(1, t - 1, 1)], 1);
    drop(x);
    let [before, middle, after] = [0, 1, 2].map(|start| extended.narrow(1, start, t));
    Tensor::stack(&[middle.lerp(&before, 0.25), middle.lerp(&after, 0.25)], 2).flatten(1, 2)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    fn ramp(t: i64) -> Tensor {
        Tensor::arange(t, (Kind::Float, Device::Cpu)).view([1, t, 1, 1, 1])
    }

    fn values(x: &Tensor) -> Vec<f32> {
        Vec::try_from(x.flatten(0, -1).contiguous()).unwrap()
    }

    #[test]
    fn linear_upsampling_matches_libtorch_on_the_head_and_on_the_rest() {
        for (earlier_doublings, head) in [(0, 1), (1, 2), (2, 4)] {
            let x = ramp(7).square();
            let expected = |part: Tensor| {
                let t = part.size()[1];
                part.view([1, 1, t]).upsample_linear1d([2 * t], false, None)
            };
            let parts = [expected(x.narrow(1, 0, head)), expected(x.narrow(1, head, 7 - head))];
            let expected = Tensor::cat(&parts, 2);
            let upsampled = interpolate(x.shallow_clone(), earlier_doublings, &mut StreamState::whole_clip()).unwrap();
            assert!(upsampled.flatten(0, -1).allclose(&expected.flatten(0, -1), 1e-6, 1e-6, false));
        }
    }

    #[test]
    fn upsampling_in_chunks_equals_upsampling_the_whole() {
        let x = ramp(9).square();
        for earlier_doublings in [0, 1, 2] {
            let whole = interpolate(x.shallow_clone(), earlier_doublings, &mut StreamState::whole_clip()).unwrap();
            for chunks in [vec![9], vec![1; 9], vec![2, 3, 4], vec![4, 1, 4], vec![1, 3, 5], vec![8, 1]] {
                let mut state = StreamState::streaming();
                let mut start = 0;
                let mut parts = Vec::new();
                for &length in &chunks {
                    if start + length == 9 {
                        state.mark_last();
                    }
                    state.restart();
                    parts.extend(interpolate(x.narrow(1, start, length), earlier_doublings, &mut state));
                    start += length;
                }
                assert_eq!(values(&Tensor::cat(&parts, 1)), values(&whole), "{earlier_doublings} {chunks:?}");
            }
        }
    }
}
