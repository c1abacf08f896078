//! Choosing the frames of a clip.
//!
//! Frames are never interpolated, and none is taken twice.
//!
//! - At a constant frame rate, every n-th frame is taken, with the n whose rate is nearest to the wanted one.
//! - Where frames come unevenly, the frame nearest to each multiple of the wanted frame time is taken, counted from the
//!   first frame. Stretches where frames come more slowly are taken whole.

use std::ops::Range;
use std::sync::Arc;

use rand::{Rng, RngExt};
use tch::Tensor;
use vidtok_core::{FrameRate, FrameTimes, VideoInfo};

/// The number of frames from one taken frame to the next at `sample_fps`, at least 1.
#[must_use]
pub fn interval(video_fps: f64, sample_fps: f64) -> u64 {
    // Halves are rounded to even, as in the published sampler.
    (video_fps / sample_fps).round_ties_even().max(1.0) as u64
}

/// The frames to take of a whole video to approximate a frame rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// Every n-th frame, from the first on.
    Every(u64),
    /// The frames with these indices, ascending.
    Listed(Arc<[u64]>),
}

impl Sampling {
    /// Every frame.
    pub const ALL: Self = Self::Every(1);

    /// The frames of `video` at `sample_fps`, or all without it.
    #[must_use]
    pub fn of(video: &VideoInfo, sample_fps: Option<f64>) -> Self {
        match (sample_fps, &video.times) {
            (None, _) => Self::ALL,
            (Some(fps), None) => Self::Every(interval(video.frame_rate.as_f64(), fps)),
            (Some(fps), Some(times)) => Self::Listed(ByTime::new(times, video.frames, fps, 0).collect()),
        }
    }

    /// How many of a video's first `frames` frames are taken.
    #[must_use]
    pub fn count(&self, frames: u64) -> u64 {
        match self {
            Self::Every(n) => frames.div_ceil(*n),
            Self::Listed(list) => list.partition_point(|&frame| frame < frames) as u64,
        }
    }

    /// The taken frames within a range of the video's frames, as indices from the start of the range.
    #[must_use]
    pub fn within(&self, frames: Range<u64>) -> Vec<i64> {
        let offset = |frame: u64| (frame - frames.start) as i64;
        match self {
            Self::Every(n) => {
                let first = frames.start.div_ceil(*n) * n;
                (first..frames.end).step_by(usize::try_from(*n).unwrap_or(usize::MAX)).map(offset).collect()
            }
            Self::Listed(list) => {
                let [from, to] = [frames.start, frames.end].map(|end| list.partition_point(|&frame| frame < end));
                list[from..to].iter().copied().map(offset).collect()
            }
        }
    }

    /// The taken ones of `frames` (the first dimension), the first of which is the video's frame `start`.
    pub fn take(&self, frames: &Tensor, start: u64) -> Tensor {
        match self {
            &Self::ALL => frames.shallow_clone(),
            _ => {
                let indices = self.within(start..start + frames.size()[0] as u64);
                frames.index_select(0, &Tensor::from_slice(&indices).to_device(frames.device()))
            }
        }
    }

    /// Describes the taken frames of `video` as a video of their own, at `sample_fps` exactly where they keep to it.
    ///
    /// `None` if the rate is too low for a [`FrameRate`].
    #[must_use]
    pub fn apply(&self, video: &VideoInfo, sample_fps: Option<f64>) -> Option<VideoInfo> {
        let frames = self.count(video.frames);
        let (frame_rate, times) = match (&video.times, self) {
            (None, Self::Every(n)) => (video.frame_rate.every(u32::try_from(*n).ok()?)?, None),
            (None, Self::Listed(_)) => (video.frame_rate, None),
            (Some(times), Self::Every(1)) => (video.frame_rate, Some(times.clone())),
            (Some(times), _) => {
                let taken = self.within(0..video.frames).into_iter().map(|frame| frame as u64);
                let times = times.select(taken)?;
                match sample_fps.and_then(FrameRate::from_f64).filter(|rate| times.are_steady(*rate)) {
                    Some(rate) => (rate, None),
                    None => (times.average().unwrap_or(video.frame_rate), Some(times)),
                }
            }
        };
        Some(VideoInfo { frame_rate, frames, times, ..video.clone() })
    }
}

