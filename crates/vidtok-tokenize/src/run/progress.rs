//! Progress and results of a worker.

use std::time::{Duration, Instant};

use vidtok_data::{LeftOut, Notice};

use crate::summary::manifest::Manifest;

/// An event during [`tokenize`](crate::tokenize).
#[derive(Debug)]
pub enum TokenizeProgress<'a> {
    /// The folder holds files that are not videos.
    LeftOut(&'a LeftOut),
    /// The videos are listed, and the work begins.
    Started {
        /// The number of videos in the dataset.
        videos: usize,
        /// How many of them are in finished shards.
        finished: usize,
    },
    /// A video is finished.
    Video {
        /// Its path relative to the folder of videos.
        path: &'a str,
        /// This worker's throughput so far.
        meter: &'a Meter,
    },
    /// Reading changes or loses something of a video.
    Notice {
        /// Its path relative to the folder of videos.
        path: &'a str,
        /// What is changed or lost.
        notice: &'a Notice,
    },
    /// A video cannot be used and is skipped.
    Skipped {
        /// Its path relative to the folder of videos.
        path: &'a str,
        /// Why it cannot be used.
        reason: &'a str,
    },
    /// A shard is finished.
    Shard {
        /// The shard's number.
        shard: usize,
        /// How many of its videos were finished by an earlier run.
        resumed: usize,
    },
}

/// The throughput of a worker.
#[derive(Clone, Debug)]
pub struct Meter {
    started: Instant,
    /// How long the networks have waited for frames.
    waited: Duration,
    /// Videos that this worker has tokenized in this run.
    pub videos: u64,
    /// Frames of those videos.
    pub frames: u64,
}

impl Meter {
    pub(crate) fn start() -> Self {
        Self { started: Instant::now(), waited: Duration::ZERO, videos: 0, frames: 0 }
    }

    /// Adds the duration of `wait` to the time in which the networks wait for frames.
    pub(crate) fn waiting<T>(&mut self, wait: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let answer = wait();
        self.waited += start.elapsed();
        answer
    }

    /// Frames per second since the start.
    #[must_use]
    pub fn frames_per_second(&self) -> f64 {
        self.frames as f64 / self.started.elapsed().as_secs_f64().max(1e-9)
    }

    /// The fraction of the time since the start in which the networks waited for frames, from 0 to 1.
    #[must_use]
    pub fn waiting_fraction(&self) -> f64 {
        self.waited.as_secs_f64() / self.started.elapsed().as_secs_f64().max(1e-9)
    }
}

/// The result of [`tokenize`](crate::tokenize).
#[derive(Debug)]
pub struct TokenizeSummary {
    /// This worker's throughput.
    pub meter: Meter,
    /// The number of shards in the dataset.
    pub shards: usize,
    /// How many of them are finished.
    pub finished: usize,
    /// Whether the work was stopped.
    pub stopped: bool,
    /// The summary of the dataset, if all shards are finished.
    pub manifest: Option<Manifest>,
}
