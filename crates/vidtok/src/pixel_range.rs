//! A check of the range of pixels. Without it, a video in another range would be encoded to a plausible but wrong latent.

use tch::{Kind, Tensor};

use crate::error::Error;

/// Decoders overshoot [-1, 1], and their output may be encoded again. No overshoot reaches this.
const FAR: f64 = 2.0;
/// An upper bound on rounding in all number types.
const ROUNDING: f64 = 1e-2;

/// The smallest and the largest value of a video whose pixels should be in [-1, 1].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PixelRange {
    /// The smallest value; NaN if any value is NaN.
    pub least: f64,
    /// The largest value; NaN if any value is NaN.
    pub greatest: f64,
}

impl PixelRange {
    /// The range of a video of any shape. An empty video has the range 0 to 0.
    #[must_use]
    pub fn of(video: &Tensor) -> Self {
        if video.numel() == 0 {
            return Self { least: 0.0, greatest: 0.0 };
        }
        let (least, greatest) = tch::no_grad(|| video.aminmax(None, false));
        let [least, greatest] = [least, greatest].map(|value| value.to_kind(Kind::Double).double_value(&[]));
        Self { least, greatest }
    }

    /// Whether all values are finite.
    pub(crate) fn is_finite(self) -> bool {
        self.least.is_finite() && self.greatest.is_finite()
    }

    /// Accepts values from -2 to 2, which may be a video in [-1, 1] with overshoot.
    ///
    /// # Errors
    /// [`Error::PixelRange`] for other values, NaN and infinity.
    pub fn check(self) -> Result<(), Error> {
        if (-FAR..=FAR).contains(&self.least) && (-FAR..=FAR).contains(&self.greatest) {
            return Ok(());
        }
        Err(Error::PixelRange { range: self })
    }

    /// A warning about a clip that [`check`](Self::check) accepts but whose range is suspicious: all values are in [0, 1],
    /// or some exceed [-1, 1] by more than rounding.
    #[must_use]
    pub fn doubt(self) -> Option<String> {
        let Self { least, greatest } = self;
        if least >= 0.0 && greatest > 0.0 && greatest <= 1.0 + ROUNDING {
            return Some(format!(
                "all values are in [0, 1] (from {least:.3} to {greatest:.3}) where [-1, 1] is expected; 2 x - 1 converts them"
            ));
        }
        let inside = -1.0 - ROUNDING..=1.0 + ROUNDING;
        (!inside.contains(&least) || !inside.contains(&greatest))
            .then(|| format!("values from {least:.3} to {greatest:.3} exceed the expected [-1, 1]"))
    }

    /// The range for messages, and how to convert it.
    pub(crate) fn describe(self) -> String {
        let Self { least, greatest } = self;
        if !self.is_finite() {
            return "NaN or infinity".to_owned();
        }
        let hint = match least >= 0.0 && greatest <= 255.0 {
            true => "; x / 127.5 - 1 converts values of 0 to 255",
            false => "",
        };
        format!("values from {least:.4} to {greatest:.4}{hint}")
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::config::Config;
    use crate::config::tests::TINY;
    use crate::stream::EncodeOptions;
    use crate::stream::encoder::StreamEncoder;
    use crate::tokenizer::Tokenizer;

    fn range(values: &[f64]) -> PixelRange {
        PixelRange::of(&Tensor::from_slice(values).to_kind(Kind::Float).view([1, -1]))
    }

    #[test]
    fn pixel_ranges_are_accepted_warned_about_or_refused() {
        assert_eq!(range(&[0.5, -0.25, 0.0]), PixelRange { least: -0.25, greatest: 0.5 });
        let both_doubt =
            [(&[0.0, 0.3, 1.0][..], "[0, 1]"), (&[-1.3, 0.0, 1.0], "-1.300 to 1.000 exceed"), (&[1.5], "exceed")];
        for (values, word) in both_doubt {
            let range = range(values);
            assert!(range.check().is_ok() && range.doubt().unwrap().contains(word), "{values:?}");
        }
        for values in [&[-1.0, 1.0][..], &[-1.004, 0.2], &[0.0, 0.0], &[-0.1, 0.9], &[]] {
            assert!(range(values).check().is_ok() && range(values).doubt().is_none(), "{values:?}");
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
        assert!(matches!(tokenizer.encode(&bytes, EncodeOptions::default()), Err(Error::PixelRange { .. })));
        assert!(matches!(tokenizer.reconstruct(&bytes), Err(Error::PixelRange { .. })));
        let mut encoder = StreamEncoder::new(&tokenizer, [10, 8, 8], EncodeOptions::default());
        assert!(encoder.push(&video).is_ok() && matches!(encoder.push(&bytes), Err(Error::PixelRange { .. })));
    }
}
