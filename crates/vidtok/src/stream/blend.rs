//! Blending of overlapping windows.

use tch::{Kind, Tensor};

use crate::error::Error;

/// The axis of frames in `[b, c, t, h, w]`.
const TIME: i64 = 2;

/// Joins windows that overlap by `overlap` frames with a linear cross-fade.
#[derive(Debug)]
pub(super) struct Blend {
    pub(super) overlap: i64,
    /// The last `overlap` frames of the previous window.
    pub(super) tail: Option<Tensor>,
}

impl Blend {
    pub(super) fn new(overlap: i64) -> Self {
        Self { overlap, tail: None }
    }

    /// Takes the next window `[b, c, t, h, w]` and returns the frames that later windows do not change.
    ///
    /// # Errors
    /// If the window has no frames besides those that it shares with another window.
    pub(super) fn push(&mut self, window: Tensor, is_last: bool) -> Result<Tensor, Error> {
        let t = window.size()[TIME as usize];
        let has_neighbour = self.tail.is_some() || !is_last;
        if self.overlap > 0 && t <= self.overlap && has_neighbour {
            let expected = format!("more than the {} frames of the overlap", self.overlap);
            return Err(Error::Shape { what: "a window of the clip", expected, found: t.to_string() });
        }
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
            return Ok(joined);
        }
        let ready = joined.size()[TIME as usize] - self.overlap;
        self.tail = Some(joined.narrow(TIME, ready, self.overlap).copy());
        Ok(joined.narrow(TIME, 0, ready))
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
        let parts = [(0.0, false), (4.0, false), (0.0, true)];
        let parts = parts.map(|(level, is_last)| blend.push(window(level), is_last).unwrap());
        let all = Vec::<f32>::try_from(Tensor::cat(&parts, 2).flatten(0, -1)).unwrap();
        assert_eq!(all, [0.0, 0.0, 1.0, 2.0, 2.25, 2.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn a_window_without_new_frames_is_an_error() {
        let window = |t: i64| Tensor::zeros([1, 1, t, 1, 1], (Kind::Float, Device::Cpu));
        let mut blend = Blend::new(3);
        assert!(blend.push(window(3), false).is_err());
        assert_eq!(blend.push(window(5), false).unwrap().size()[2], 2);
        let error = blend.push(window(2), true).unwrap_err().to_string();
        assert_eq!(error, "a window of the clip: expected more than the 3 frames of the overlap, found 2");
        assert_eq!(Blend::new(3).push(window(2), true).unwrap().size()[2], 2, "the only window of a clip may be short");
    }
}
