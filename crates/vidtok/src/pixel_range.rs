//! The range of pixels: a video in another one is coded to something, and nothing in the result says so.

use tch::{Kind, Tensor};

use crate::error::Error;

/// Decoders overshoot [-1, 1], and what they give may be encoded again; no overshoot comes this far.
const FAR: f64 = 2.0;
/// Rounding in any number type that computes pixels.
const ROUNDING: f64 = 1e-2;

/// The least and the greatest value of a video whose pixels should be in [-1, 1].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PixelRange {
    /// The least value; NaN if any value is.
    pub least: f64,
    /// The greatest value; NaN if any value is.
    pub greatest: f64,
}

impl PixelRange {
    /// That of a video of any shape, in one pass. An empty one has the range 0 to 0.
    #[must_use]
    pub fn of(video: &Tensor) -> Self {
        if video.numel() == 0 {
            return Self { least: 0.0, greatest: 0.0 };
        }
        let (least, greatest) = tch::no_grad(|| video.aminmax(None, false));
        let [least, greatest] = [least, greatest].map(|value| value.to_kind(Kind::Double).double_value(&[]));
        Self { least, greatest }
    }

    /// Whether all values are numbers other than infinities.
    pub(crate) fn is_finite(self) -> bool {
        self.least.is_finite() && self.greatest.is_finite()
    }

    /// Accepts what may be a video in [-1, 1]: values from -2 to 2.
    ///
    /// # Errors
    /// [`Error::PixelRange`] for values farther out, NaN and infinities.
    pub fn check(self) -> Result<(), Error> {
        if (-FAR..=FAR).contains(&self.least) && (-FAR..=FAR).contains(&self.greatest) {
            return Ok(());
        }
        Err(Error::PixelRange { range: self })
    }

    /// What is likely to be wrong with a whole clip that [`check`](Self::check) accepts, in words: its values are in
    /// [0, 1], or they leave [-1, 1] by more than rounding.
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
            .then(|| format!("values from {least:.3} to {greatest:.3} leave the expected [-1, 1]"))
    }

    /// For messages: what was found, and how to convert it.
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
    fn ranges_of_pixels_are_accepted_doubted_or_refused() {
        assert_eq!(range(&[0.5, -0.25, 0.0]), PixelRange { least: -0.25, greatest: 0.5 });
        let both_doubt =
            [(&[0.0, 0.3, 1.0][..], "[0, 1]"), (&[-1.3, 0.0, 1.0], "-1.300 to 1.000 leave"), (&[1.5], "leave")];
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
    fn a_tokenizer_refuses_pixels_of_another_range_in_whatever_chunk_they_come() {
        let tokenizer = Tokenizer::init(Config::parse(TINY).unwrap(), 0, Device::Cpu).unwrap();
        let video = Tensor::zeros([1, 3, 5, 8, 8], (Kind::Float, Device::Cpu));
        let bytes = &video + 128.0;
        assert!(matches!(tokenizer.encode(&bytes, EncodeOptions::default()), Err(Error::PixelRange { .. })));
        assert!(matches!(tokenizer.reconstruct(&bytes), Err(Error::PixelRange { .. })));
        let mut encoder = StreamEncoder::new(&tokenizer, [10, 8, 8], EncodeOptions::default());
        assert!(encoder.push(&video).is_ok() && matches!(encoder.push(&bytes), Err(Error::PixelRange { .. })));
    }
}
