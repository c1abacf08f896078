//! Windows that fade into each other.

use tch::{Kind, Tensor};

/// The axis of frames in `[b, c, t, h, w]`.
const TIME: i64 = 2;

/// Joins windows of which each begins with so many frames of the one before.
#[derive(Debug)]
pub(super) struct Blend {
    overlap: i64,
    /// The last frames of the window before.
    pub(super) tail: Option<Tensor>,
}

impl Blend {
    pub(super) fn new(overlap: i64) -> Self {
        Self { overlap, tail: None }
    }

    /// Takes a window `[b, c, t, h, w]`; gives the frames that no later window changes.
    pub(super) fn push(&mut self, window: Tensor, is_last: bool) -> Tensor {
        let joined = match self.tail.take() {
            Some(tail) => {
                let shared = tail.size()[TIME as usize];
                let weights = Tensor::arange_start(1, shared + 1, (Kind::Float, window.device())) / (shared + 1) as f64;
                let weights = weights.to_kind(window.kind()).view([1, 1, shared, 1, 1]);
                let head = tail.lerp_tensor(&window.narrow(TIME, 0, shared), &weights);
                let rest = window.narrow(TIME, shared, window.size()[TIME as usize] - shared);
                Tensor::cat(&[head, rest], TIME)
            }
            None => window,
        };
        if is_last || self.overlap == 0 {
            return joined;
        }
        let ready = joined.size()[TIME as usize] - self.overlap;
        self.tail = Some(joined.narrow(TIME, ready, self.overlap).copy());
        joined.narrow(TIME, 0, ready)
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn windows_fade_linearly_where_they_overlap() {
        let window = |level: f64| Tensor::full([1, 1, 5, 1, 1], level, (Kind::Float, Device::Cpu));
        let mut blend = Blend::new(3);
        let parts = [blend.push(window(0.0), false), blend.push(window(4.0), false), blend.push(window(0.0), true)];
        let all = Vec::<f32>::try_from(Tensor::cat(&parts, 2).flatten(0, -1)).unwrap();
        assert_eq!(all, [0.0, 0.0, 1.0, 2.0, 2.25, 2.0, 1.0, 0.0, 0.0]);
    }
}
