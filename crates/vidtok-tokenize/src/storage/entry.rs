//! The metadata of a video, which together with its tokens restores its frames.

use serde::{Deserialize, Serialize};
use vidtok::{Padding, Window};
use vidtok_core::{FrameRate, FrameTimes, PixelAspect};
use vidtok_data::Timeline;

/// The metadata of a video in a dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VideoEntry {
    /// Its name in the dataset: its path without the extension, with `_` for all characters except letters, digits, `-`
    /// and `/`.
    pub key: String,
    /// Its path relative to the folder of videos.
    pub path: String,
    /// `[t, h, w]`: latent frames, rows and columns.
    pub tokens: [i64; 3],
    /// Bits per index; `None` for moments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits: Option<u32>,
    /// The number of frames that were tokenized, and that decoding restores.
    pub frames: i64,
    /// `[height, width]` of the tokenized frames.
    pub size: [i64; 2],
    /// Frames per second of the tokenized frames.
    #[serde(with = "rate")]
    pub fps: FrameRate,
    /// The time of each tokenized frame, if the rate is not constant; `fps` is then the average rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame_times: Option<FrameTimes>,
    /// The pixel aspect ratio; stored only if pixels are not square.
    #[serde(default, skip_serializing_if = "PixelAspect::is_square")]
    pub pixel_aspect: PixelAspect,
    /// The frames, rows and columns that were added before encoding.
    pub padding: Padding,
    /// The window in which a non-causal model encoded the video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// The video's file.
    pub source: SourceEntry,
}

/// The file of a video, before sampling and resizing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceEntry {
    /// The number of frames.
    pub frames: u64,
    /// `[height, width]` of the frames.
    pub size: [i64; 2],
    /// Frames per second.
    #[serde(with = "rate")]
    pub fps: FrameRate,
    /// The size of the file in bytes.
    pub bytes: u64,
}

impl SourceEntry {
    /// The number of pixels in all frames.
    #[must_use]
    pub fn pixels(&self) -> u64 {
        self.frames * (self.size[0] * self.size[1]).unsigned_abs()
    }
}

/// A limit on pixels, tokens and bytes that no video reaches, small enough that sums and counts of bits cannot
/// overflow.
const MAX: i64 = 1 << 50;

/// Whether these can be the frames, rows and columns of a video. A 0 does not excuse that the others are too large.
fn is_valid_size(numbers: [i64; 3]) -> bool {
    let product = numbers.iter().fold(1, |product: i64, &number| product.saturating_mul(number.max(1)));
    numbers.iter().all(|&number| number >= 0) && product <= MAX
}

impl VideoEntry {
    /// Whether a video can have these numbers. A damaged file may hold any.
    pub(crate) fn is_valid(&self) -> bool {
        let source_frames = i64::try_from(self.source.frames).unwrap_or(i64::MAX);
        let frames = |frames, [h, w]: [i64; 2]| [frames, h, w];
        let all = [self.tokens, frames(self.frames, self.size), frames(source_frames, self.source.size)];
        let all_timed = self.frame_times.as_ref().is_none_or(|times| u64::try_from(self.frames) == Ok(times.frames()));
        let Padding { front, back, bottom, right } = self.padding;
        let padding = [front, back, bottom, right].iter().all(|added| (0..=MAX).contains(added));
        let window = self
            .window
            .is_none_or(|Window { frames, overlap }| (1..=MAX).contains(&frames) && (0..frames).contains(&overlap));
        let bytes = self.source.bytes <= MAX.unsigned_abs();
        all.into_iter().all(is_valid_size) && padding && window && bytes && all_timed
    }

    /// The number of latent positions.
    #[must_use]
    pub fn positions(&self) -> u64 {
        self.tokens.map(i64::unsigned_abs).iter().product()
    }

    /// The number of pixels in the tokenized frames.
    #[must_use]
    pub fn pixels(&self) -> u64 {
        (self.frames * self.size[0] * self.size[1]).unsigned_abs()
    }

    /// The times of the tokenized frames and the shape of their pixels.
    pub(crate) fn timeline(&self) -> Timeline {
        Timeline::even(self.fps).with_times(self.frame_times.clone()).with_pixel_aspect(self.pixel_aspect)
    }

    /// The duration of the tokenized frames in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.frames as f64 / self.fps.as_f64()
    }
}

/// Frame rates as text, such as "30000/1001".
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
    fn negative_and_too_large_numbers_are_invalid() {
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
        assert!(entry([5, 90, 160], 17, [720, 1280], 17).is_valid());
        for invalid in [
            entry([-5, 90, 160], 17, [720, 1280], 17),
            entry([-5, -90, 160], 17, [720, 1280], 17),
            entry([0, -90, 160], 17, [720, 1280], 17),
            entry([0, i64::MAX, i64::MAX], 17, [720, 1280], 17),
            entry([5, 1 << 40, 1 << 40], 17, [720, 1280], 17),
            entry([5, 90, 160], i64::MAX, [720, 1280], 17),
            entry([5, 90, 160], 17, [720, -1], 17),
            entry([5, 90, 160], 17, [720, 1280], u64::MAX),
        ] {
            assert!(!invalid.is_valid(), "{invalid:?}");
        }
        let valid = entry([5, 90, 160], 17, [720, 1280], 17);
        for (front, window, expected) in [
            (3, Some(Window { frames: 16, overlap: 2 }), true),
            (-3, None, false),
            (i64::MAX, None, false),
            (3, Some(Window { frames: 0, overlap: 0 }), false),
            (3, Some(Window { frames: i64::MAX, overlap: 0 }), false),
            (3, Some(Window { frames: 16, overlap: 16 }), false),
            (3, Some(Window { frames: 16, overlap: -1 }), false),
        ] {
            let entry = VideoEntry { padding: Padding { front, ..valid.padding }, window, ..valid.clone() };
            assert_eq!(entry.is_valid(), expected, "{entry:?}");
        }
    }
}
