//! A check of the range of pixels. Without it, a video in another range would be encoded to a plausible but wrong latent.

use tch::{Kind, Tensor};

/// Decoders overshoot [-1, 1], and their output may be encoded again. No overshoot reaches this.
const FAR: f64 = 2.0;
/// An upper bound on rounding in all number types.
const ROUNDING: f64 = 1e-2;

/// The smallest and the largest value of a video whose pixels should be in [-1, 1].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PixelRange {
    /// The smallest value; NaN if any value is NaN.
    pub min: f64,
    /// The largest value; NaN if any value is NaN.
    pub max: f64,
}

/// A video's pixels are far outside [-1, 1].
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("the video: expected pixels in [-1, 1], found {}", range.describe())]
pub struct PixelRangeError {
    /// The range of the pixels.
    pub range: PixelRange,
}

impl PixelRange {
    /// The range of a video of any shape. An empty video has the range 0 to 0.
    #[must_use]
    pub fn of(video: &Tensor) -> Self {
        if video.numel() == 0 {
            return Self { min: 0.0, max: 0.0 };
        }
        let (min, max) = tch::no_grad(|| video.aminmax(None, false));
        let [min, max] = [min, max].map(|value| value.to_kind(Kind::Double).double_value(&[]));
        Self { min, max }
    }

    /// Whether all values are finite.
    pub(crate) fn is_finite(self) -> bool {
        self.min.is_finite() && self.max.is_finite()
    }

    /// Accepts values from -2 to 2, which may be a video in [-1, 1] with overshoot.
    ///
    /// # Errors
    /// If there are other values, NaN and infinity.
    pub fn check(self) -> Result<(), PixelRangeError> {
        if (-FAR..=FAR).contains(&self.min) && (-FAR..=FAR).contains(&self.max) {
            return Ok(());
        }
        Err(PixelRangeError { range: self })
    }

    /// A warning about a clip that [`check`](Self::check) accepts but whose range is suspicious: all values are in [0, 1],
    /// or some exceed [-1, 1] by more than rounding.
    #[must_use]
    pub fn warning(self) -> Option<String> {
        let Self { min, max } = self;
        if min >= 0.0 && max > 0.0 && max <= 1.0 + ROUNDING {
            return Some(format!(
                "all values are in [0, 1] (from {min:.3} to {max:.3}) where [-1, 1] is expected; 2 x - 1 converts them"
            ));
        }
        let inside = -1.0 - ROUNDING..=1.0 + ROUNDING;
        (!inside.contains(&min) || !inside.contains(&max))
            .then(|| format!("values from {min:.3} to {max:.3} exceed the expected [-1, 1]"))
    }

    /// The range for messages, and how to convert it.
    pub(crate) fn describe(self) -> String {
        let Self { min, max } = self;
        if !self.is_finite() {
            return "NaN or infinity".to_owned();
        }
        let hint = match min >= 0.0 && max <= 255.0 {
            true => "; x / 127.5 - 1 converts values of 0 to 255",
            false => "",
        };
        format!("values from {min:.4} to {max:.4}{hint}")
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::config::Config;
    use crate::config::tests::TINY;
    use crate::error::Error;
    use crate::stream::EncodeOptions;
    use crate::stream::encoder::StreamEncoder;
    use crate::tokenizer::Tokenizer;

    fn range(values: &[f64]) -> PixelRange {
        PixelRange::of(&Tensor::from_slice(values).to_kind(Kind::Float).view([1, -1]))
    }

    #[test]
    fn pixel_ranges_are_accepted_warned_about_or_refused() {
        assert_eq!(range(&[0.5, -0.25, 0.0]), PixelRange { min: -0.25, max: 0.5 });
        let suspicious =
            [(&[0.0, 0.3, 1.0][..], "[0, 1]"), (&[-1.3, 0.0, 1.0], "-1.300 to 1.000 exceed"), (&[1.5], "exceed")];
        for (values, word) in suspicious {
            let range = range(values);
            assert!(range.check().is_ok() && range.warning().unwrap().contains(word), "{values:?}");
        }
        for values in [&[-1.0, 1.0][..], &[-1.004, 0.2], &[0.0, 0.0], &[-0.1, 0.9], &[]] {
            assert!(range(values).check().is_ok() && range(values).warning().is_none(), "{values:?}");
        }
        let refused = [
            (&[0.0, 255.0][..], "from 0.0000 to 255.0000; x / 127.5 - 1"),
            (&[-300.0, 1.0], "from -300.0000 to 1.0000"),
            (&[0.0, f64::NAN, 0.5], "NaN or infinity"),
            (&[0.0, f64::NEG_INFINITY], "NaN or infinity"),
        ];
        for (values, word) in refused {
            let error = range(values).check().unwrap_err().to_string();
            assert!(
                error.starts_with("the video: expected pixels in [-1, 1], found ") && error.contains(word),
                "{error}"
            );
        }
    }

    #[test]
    fn a_tokenizer_refuses_pixels_out_of_range_in_every_chunk() {
        let tokenizer = Tokenizer::init(Config::parse(TINY).unwrap(), 0, Device::Cpu).unwrap();
        let video = Tensor::zeros([1, 3, 5, 8, 8], (Kind::Float, Device::Cpu));
        let bytes = &video + 128.0;
        assert!(matches!(tokenizer.encode(&bytes, EncodeOptions::default()), Err(Error::PixelRange(_))));
        assert!(matches!(tokenizer.reconstruct(&bytes), Err(Error::PixelRange(_))));
        let mut encoder = StreamEncoder::new(&tokenizer, [10, 8, 8], EncodeOptions::default());
        assert!(encoder.push(&video).is_ok() && matches!(encoder.push(&bytes), Err(Error::PixelRange(_))));
    }
}
