//! Batches of coming steps, made on background threads.
//!
//! Each thread makes every n-th batch and waits once it has a few ready. What a batch holds is decided by its step, so
//! the same run sees the same clips whatever the number of threads.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use vidtok_core::WorldRank;

use crate::clips::clip_set::Batch;
use crate::clips::mixture::Mixture;
use crate::error::LoadError;
use crate::ffmpeg::stop::Stop;

/// How often who waits for a batch looks whether to stop.
const POLL: Duration = Duration::from_millis(20);

/// How a [`Loader`] works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Clips in a batch, of which this process makes its part.
    pub batch: usize,
    /// Which part of each batch is this process's.
    pub share: WorldRank,
    /// What decides which clips come.
    pub seed: u64,
    /// The step whose batch comes first.
    pub first_step: u64,
    /// Background threads, at least 1.
    pub workers: usize,
    /// Batches that each thread may have ready, at least 1.
    pub prefetch: usize,
}

/// An endless iterator of batches, in the order of their steps. Dropping it ends its threads and their decoders.
///
/// A batch that cannot be made gives its error in its place.
#[derive(Debug)]
pub struct Loader {
    /// One per worker; worker i makes the batches of steps `first + i`, `first + i + workers`, ...
    batches: Vec<Receiver<Result<Batch, LoadError>>>,
    workers: Vec<JoinHandle<()>>,
    stop: Stop,
    next: usize,
    waited: Duration,
}

impl Loader {
    /// Starts the threads.
    ///
    /// # Errors
    /// If the batch is empty or has no equal parts, or a thread cannot be started.
    pub fn start(clips: impl Into<Mixture>, options: LoaderOptions) -> Result<Self, LoadError> {
        let LoaderOptions { batch, share, seed, .. } = options;
        if batch < 1 {
            return Err(LoadError::EmptyBatch);
        }
        let places = share.of(batch).ok_or(LoadError::UnevenBatch { batch, count: share.world_size })?;
        let clips = clips.into();
        Self::start_with(options, move |stop, step| clips.part_until(stop, seed, step, places.clone()))
    }

    /// Starts threads that make the batch of a step with `make`.
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

    /// The next batch; none if `stopped` says so before it is there, however long its making takes.
    pub fn next_unless(&mut self, stopped: impl Fn() -> bool) -> Option<Result<Batch, LoadError>> {
        let start = Instant::now();
        let batches = self.batches.get(self.next)?;
        let batch = loop {
            match batches.recv_timeout(POLL) {
                Err(RecvTimeoutError::Timeout) if stopped() => break None,
                Err(RecvTimeoutError::Timeout) => {}
                // A thread that ended has said why, once.
                received => break Some(received.unwrap_or(Err(LoadError::Stopped))),
            }
        };
        self.waited += start.elapsed();
        if batch.is_some() {
            self.next = (self.next + 1) % self.batches.len();
        }
        batch
    }

    /// How long [`next`](Iterator::next) and [`next_unless`](Self::next_unless) have waited for batches in all.
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
        // A thread ends when its decoder does, or when nobody takes its next batch.
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
        // What a panic may have left half-done is dropped with the thread, or guarded by those who share it.
        let made = catch_unwind(AssertUnwindSafe(|| make(step)));
        let ended = made.is_err();
        let batch = made.unwrap_or_else(|panic| Err(LoadError::panicked(&*panic)));
        if sender.send(batch).is_err() || ended {
            return;
        }
    }
}

impl LoadError {
    /// What a panic says.
    pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
        let message = text.and_then(|text| text.lines().next()).unwrap_or("it panicked").to_owned();
        Self::Panicked { message }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;

    fn options(workers: usize, prefetch: usize) -> LoaderOptions {
        LoaderOptions { batch: 1, share: WorldRank::SINGLE, seed: 0, first_step: 0, workers, prefetch }
    }

    fn batch(step: u64) -> Batch {
        Batch { clips: Tensor::zeros([1, 3, 1, 1, 1], (Kind::Float, tch::Device::Cpu)), names: vec![step.to_string()] }
    }

    #[test]
    fn a_panic_in_a_thread_is_an_error_and_no_hang() {
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
    fn who_waits_for_a_batch_that_does_not_come_can_stop_and_take_it_later() {
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
    fn threads_do_not_run_ahead_without_bound() {
        let made = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let counter = Arc::clone(&made);
        let make = move |_: &Stop, step| {
            counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(batch(step))
        };
        let mut loader = Loader::start_with(options(2, 3), make).unwrap();
        loader.next().unwrap().unwrap();
        // Each has 3 ready and 1 in hand; one was taken.
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
    fn the_time_that_the_consumer_waits_is_told() {
        let make = |_: &Stop, step| {
            std::thread::sleep(Duration::from_millis(20));
            Ok(batch(step))
        };
        let mut loader = Loader::start_with(options(1, 1), make).unwrap();
        assert_eq!(loader.waited(), Duration::ZERO);
        for _ in 0..5 {
            loader.next().unwrap().unwrap();
        }
        // Of some 100 ms; while this thread has no processor, batches are made without its waiting.
        assert!(loader.waited() >= Duration::from_millis(40), "{:?}", loader.waited());
    }
}
