//! Which frames of a video make a clip.
//!
//! Frames are taken at the multiple of the video's own frame time that is nearest to the wanted rate; no frame is
//! made up between two others.

use rand::{Rng, RngExt};

/// Frames from one to the next at `sample_fps`, at least 1.
#[must_use]
pub fn interval(video_fps: f64, sample_fps: f64) -> u64 {
    // Halves go to the even number, as in the published sampler.
    (video_fps / sample_fps).round_ties_even().max(1.0) as u64
}

/// The training rule: clips of `frames` frames at `sample_fps` (`None`: the video's own rate).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipRule {
    /// Frames in a clip.
    pub frames: usize,
    /// Frames per second that are wanted.
    pub sample_fps: Option<f64>,
}

impl ClipRule {
    /// Frames that a clip stretches over in a video of this rate.
    #[must_use]
    pub fn span(&self, video_fps: f64) -> u64 {
        self.span_of(self.frames as u64, video_fps)
    }

    /// The frames of the clip that starts at frame `start` of `total`: evenly spread, the last one at most one frame
    /// further than the rate asks for. A video of fewer than [`frames`](Self::frames) frames gives all it has; see
    /// [`pad`](Self::pad).
    #[must_use]
    pub fn indices(&self, total: u64, video_fps: f64, start: u64) -> Vec<u64> {
        let count = (self.frames as u64).min(total);
        let Some(last) = total.checked_sub(1) else {
            return Vec::new();
        };
        let start = start.min(last);
        let stretch = last.min(start + self.span_of(count, video_fps)) - start;
        // In integers: no rounding can lose a frame.
        let steps = count.saturating_sub(1).max(1);
        (0..count).map(|i| start + i * stretch / steps).collect()
    }

    /// A random first frame among `total`; 0 if the video is too short for a choice.
    pub fn random_start(&self, total: u64, video_fps: f64, rng: &mut impl Rng) -> u64 {
        let span = self.span_of((self.frames as u64).min(total), video_fps);
        match total.checked_sub(span + 1) {
            Some(latest) => rng.random_range(0..=latest),
            None => 0,
        }
    }

    /// Repeats the last index until there are [`frames`](Self::frames) of them.
    #[must_use]
    pub fn pad(&self, indices: Vec<u64>) -> Vec<u64> {
        repeat_last(indices, self.frames)
    }

    fn span_of(&self, count: u64, video_fps: f64) -> u64 {
        let interval = self.sample_fps.map_or(1, |sample_fps| interval(video_fps, sample_fps));
        count.saturating_sub(1).saturating_mul(interval) + 1
    }
}

/// A stretch of a video for evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Frames of the video, the last one repeated where the video ended early.
    pub indices: Vec<u64>,
    /// How many of them are not repetitions.
    pub real: usize,
}

/// The evaluation rule: all frames at `sample_fps` (`None`: the video's own rate), cut into windows of `window`
/// frames (`None`: one window of everything).
#[must_use]
pub fn evaluation_windows(total: u64, video_fps: f64, sample_fps: Option<f64>, window: Option<usize>) -> Vec<Window> {
    let stride = sample_fps.map_or(1, |sample_fps| interval(video_fps, sample_fps));
    let frames: Vec<u64> = (0..total).step_by(stride as usize).collect();
    let length = window.unwrap_or(frames.len()).max(1);
    frames
        .chunks(length)
        .map(|chunk| Window { indices: repeat_last(chunk.to_vec(), length), real: chunk.len() })
        .collect()
}

fn repeat_last(mut indices: Vec<u64>, length: usize) -> Vec<u64> {
    if let Some(&last) = indices.last() {
        indices.resize(length.max(indices.len()), last);
    }
    indices
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn rule(frames: usize, sample_fps: f64) -> ClipRule {
        ClipRule { frames, sample_fps: Some(sample_fps) }
    }

    #[test]
    fn indices_equal_the_reference_tables() {
        type Table = (u64, f64, usize, f64, u64, &'static [u64]);
        let tables: [Table; 7] = [
            (300, 30.0, 17, 3.0, 0, &[0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 130, 140, 150, 161]),
            (300, 29.97, 17, 8.0, 0, &[0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60, 65]),
            (250, 25.0, 17, 8.0, 0, &[0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33, 36, 39, 42, 45, 49]),
            (60, 24.0, 17, 3.0, 0, &[0, 3, 7, 11, 14, 18, 22, 25, 29, 33, 36, 40, 44, 47, 51, 55, 59]),
            (10, 30.0, 17, 30.0, 0, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
            (300, 30.0, 16, 30.0, 5, &[5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21]),
            (
                1337,
                25.0,
                33,
                3.0,
                100,
                &[
                    100, 108, 116, 124, 132, 140, 148, 156, 164, 172, 180, 188, 196, 204, 212, 220, 228, 236, 244, 252,
                    260, 268, 276, 284, 292, 300, 308, 316, 324, 332, 340, 348, 357,
                ],
            ),
        ];
        for (total, video_fps, frames, sample_fps, start, expected) in tables {
            assert_eq!(rule(frames, sample_fps).indices(total, video_fps, start), expected, "{total} {video_fps}");
        }
    }

    #[test]
    fn random_starts_cover_their_range_and_no_more() {
        let rule = rule(3, 10.0);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut seen: Vec<u64> = (0..500).map(|_| rule.random_start(12, 20.0, &mut rng)).collect();
        seen.sort_unstable();
        seen.dedup();
        // The span is 5, the last start 12 - 5 - 1.
        assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(rule.random_start(5, 20.0, &mut rng), 0);
    }

    #[test]
    fn short_videos_repeat_their_last_frame() {
        let rule = rule(5, 30.0);
        assert_eq!(rule.pad(rule.indices(2, 30.0, 0)), [0, 1, 1, 1, 1]);
        assert_eq!(rule.pad(rule.indices(1, 30.0, 7)), [0; 5]);
        assert!(rule.pad(rule.indices(0, 30.0, 0)).is_empty());
    }

    #[test]
    fn a_rate_above_the_videos_takes_every_frame() {
        assert_eq!(interval(10.0, 30.0), 1);
        assert_eq!(interval(25.0, 10.0), 2);
    }

    #[test]
    fn evaluation_takes_every_frame_once_and_repeats_only_the_last() {
        let windows = evaluation_windows(10, 30.0, Some(15.0), Some(3));
        let expected: [(&[u64], usize); 2] = [(&[0, 2, 4], 3), (&[6, 8, 8], 2)];
        assert_eq!(windows.len(), 2);
        for (window, (indices, real)) in windows.iter().zip(expected) {
            assert_eq!((window.indices.as_slice(), window.real), (indices, real));
        }
        assert_eq!(evaluation_windows(4, 30.0, None, None)[0].indices, [0, 1, 2, 3]);
        assert!(evaluation_windows(0, 30.0, None, Some(17)).is_empty());
    }
}
