//! The best linear codec: the Karhunen-Loève transform of blocks.

use tch::{Kind, Tensor};
use vidtok::Klt as Transform;
use vidtok_core::{Codec, FrameRate, Reconstructor};

use crate::codecs::WINDOW;
use crate::codecs::reconstructors::{Coded, WholeClip};
use crate::error::EvalError;

/// Frames, and rows and columns, of a block: the compression of most published models.
const BLOCK: [i64; 2] = [4, 8];
/// The mean block, then the basis vectors in the order of their variance; float32, little-endian. Made by
/// `examples/fit_klt.rs` from the training clips of VidTok Lite.
const FITTED: &[u8] = include_bytes!("klt_488.f32");
/// Numbers of a block.
const NUMBERS: i64 = 3 * BLOCK[0] * BLOCK[1] * BLOCK[1];
/// Basis vectors in the file.
const MOST: i64 = 16;
const _: () = assert!(FITTED.len() as i64 == (MOST + 1) * NUMBERS * size_of::<f32>() as i64);

/// The yardstick of a learned codec with as many numbers for each block of 4 x 8 x 8 pixels: of all linear codecs, the one
/// with the smallest squared error on the clips that it was fitted to. As before a causal model, three copies of the first
/// frame precede a clip.
#[derive(Debug)]
pub struct Klt {
    name: String,
    transform: Transform,
}

impl Klt {
    /// The transform with this many coefficients of each block.
    ///
    /// # Errors
    /// If the number is not from 1 to 16.
    pub fn new(numbers: i64) -> Result<Self, EvalError> {
        Self::check(numbers)?;
        let values: Vec<f32> = FITTED.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let rows = Tensor::from_slice(&values).view([MOST + 1, NUMBERS]);
        let basis = rows.narrow(0, 1, numbers);
        let deviations = Tensor::ones([numbers], (Kind::Float, rows.device()));
        let transform = Transform::from_parts(BLOCK, rows.get(0), basis, deviations);
        let transform = transform.ok_or_else(|| EvalError::setting("klt", "a fitted transform", numbers))?;
        Ok(Self { name: format!("klt:{numbers}"), transform })
    }

    /// Refuses a number out of range.
    pub(crate) fn check(numbers: i64) -> Result<(), EvalError> {
        match (1..=MOST).contains(&numbers) {
            true => Ok(()),
            false => Err(EvalError::setting("klt", "1 to 16 coefficients", numbers)),
        }
    }

    fn code(&self, clip: &Tensor) -> Coded {
        let size = clip.size();
        let [time, space] = BLOCK;
        let (t, h, w) = (size[2], size[3], size[4]);
        let fill = |n: i64, unit: i64| (unit - n % unit) % unit;
        let front = fill(t - 1, time) + time - 1;
        let padded = clip.to_kind(Kind::Float).replication_pad3d([0, fill(w, space), 0, fill(h, space), front, 0]);
        let decoded = self.transform.decode(&self.transform.encode(&padded));
        Ok((decoded.narrow(2, front, t).narrow(3, 0, h).narrow(4, 0, w).clamp(-1.0, 1.0), None))
    }
}

impl Codec for Klt {
    fn name(&self) -> &str {
        &self.name
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![("coefficients", self.transform.basis.size()[0].to_string())]
    }

    fn window(&self) -> usize {
        WINDOW
    }

    fn start(&self, clip: [i64; 3], _frame_rate: FrameRate) -> Box<dyn Reconstructor + '_> {
        Box::new(WholeClip::new(&self.name, clip[0], |clip: &Tensor| self.code(clip)))
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;
    use vidtok_data::{Scene, to_model_range};

    use super::*;

    #[test]
    fn each_coefficient_lowers_the_error_of_clips_of_any_size() {
        let times: Vec<f64> = (0..9).map(|frame| f64::from(frame) / 25.0).collect();
        for size in [[64, 64], [50, 37]] {
            let clip = to_model_range(&Scene::new(3).frames(&times, size));
            let error = |numbers: i64| {
                let (decoded, bits) = Klt::new(numbers).unwrap().code(&clip).unwrap();
                assert!(decoded.size() == clip.size() && bits.is_none());
                (decoded - &clip).square().mean(Kind::Double).double_value(&[])
            };
            let errors = [1, 2, 4, 8, 16].map(error);
            assert!(errors.is_sorted_by(|a, b| a > b), "{errors:?}");
        }
    }

    #[test]
    fn the_fitted_basis_is_orthonormal() {
        let basis = Klt::new(16).unwrap().transform.basis;
        let products = basis.matmul(&basis.transpose(0, 1));
        let identity = Tensor::eye(16, (Kind::Float, Device::Cpu));
        assert!((products - identity).abs().max().double_value(&[]) < 1e-5);
    }
}
