//! What is said of each video beside its tokens: enough to bring its frames back.

use serde::{Deserialize, Serialize};
use vidtok::{Padding, Window};
use vidtok_core::{FrameRate, FrameTimes, PixelAspect};
use vidtok_data::Timeline;

/// A video of a dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VideoEntry {
    /// Its name in the dataset: its path without the extension, and `_` for what is neither a letter nor a digit.
    pub key: String,
    /// Its path in the folder of the videos.
    pub path: String,
    /// Latent frames, rows and columns.
    pub tokens: [i64; 3],
    /// Bits of an index; only for indices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits: Option<u32>,
    /// Frames that were tokenized, and that come back.
    pub frames: i64,
    /// `[height, width]` of those.
    pub size: [i64; 2],
    /// Frames per second of those.
    #[serde(with = "rate")]
    pub fps: FrameRate,
    /// When each of those is shown, where their rate is not constant; `fps` is their average then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame_times: Option<FrameTimes>,
    /// The shape of their pixels; only if they are not square.
    #[serde(default, skip_serializing_if = "PixelAspect::is_square")]
    pub pixel_aspect: PixelAspect,
    /// What was added to them before they were encoded.
    pub padding: Padding,
    /// What a model that is not causal took at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// The file that they came from.
    pub source: SourceEntry,
}

/// A video's file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceEntry {
    /// Its frames.
    pub frames: u64,
    /// `[height, width]` of those.
    pub size: [i64; 2],
    /// Frames per second of those.
    #[serde(with = "rate")]
    pub fps: FrameRate,
    /// Bytes of the file.
    pub bytes: u64,
}

impl SourceEntry {
    /// Pixels of its frames.
    #[must_use]
    pub fn pixels(&self) -> u64 {
        self.frames * (self.size[0] * self.size[1]).unsigned_abs()
    }
}

/// More than any video has of pixels, tokens or bytes, and few enough to add up and to count bits of.
const MOST: i64 = 1 << 50;

/// Whether these may be frames, rows and columns. None of them makes up for others by being 0.
fn are_possible(numbers: [i64; 3]) -> bool {
    let product = numbers.iter().fold(1, |product: i64, &number| product.saturating_mul(number.max(1)));
    numbers.iter().all(|&number| number >= 0) && product <= MOST
}

impl VideoEntry {
    /// Whether its numbers are those of a video. A damaged file may hold any.
    pub(crate) fn is_possible(&self) -> bool {
        let source_frames = i64::try_from(self.source.frames).unwrap_or(i64::MAX);
        let frames = |frames, [h, w]: [i64; 2]| [frames, h, w];
        let all = [self.tokens, frames(self.frames, self.size), frames(source_frames, self.source.size)];
        let all_timed = self.frame_times.as_ref().is_none_or(|times| u64::try_from(self.frames) == Ok(times.frames()));
        let Padding { front, back, bottom, right } = self.padding;
        let padding = [front, back, bottom, right].iter().all(|added| (0..=MOST).contains(added));
        let window = self
            .window
            .is_none_or(|Window { frames, overlap }| (1..=MOST).contains(&frames) && (0..frames).contains(&overlap));
        let bytes = self.source.bytes <= MOST.unsigned_abs();
        all.into_iter().all(are_possible) && padding && window && bytes && all_timed
    }

    /// Latent positions.
    #[must_use]
    pub fn positions(&self) -> u64 {
        self.tokens.map(i64::unsigned_abs).iter().product()
    }

    /// Pixels of the frames that were tokenized.
    #[must_use]
    pub fn pixels(&self) -> u64 {
        (self.frames * self.size[0] * self.size[1]).unsigned_abs()
    }

    /// When those are shown.
    pub(crate) fn timeline(&self) -> Timeline {
        Timeline::even(self.fps).with_times(self.frame_times.clone()).with_pixel_aspect(self.pixel_aspect)
    }

    /// How long those are shown.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.frames as f64 / self.fps.as_f64()
    }
}

/// A frame rate as text, such as "30000/1001".
mod rate {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use vidtok_core::FrameRate;

    pub(super) fn serialize<S: Serializer>(rate: &FrameRate, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(rate)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<FrameRate, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_negative_or_too_large_are_no_videos() {
        let entry = |tokens: [i64; 3], frames: i64, size: [i64; 2], source_frames: u64| {
            let fps = FrameRate::new(25, 1).unwrap();
            VideoEntry {
                key: "a".to_owned(),
                path: "a.mp4".to_owned(),
                tokens,
                bits: None,
                frames,
                size,
                fps,
                frame_times: None,
                pixel_aspect: PixelAspect::SQUARE,
                padding: Padding { front: 0, back: 0, bottom: 0, right: 0 },
                window: None,
                source: SourceEntry { frames: source_frames, size: [720, 1280], fps, bytes: 1 },
            }
        };
        assert!(entry([5, 90, 160], 17, [720, 1280], 17).is_possible());
        for impossible in [
            entry([-5, 90, 160], 17, [720, 1280], 17),
            entry([-5, -90, 160], 17, [720, 1280], 17),
            entry([0, -90, 160], 17, [720, 1280], 17),
            entry([0, i64::MAX, i64::MAX], 17, [720, 1280], 17),
            entry([5, 1 << 40, 1 << 40], 17, [720, 1280], 17),
            entry([5, 90, 160], i64::MAX, [720, 1280], 17),
            entry([5, 90, 160], 17, [720, -1], 17),
            entry([5, 90, 160], 17, [720, 1280], u64::MAX),
        ] {
            assert!(!impossible.is_possible(), "{impossible:?}");
        }
        let possible = entry([5, 90, 160], 17, [720, 1280], 17);
        for (front, window, is_possible) in [
            (3, Some(Window { frames: 16, overlap: 2 }), true),
            (-3, None, false),
            (i64::MAX, None, false),
            (3, Some(Window { frames: 0, overlap: 0 }), false),
            (3, Some(Window { frames: i64::MAX, overlap: 0 }), false),
            (3, Some(Window { frames: 16, overlap: 16 }), false),
            (3, Some(Window { frames: 16, overlap: -1 }), false),
        ] {
            let entry = VideoEntry { padding: Padding { front, ..possible.padding }, window, ..possible.clone() };
            assert_eq!(entry.is_possible(), is_possible, "{entry:?}");
        }
    }
}