/// Iterates over an uneven video from a first frame on, taking the frame nearest to each multiple of a frame time.
struct ByTime<'a> {
    times: &'a FrameTimes,
    frames: u64,
    fps: f64,
    start: f64,
    next: Option<u64>,
    /// The time from `start` to the frame before `next`, in frame times of the wanted rate.
    step: f64,
}

impl<'a> ByTime<'a> {
    /// Starts at frame `start` of the video's first `frames` frames.
    fn new(times: &'a FrameTimes, frames: u64, fps: f64, start: u64) -> Self {
        let frames = frames.min(times.frames());
        let next = (start < frames).then_some(start);
        Self { times, frames, fps, start: times.seconds(start), next, step: 0.0 }
    }

    /// The frame taken after `frame`: the nearest to the first multiple that `frame` is not nearest to.
    fn after(&mut self, frame: u64) -> Option<u64> {
        let time = |frame| self.times.seconds(frame) - self.start;
        let last = self.frames - 1;
        if frame >= last {
            return None;
        }
        let middle = f64::midpoint(time(frame), time(frame + 1));
        // A multiple half-way between two frames belongs to the earlier one.
        self.step = (self.step + 1.0).max((middle * self.fps).floor() + 1.0);
        let wanted = self.step / self.fps;
        let (mut low, mut high) = (frame + 1, last);
        while low < high {
            let candidate = low + (high - low) / 2;
            if f64::midpoint(time(candidate), time(candidate + 1)) < wanted {
                low = candidate + 1;
            } else {
                high = candidate;
            }
        }
        // The last frame reaches as far forwards as backwards.
        let reach = time(last) + (time(last) - time(last - 1)) / 2.0;
        (wanted <= reach).then_some(low)
    }
}

impl Iterator for ByTime<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let frame = self.next?;
        self.next = self.after(frame);
        Some(frame)
    }
}

/// The rule for training clips: `frames` frames at `sample_fps` (`None`: at the video's own rate).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipRule {
    /// Frames per clip.
    pub frames: usize,
    /// The wanted rate, in frames per second.
    pub sample_fps: Option<f64>,
}

impl ClipRule {
    /// The frames of the clip that starts at frame `start`. A video with fewer than [`frames`](Self::frames) frames
    /// returns all it has; see [`pad`](Self::pad).
    ///
    /// At a constant rate the frames are evenly spread, and the last one lies at most one frame beyond the rate, as in
    /// the published sampler.
    #[must_use]
    pub fn indices(&self, video: &VideoInfo, start: u64) -> Vec<u64> {
        let Some(last) = video.frames.checked_sub(1) else {
            return Vec::new();
        };
        let start = start.min(last);
        if let Some(by_time) = self.by_time(video, start) {
            return by_time.take(self.frames).collect();
        }
        let count = (self.frames as u64).min(video.frames);
        let stretch = last.min(start + self.span_of(count, video)) - start;
        // Integer arithmetic: no rounding error can lose a frame.
        let steps = count.saturating_sub(1).max(1);
        (0..count).map(|i| start + i * stretch / steps).collect()
    }

    /// The frames of the clip that starts at frame `start`, spaced exactly by the rate.
    #[must_use]
    pub fn exact_indices(&self, video: &VideoInfo, start: u64) -> Vec<u64> {
        if let Some(by_time) = self.by_time(video, start) {
            return by_time.take(self.frames).collect();
        }
        (0..self.frames as u64).map(|i| start + i * self.interval(video)).take_while(|&i| i < video.frames).collect()
    }

