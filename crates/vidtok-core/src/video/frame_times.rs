//! Presentation times of the frames of a video with a variable frame rate.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::video::FrameRate;

/// The exact time of each frame since the first one, as an ascending number of ticks of a fixed length.
///
/// Times are stored, and written as JSON, as runs of equal steps: `{"tick":"1/90000","steps":[[3000,19],[4800,1]]}` is
/// a frame at 0, nineteen more at intervals of 3000 ticks of 1/90000 s, and one after another 4800 ticks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct FrameTimes {
    /// Seconds per tick, as (numerator, denominator).
    tick: (u32, u32),
    runs: Arc<[Run]>,
    frames: u64,
}

/// Frames at equal intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// The frame before the first step, and its time.
    frame: u64,
    ticks: u64,
    /// Ticks from each frame to the next.
    step: u64,
}

/// The serialized form.
#[derive(Serialize, Deserialize)]
struct Written {
    tick: String,
    /// Step in ticks, and the number of consecutive repetitions.
    steps: Vec<(u64, u64)>,
}

/// The text does not describe frame times.
#[derive(Debug, thiserror::Error)]
#[error("not frame times: expected a tick such as \"1/90000\" and steps [[TICKS, COUNT], ...] above 0")]
pub struct FrameTimesError;

impl FrameTimes {
    /// Frames at these ticks of `tick.0 / tick.1` seconds, shifted so that the first is at 0. `None` if `ticks` is empty or
    /// does not ascend, or the tick's length is not positive.
    #[must_use]
    pub fn new(tick: (u32, u32), ticks: &[i64]) -> Option<Self> {
        let steps = ticks.windows(2).map(|pair| pair[1].checked_sub(pair[0]).and_then(|step| u64::try_from(step).ok()));
        let steps: Option<Vec<_>> = steps.map(|step| step.map(|step| (step, 1))).collect();
        ticks.first().and(Self::from_steps(tick, &steps?))
    }

    fn from_steps(tick: (u32, u32), steps: &[(u64, u64)]) -> Option<Self> {
        let (mut frame, mut ticks) = (0_u64, 0_u64);
        let mut runs: Vec<Run> = Vec::new();
        for &(step, count) in steps {
            if step == 0 || count == 0 {
                return None;
            }
            if runs.last().is_none_or(|run| run.step != step) {
                runs.push(Run { frame, ticks, step });
            }
            (frame, ticks) = (frame.checked_add(count)?, ticks.checked_add(step.checked_mul(count)?)?);
        }
        let possible = tick.0 > 0 && tick.1 > 0 && i64::try_from(ticks).is_ok() && i64::try_from(frame).is_ok();
        possible.then(|| Self { tick, runs: runs.into(), frames: frame + 1 })
    }

    /// Number of frames, at least one.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Seconds per tick, as (numerator, denominator).
    #[must_use]
    pub fn tick(&self) -> (u32, u32) {
        self.tick
    }

    /// Time of a frame since the first one, in ticks; `None` past the end.
    #[must_use]
    pub fn ticks(&self, frame: u64) -> Option<u64> {
        let run = &self.runs[..self.runs.partition_point(|run| run.frame <= frame)];
        let ticks = run.last().map_or(0, |run| run.ticks + (frame - run.frame) * run.step);
        (frame < self.frames).then_some(ticks)
    }

    /// Time of a frame since the first one, in seconds; past the end, that of the last frame.
    #[must_use]
    pub fn seconds(&self, frame: u64) -> f64 {
        self.in_seconds(self.ticks(frame.min(self.frames - 1)).unwrap_or_default())
    }

    /// The shortest interval between two consecutive frames in seconds; infinite for a single frame.
    #[must_use]
    pub fn shortest(&self) -> f64 {
        self.runs.iter().map(|run| run.step).min().map_or(f64::INFINITY, |ticks| self.in_seconds(ticks))
    }

    /// The constant rate with the same duration, rounded to a millionth of a frame per second and in lowest terms; `None`
    /// for a single frame, or if the rate exceeds what [`FrameRate`] can hold.
    #[must_use]
    pub fn average(&self) -> Option<FrameRate> {
        let last = self.frames - 1;
        let rate = last as f64 / self.seconds(last) * 1e6;
        (rate < f64::from(u32::MAX)).then(|| FrameRate::reduced(rate.round() as u64, 1_000_000)).flatten()
    }

    /// Whether every frame is within one tick of its time at this constant rate. Containers round times to ticks.
    #[must_use]
    pub fn are_steady(&self, rate: FrameRate) -> bool {
        let (frames, seconds) = rate.fraction();
        let [(tick, ticks), (seconds, frames)] =
            [self.tick, (seconds, frames)].map(|(a, b)| (i128::from(a), i128::from(b)));
        let near = |frame: u64| {
            let time = i128::from(self.ticks(frame).unwrap_or_default());
            (time * tick * frames - i128::from(frame) * seconds * ticks).abs() <= tick * frames
        };
        // The deviation is linear within a run, so its ends suffice.
        self.runs.iter().all(|run| near(run.frame)) && near(self.frames - 1)
    }

