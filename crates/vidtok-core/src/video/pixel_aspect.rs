//! The sample aspect ratio of a video.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The sample aspect ratio: the width of a displayed pixel over its height. As text, `16:11`.
///
/// A video of 64x48 pixels with the ratio 16:11 is displayed 93 wide and 48 high. Cropping and scaling both sides by the
/// same factor keep the ratio; a rotation by 90 degrees inverts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PixelAspect {
    width: u32,
    height: u32,
}

/// The text is not a sample aspect ratio.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a sample aspect ratio: expected two positive numbers such as 16:11")]
pub struct ParsePixelAspectError {
    text: String,
}

impl PixelAspect {
    /// Square pixels.
    pub const SQUARE: Self = Self { width: 1, height: 1 };

    /// `width` over `height`, in lowest terms; `None` unless both are positive.
    #[must_use]
    pub fn new(width: u32, height: u32) -> Option<Self> {
        let (mut divisor, mut rest) = (width, height);
        while rest > 0 {
            (divisor, rest) = (rest, divisor % rest);
        }
        (width > 0 && height > 0).then(|| Self { width: width / divisor, height: height / divisor })
    }

    /// Width and height, in lowest terms.
    #[must_use]
    pub fn ratio(self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Whether the pixels are square.
    #[must_use]
    pub fn is_square(&self) -> bool {
        *self == Self::SQUARE
    }
}

impl Default for PixelAspect {
    fn default() -> Self {
        Self::SQUARE
    }
}

impl fmt::Display for PixelAspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.width, self.height)
    }
}

impl FromStr for PixelAspect {
    type Err = ParsePixelAspectError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let sides = text.split_once(':').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
        let parsed = sides.and_then(|(width, height)| Self::new(width, height));
        parsed.ok_or_else(|| ParsePixelAspectError { text: text.to_owned() })
    }
}

impl TryFrom<String> for PixelAspect {
    type Error = ParsePixelAspectError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PixelAspect> for String {
    fn from(aspect: PixelAspect) -> Self {
        aspect.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_in_lowest_terms_and_print_as_they_parse() {
        let aspect = PixelAspect::new(32, 22).unwrap();
        assert_eq!((aspect.ratio(), aspect.to_string().as_str()), ((16, 11), "16:11"));
        assert_eq!("16:11".parse(), Ok(aspect));
        assert!("7:7".parse::<PixelAspect>().unwrap().is_square());
    }

    #[test]
    fn zero_negative_and_malformed_ratios_are_refused() {
        for text in ["0:1", "1:0", "-1:1", "16", "16/11", "", "a:b", "4294967296:1"] {
            assert!(text.parse::<PixelAspect>().is_err(), "{text}");
        }
    }
}
