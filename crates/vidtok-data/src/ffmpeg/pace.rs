//! The times of frames in a file: a constant rate, or listed times.

use vidtok_core::{FrameRate, FrameTimes};

/// Ticks per frame of a constant rate that must start between two frames of another stream.
const SUBDIVISION: u32 = 256;

/// The times of frames in a file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Pace {
    Even(FrameRate),
    Times(Ticks),
}

/// The time of each frame, in ticks since the first one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ticks {
    Listed(FrameTimes),
    /// A constant rate with ticks of this length (a fraction of seconds), fine enough to start at any time.
    Steady((u32, u32)),
}

impl Ticks {
    pub(crate) fn steady(rate: FrameRate) -> Option<Self> {
        let (frames, seconds) = rate.fraction();
        Some(Self::Steady((seconds, frames.checked_mul(SUBDIVISION)?)))
    }

    /// Seconds per tick, as (numerator, denominator).
    pub(crate) fn tick(&self) -> (u32, u32) {
        match self {
            Self::Listed(times) => times.tick(),
            Self::Steady(tick) => *tick,
        }
    }

    /// The ticks from the first frame to this one; `None` past the end.
    pub(crate) fn get(&self, frame: u64) -> Option<u64> {
        match self {
            Self::Listed(times) => times.ticks(frame),
            Self::Steady(_) => frame.checked_mul(u64::from(SUBDIVISION)),
        }
    }
}