    /// The times of these frames, shifted so that the first is at 0. `None` if `frames` is empty, does not ascend, or has
    /// a frame past the end.
    #[must_use]
    pub fn select(&self, frames: impl IntoIterator<Item = u64>) -> Option<Self> {
        let ticks = frames.into_iter().map(|frame| i64::try_from(self.ticks(frame)?).ok());
        Self::new(self.tick, &ticks.collect::<Option<Vec<_>>>()?)
    }

    fn in_seconds(&self, ticks: u64) -> f64 {
        ticks as f64 * f64::from(self.tick.0) / f64::from(self.tick.1)
    }
}

/// JSON.
impl fmt::Display for FrameTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for FrameTimes {
    type Err = FrameTimesError;

    fn from_str(text: &str) -> Result<Self, FrameTimesError> {
        serde_json::from_str(text).map_err(|_| FrameTimesError)
    }
}

impl From<FrameTimes> for Written {
    fn from(times: FrameTimes) -> Self {
        let ends = times.runs.iter().skip(1).map(|run| run.frame).chain([times.frames - 1]);
        let steps = times.runs.iter().zip(ends).map(|(run, end)| (run.step, end - run.frame)).collect();
        Self { tick: format!("{}/{}", times.tick.0, times.tick.1), steps }
    }
}

impl TryFrom<Written> for FrameTimes {
    type Error = FrameTimesError;

    fn try_from(written: Written) -> Result<Self, FrameTimesError> {
        let tick = written.tick.split_once('/').and_then(|(a, b)| a.parse().ok().zip(b.parse().ok()));
        tick.and_then(|tick| Self::from_steps(tick, &written.steps)).ok_or(FrameTimesError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(num: u32, den: u32) -> FrameRate {
        FrameRate::new(num, den).unwrap()
    }

    fn at(ticks: &[i64]) -> FrameTimes {
        FrameTimes::new((1, 1000), ticks).unwrap()
    }

    #[test]
    fn each_frame_has_a_time_since_the_first() {
        let times = at(&[5, 15, 25, 75, 80]);
        assert_eq!(
            [0, 1, 2, 3, 4, 5].map(|frame| times.ticks(frame)),
            [0, 10, 20, 70, 75].map(Some).into_iter().chain([None]).collect::<Vec<_>>()[..]
        );
        assert_eq!((times.frames(), times.seconds(3), times.seconds(9), times.shortest()), (5, 0.07, 0.075, 0.005));
        assert_eq!(times.average(), FrameRate::new(53_333_333, 1_000_000));
    }

    #[test]
    fn a_single_frame_has_times_but_no_rate() {
        let still = at(&[7]);
        assert_eq!((still.frames(), still.ticks(0), still.ticks(1)), (1, Some(0), None));
        assert_eq!((still.shortest(), still.average()), (f64::INFINITY, None));
    }

    #[test]
    fn times_that_do_not_ascend_are_refused() {
        for ticks in [&[][..], &[0, 5, 5], &[0, 5, 4], &[i64::MIN, i64::MAX]] {
            assert_eq!(FrameTimes::new((1, 1000), ticks), None, "{ticks:?}");
        }
        assert_eq!(FrameTimes::new((0, 1000), &[0, 1]), None);
    }

    #[test]
    fn times_rounded_to_ticks_are_steady_and_a_shifted_frame_is_not() {
        assert!(at(&[5, 38, 72, 105, 138]).are_steady(rate(30000, 1001)));
        assert!(!at(&[5, 38, 74, 105, 138]).are_steady(rate(30000, 1001)));
        assert!(!at(&[0, 40, 80, 120, 160, 202]).are_steady(rate(25, 1)));
    }

    #[test]
    fn selected_frames_keep_their_intervals() {
        let times = at(&[10, 20, 70, 75, 100]);
        assert_eq!(times.select([1, 2, 4]), FrameTimes::new((1, 1000), &[0, 50, 80]));
        assert_eq!(times.select([1, 1]), None);
        assert_eq!(times.select([4, 5]), None);
    }

    #[test]
    fn times_are_written_as_runs_and_read_back() {
        let times = at(&[0, 10, 20, 70, 80]);
        let text = times.to_string();
        assert_eq!(text, r#"{"tick":"1/1000","steps":[[10,2],[50,1],[10,1]]}"#);
        assert_eq!(text.parse::<FrameTimes>().unwrap(), times);
        for damaged in [
            r#"{"tick":"1/0","steps":[]}"#,
            r#"{"tick":"x","steps":[]}"#,
            r#"{"tick":"1/1000","steps":[[0,1]]}"#,
            r#"{"tick":"1/1000","steps":[[1,0]]}"#,
            r#"{"tick":"1/1000","steps":[[9223372036854775807,3]]}"#,
            r#"{"tick":"1/1000","steps":[[1,18446744073709551615]]}"#,
        ] {
            assert!(damaged.parse::<FrameTimes>().is_err(), "{damaged}");
        }
    }
}