    /// A random first frame; 0 if the video is too short to choose.
    pub fn random_start(&self, video: &VideoInfo, rng: &mut impl Rng) -> u64 {
        let latest = match self.by_time(video, 0) {
            Some(_) => self.latest_start(video),
            None => video.frames.checked_sub(self.span_of((self.frames as u64).min(video.frames), video) + 1),
        };
        latest.map_or(0, |latest| rng.random_range(0..=latest))
    }

    /// The last frame at which a whole clip of [`exact_indices`](Self::exact_indices) can start; `None` if the video is
    /// too short for one.
    #[must_use]
    pub fn latest_start(&self, video: &VideoInfo) -> Option<u64> {
        if self.by_time(video, 0).is_none() {
            return video.frames.checked_sub(self.span_of(self.frames as u64, video));
        }
        let is_whole =
            |start| self.by_time(video, start).is_some_and(|frames| frames.take(self.frames).count() == self.frames);
        let (mut whole, mut short) = (0, video.frames);
        if !is_whole(0) {
            return None;
        }
        while whole + 1 < short {
            let start = whole + (short - whole) / 2;
            if is_whole(start) { whole = start } else { short = start }
        }
        Some(whole)
    }

    /// The number of frames that a clip spans, on average where frames come unevenly.
    #[must_use]
    pub fn span(&self, video: &VideoInfo) -> u64 {
        self.span_of(self.frames as u64, video)
    }

    /// Repeats the last index until the clip has [`frames`](Self::frames) of them.
    #[must_use]
    pub fn pad(&self, indices: Vec<u64>) -> Vec<u64> {
        repeat_last(indices, self.frames)
    }

