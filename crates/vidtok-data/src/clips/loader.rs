//! Batches for the coming steps, prepared on background threads.
//!
//! Each of n threads prepares every n-th batch and waits once it has a few ready. A batch depends on its step alone, so
//! a run sees the same clips with any number of threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use vidtok_core::WorldRank;

use crate::clips::clip_set::Batch;
use crate::clips::mixture::Mixture;
use crate::error::LoadError;
use crate::ffmpeg::program::stop::Stop;

/// How often a waiting consumer checks whether to stop.
const POLL: Duration = Duration::from_millis(20);

/// Settings of a [`Loader`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Clips per batch, over all processes.
    pub batch: usize,
    /// This process's rank, which decides its part of each batch.
    pub rank: WorldRank,
    /// The seed of the clips.
    pub seed: u64,
    /// The step of the first batch.
    pub first_step: u64,
    /// The number of background threads, at least 1.
    pub workers: usize,
    /// Batches that each thread keeps ready, at least 1.
    pub prefetch: usize,
}

/// An endless iterator over batches, in the order of their steps. Dropping it ends its threads and their decoders.
///
/// A batch that cannot be made yields its error.
#[derive(Debug)]
pub struct Loader {
    /// One receiver per worker; worker i makes the batches of steps `first + i`, `first + i + workers`, ...
    batches: Vec<Receiver<Result<Batch, LoadError>>>,
    workers: Vec<JoinHandle<()>>,
    stop: Stop,
    next: usize,
    waited: Duration,
}

impl Loader {
    /// Starts the background threads.
    ///
    /// # Errors
    /// If the batch is empty or cannot be divided among the processes, or a thread cannot be started.
    pub fn start(clips: impl Into<Mixture>, options: LoaderOptions) -> Result<Self, LoadError> {
        let LoaderOptions { batch, rank, seed, .. } = options;
        if batch < 1 {
            return Err(LoadError::EmptyBatch);
        }
        let positions = rank.of(batch).ok_or(LoadError::UnevenBatch { batch, processes: rank.world_size })?;
        let clips = clips.into();
        Self::start_with(options, move |stop, step| clips.choose(seed, step).part(stop, seed, step, positions.clone()))
    }

    /// Starts threads that call `make` with each step.
    fn start_with<F>(options: LoaderOptions, make: F) -> Result<Self, LoadError>
    where
        F: Fn(&Stop, u64) -> Result<Batch, LoadError> + Send + Sync + 'static,
    {
        let LoaderOptions { first_step, workers, prefetch, .. } = options;
        let (make, count) = (Arc::new(make), workers.max(1));
        let (batches, workers, stop) = (Vec::new(), Vec::new(), Stop::default());
        let mut loader = Self { batches, workers, stop, next: 0, waited: Duration::ZERO };
        for worker in 0..count as u64 {
            let (sender, receiver) = sync_channel(prefetch.max(1));
            let (make, stop) = (Arc::clone(&make), loader.stop.clone());
            let steps = (first_step.saturating_add(worker)..).step_by(count);
            let work = move || send_batches(steps, |step| make(&stop, step), &sender);
            let thread = std::thread::Builder::new().name(format!("loader {worker}"));
            loader.batches.push(receiver);
            loader.workers.push(thread.spawn(work).map_err(LoadError::Thread)?);
        }
        Ok(loader)
    }

    /// Waits for the next batch, or returns `None` as soon as `stopped` returns true.
    pub fn next_unless(&mut self, stopped: impl Fn() -> bool) -> Option<Result<Batch, LoadError>> {
        let start = Instant::now();
        let batches = self.batches.get(self.next)?;
        let batch = loop {
            match batches.recv_timeout(POLL) {
                Err(RecvTimeoutError::Timeout) if stopped() => break None,
                Err(RecvTimeoutError::Timeout) => {}
                // A worker that panicked has sent its error already.
                received => break Some(received.unwrap_or(Err(LoadError::Stopped))),
            }
        };
        self.waited += start.elapsed();
        if batch.is_some() {
            self.next = (self.next + 1) % self.batches.len();
        }
        batch
    }

