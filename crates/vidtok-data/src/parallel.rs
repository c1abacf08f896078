//! Data parallelism on the CPU outside libtorch: decoding images, rendering scenes, scanning folders.
//!
//! **One number of threads sizes both pools.** rayon's global pool has as many threads as libtorch's intra-op pool,
//! which the command line's `--threads` sets (`vidtok-cli/src/args.rs`). Inside a rayon task libtorch computes on one thread, so that N tasks occupy N cores and not
//! N times N. Threads that wait for a child process (loaders, decoders, probes) are plain threads. ffmpeg chooses its
//! own number of decoder threads, which are blocked most of the time, since frames are read more slowly than decoded.
//!
//! Resizing and converting frames stays in libtorch, on the thread that needs it: splitting these into tasks was
//! measured to be no faster for large frames and slower for small ones.
//!
//! Results never depend on the number of threads: a task is one frame or one file, and results keep their order.

use std::error::Error;
use std::sync::OnceLock;

use rayon::iter::{IntoParallelIterator, ParallelIterator};

/// Whether rayon's pool is running. If its threads cannot be started, callers do the work themselves.
static POOL: OnceLock<bool> = OnceLock::new();

/// Starts rayon's global pool with as many threads as libtorch has ([`tch::get_num_threads`]) and restricts libtorch to
/// one thread inside rayon tasks. A pool that is already running keeps its size.
///
/// Call this once, after [`tch::set_num_threads`] and before starting threads. Without a call, the pool starts with its
/// first work.
pub fn start_thread_pool() {
    POOL.get_or_init(|| {
        let threads = tch::get_num_threads();
        let built = rayon::ThreadPoolBuilder::new()
            .num_threads(usize::try_from(threads).unwrap_or(1))
            .thread_name(|index| format!("frames {index}"))
            .build_global();
        // Only an error of the system has a source; otherwise a pool is already running.
        if built.is_err_and(|error| error.source().is_some()) {
            return false;
        }
        rayon::broadcast(|_| {
            // libtorch initialises a thread's number at first use, which would overwrite ours.
            tch::get_num_threads();
            tch::set_num_threads(1);
        });
        // The call above also changed the default for new threads.
        tch::set_num_threads(threads);
        true
    });
}

/// Applies `work` to each item on the pool. The results are in the order of the items.
pub(crate) fn map<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Send + Sync) -> Vec<R> {
    if items.len() < 2 {
        return items.into_iter().map(work).collect();
    }
    start_thread_pool();
    match POOL.get() {
        Some(true) => items.into_par_iter().map(work).collect(),
        _ => items.into_iter().map(work).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtorch_computes_on_one_thread_inside_tasks_and_on_all_outside() {
        let outside = tch::get_num_threads();
        let inside = map((0..64).collect(), |_: i32| tch::get_num_threads());
        assert!(inside.iter().all(|&threads| threads == 1), "{inside:?}");
        assert_eq!(tch::get_num_threads(), outside);
        assert_eq!(std::thread::spawn(tch::get_num_threads).join().unwrap(), outside);
    }

    #[test]
    fn results_keep_the_order_of_the_items() {
        assert_eq!(map((0..1000).collect(), |i: i32| i * 2), (0..1000).map(|i| i * 2).collect::<Vec<_>>());
    }
}