    /// For an uneven video at another rate than its own.
    fn by_time<'a>(&self, video: &'a VideoInfo, start: u64) -> Option<ByTime<'a>> {
        let (times, fps) = video.times.as_ref().zip(self.sample_fps)?;
        Some(ByTime::new(times, video.frames, fps, start))
    }

    fn interval(&self, video: &VideoInfo) -> u64 {
        self.sample_fps.map_or(1, |sample_fps| interval(video.frame_rate.as_f64(), sample_fps))
    }

    fn span_of(&self, count: u64, video: &VideoInfo) -> u64 {
        count.saturating_sub(1).saturating_mul(self.interval(video)) + 1
    }
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

    fn video(frames: u64, fps: f64) -> VideoInfo {
        let frame_rate = FrameRate::from_f64(fps).unwrap();
        VideoInfo { width: 2, height: 2, frame_rate, frames, times: None }
    }

    /// A video with frames at these milliseconds.
    fn uneven(ms: &[i64]) -> VideoInfo {
        VideoInfo { times: FrameTimes::new((1, 1000), ms), ..video(ms.len() as u64, 10.0) }
    }

    /// One second at 30 frames per second, then six seconds at 5.
    fn two_paces() -> VideoInfo {
        let ticks: Vec<i64> = (0..60).map(|n| if n < 30 { n } else { 30 + (n - 30) * 6 }).collect();
        VideoInfo { times: FrameTimes::new((1, 30), &ticks), ..video(60, 9.0) }
    }

    #[test]
    fn indices_match_the_reference_tables() {
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
            assert_eq!(
                rule(frames, sample_fps).indices(&video(total, video_fps), start),
                expected,
                "{total} {video_fps}"
            );
        }
    }

    #[test]
    fn random_starts_cover_exactly_their_range() {
        let rule = rule(3, 10.0);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut seen: Vec<u64> = (0..500).map(|_| rule.random_start(&video(12, 20.0), &mut rng)).collect();
        seen.sort_unstable();
        seen.dedup();
        // The span is 5, so the last start is 12 - 5 - 1.
        assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(rule.random_start(&video(5, 20.0), &mut rng), 0);
    }

    #[test]
    fn short_videos_repeat_their_last_frame() {
        let rule = rule(5, 30.0);
        assert_eq!(rule.pad(rule.indices(&video(2, 30.0), 0)), [0, 1, 1, 1, 1]);
        assert_eq!(rule.pad(rule.indices(&video(1, 30.0), 7)), [0; 5]);
        assert!(rule.pad(rule.indices(&video(0, 30.0), 0)).is_empty());
    }

    #[test]
    fn a_rate_above_the_video_rate_takes_every_frame() {
        assert_eq!(interval(10.0, 30.0), 1);
        assert_eq!(interval(25.0, 10.0), 2);
    }

    #[test]
    fn an_uneven_video_is_sampled_by_time() {
        let video = two_paces();
        let sampling = Sampling::of(&video, Some(5.0));
        let expected: Vec<u64> = (0..5).map(|i| i * 6).chain(30..60).collect();
        assert_eq!(sampling, Sampling::Listed(expected.into()));
        let taken = sampling.apply(&video, Some(5.0)).unwrap();
        assert_eq!((taken.frames, taken.frame_rate, taken.times), (35, FrameRate::new(5, 1).unwrap(), None));
    }

    #[test]
    fn slow_stretches_take_each_frame_once_and_keep_its_time() {
        let video = two_paces();
        let sampling = Sampling::of(&video, Some(10.0));
        let expected: Vec<u64> = (0..10).map(|i| i * 3).chain(30..60).collect();
        assert_eq!(sampling, Sampling::Listed(expected.into()));
        let taken = sampling.apply(&video, Some(10.0)).unwrap();
        let times = taken.times.unwrap();
        assert_eq!((taken.frames, times.seconds(9), times.seconds(10), times.seconds(11)), (40, 0.9, 1.0, 1.2));
    }

    #[test]
    fn the_nearest_frame_is_taken_and_a_late_one_shifts_no_other() {
        let late = uneven(&[0, 33, 67, 100, 153, 167, 200, 233, 267, 300]);
        assert_eq!(Sampling::of(&late, Some(15.0)), Sampling::Listed([0, 2, 4, 6, 8].into()));
        assert_eq!(Sampling::of(&late, Some(1000.0)), Sampling::Listed((0..10).collect()));
        assert_eq!(Sampling::of(&late, Some(0.01)), Sampling::Listed([0].into()));
        assert_eq!(Sampling::of(&uneven(&[0]), Some(10.0)), Sampling::Listed([0].into()));
    }

    #[test]
    fn ranges_of_a_sampled_video_join_to_the_whole() {
        for sampling in [Sampling::Every(3), Sampling::of(&two_paces(), Some(4.0)), Sampling::ALL] {
            let whole = sampling.within(0..60);
            assert_eq!(whole.len() as u64, sampling.count(60));
            let parts = [0..7, 7..8, 8..31, 31..60];
            let joined: Vec<i64> = parts
                .into_iter()
                .flat_map(|part| sampling.within(part.clone()).into_iter().map(move |i| i + part.start as i64))
                .collect();
            assert_eq!(joined, whole);
        }
    }

    #[test]
    fn clips_of_an_uneven_video_follow_time() {
        let video = two_paces();
        let rule = rule(4, 5.0);
        assert_eq!(rule.indices(&video, 0), [0, 6, 12, 18]);
        assert_eq!(rule.indices(&video, 21), [21, 27, 30, 31]);
        assert_eq!(rule.exact_indices(&video, 40), [40, 41, 42, 43]);
        assert_eq!(rule.latest_start(&video), Some(56));
        assert_eq!(rule.indices(&video, 58), [58, 59]);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        assert!((0..500).map(|_| rule.random_start(&video, &mut rng)).all(|start| start <= 56));
        assert_eq!(rule.latest_start(&VideoInfo { frames: 10, ..video }), None);
    }

    #[test]
    fn a_whole_clip_fits_after_the_latest_start() {
        assert_eq!(rule(3, 10.0).latest_start(&video(12, 20.0)), Some(7));
        assert_eq!(rule(3, 10.0).exact_indices(&video(12, 20.0), 7), [7, 9, 11]);
        assert_eq!(rule(3, 10.0).latest_start(&video(4, 20.0)), None);
    }
}