    /// The total time that [`next`](Iterator::next) and [`next_unless`](Self::next_unless) have waited for batches.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl Iterator for Loader {
    type Item = Result<Batch, LoadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_unless(|| false)
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        // A worker ends when its decoder is killed or its channel closes.
        self.stop.stop();
        self.batches.clear();
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

fn send_batches(
    steps: impl Iterator<Item = u64>,
    make: impl Fn(u64) -> Result<Batch, LoadError>,
    sender: &SyncSender<Result<Batch, LoadError>>,
) {
    for step in steps {
        // A panic may leave only this thread's data half-written; shared data is behind locks.
        let made = catch_unwind(AssertUnwindSafe(|| make(step)));
        let ended = made.is_err();
        let batch = made.unwrap_or_else(|panic| Err(LoadError::panicked(&*panic)));
        if sender.send(batch).is_err() || ended {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;

    fn options(workers: usize, prefetch: usize) -> LoaderOptions {
        LoaderOptions { batch: 1, rank: WorldRank::SINGLE, seed: 0, first_step: 0, workers, prefetch }
    }

    fn batch(step: u64) -> Batch {
        Batch { clips: Tensor::zeros([1, 3, 1, 1, 1], (Kind::Float, tch::Device::Cpu)), names: vec![step.to_string()] }
    }

    #[test]
    fn a_panic_in_a_worker_is_an_error() {
        let make = |_: &Stop, step| match step {
            2 => panic!("out of {}\nbacktrace", "paper"),
            _ => Ok(batch(step)),
        };
        let results: Vec<_> = Loader::start_with(options(2, 2), make).unwrap().take(5).collect();
        let message = results[2].as_ref().unwrap_err().to_string();
        assert!(message.contains("out of paper") && !message.contains('\n'), "{message}");
        assert_eq!(results[3].as_ref().unwrap().names, ["3"]);
        assert!(matches!(results[4], Err(LoadError::Stopped)));
    }

    #[test]
    fn a_consumer_can_stop_waiting_and_take_the_batch_later() {
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        let make = move |_: &Stop, step| {
            let _ = gate.lock().unwrap().recv(); // until it is opened
            Ok(batch(step))
        };
        let mut loader = Loader::start_with(options(1, 1), make).unwrap();
        assert!(loader.next_unless(|| true).is_none());
        drop(open);
        assert_eq!(loader.next_unless(|| false).unwrap().unwrap().names, ["0"]);
    }

    #[test]
    fn workers_prefetch_a_bounded_number_of_batches() {
        let made = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let counter = Arc::clone(&made);
        let make = move |_: &Stop, step| {
            counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(batch(step))
        };
        let mut loader = Loader::start_with(options(2, 3), make).unwrap();
        loader.next().unwrap().unwrap();
        // Each worker has 3 batches ready and 1 in hand; one was taken.
        let most = 2 * (3 + 1) + 1;
        let made = || made.load(std::sync::atomic::Ordering::Relaxed);
        let start = Instant::now();
        while made() < most && start.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(made(), most);
    }

    #[test]
    fn the_waiting_time_of_the_consumer_is_measured() {
        let make = |_: &Stop, step| {
            std::thread::sleep(Duration::from_millis(20));
            Ok(batch(step))
        };
        let mut loader = Loader::start_with(options(1, 1), make).unwrap();
        assert_eq!(loader.waited(), Duration::ZERO);
        for _ in 0..5 {
            loader.next().unwrap().unwrap();
        }
        // About 100 ms in all; while this thread is not scheduled, batches are made without its waiting.
        assert!(loader.waited() >= Duration::from_millis(40), "{:?}", loader.waited());
    }
}
