//! Threads that compute, so that Python stays free and Ctrl-C is heard.
//!
//! A tokenizer belongs to one thread. A pool starts another thread, whose tokenizer shares the weights, whenever all are
//! busy, so that several Python threads can compute at once. A thread of Python waits for its answer without the
//! interpreter's lock, and looks for signals meanwhile. After Ctrl-C it leaves; the computation ends after its current
//! chunk. [`shut_down`] waits for that before the interpreter unloads torch's libraries.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use vidtok::{Error, Tokenizer};
use vidtok_torch::panic_message;

use crate::error::Raise;

/// How often a waiting thread looks for signals.
const SIGNALS: Duration = Duration::from_millis(50);

/// Whether the interpreter is about to end.
static ENDS: AtomicBool = AtomicBool::new(false);
/// Computations that run.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// Tells a computation that nobody waits for it any more.
#[derive(Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed) || ENDS.load(Ordering::Relaxed)
    }

    /// The flag of this computation alone.
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

/// Stops all computations and waits until they have ended.
#[pyfunction]
pub(crate) fn shut_down(py: Python<'_>) {
    ENDS.store(true, Ordering::Relaxed);
    py.detach(|| {
        while RUNNING.load(Ordering::Acquire) > 0 {
            thread::sleep(SIGNALS);
        }
    });
}

type Job = Box<dyn FnOnce(&Tokenizer) + Send>;
type Make = dyn Fn() -> Result<Tokenizer, Error> + Send + Sync;
/// A result, or the message of a panic.
type Answer<T> = Result<T, String>;

/// Threads with a tokenizer each.
#[derive(Clone)]
pub(crate) struct Pool {
    make: Arc<Make>,
    idle: Arc<Mutex<Vec<Worker>>>,
}

/// A thread that does one job after the other until it is dropped.
pub(crate) struct Worker {
    jobs: Sender<Job>,
}

impl Pool {
    /// A pool of tokenizers as `make` makes them, with one to begin with.
    pub(crate) fn new(
        py: Python<'_>,
        make: impl Fn() -> Result<Tokenizer, Error> + Send + Sync + 'static,
    ) -> PyResult<Self> {
        let pool = Self { make: Arc::new(make), idle: Arc::default() };
        let worker = pool.start(py)?;
        pool.put_back(worker);
        Ok(pool)
    }

    /// What `work` returns, computed by an idle thread.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Tokenizer, &Stop) -> Result<T, Error> + Send + 'static,
    ) -> PyResult<T> {
        let worker = self.take(py)?;
        let (sender, answer) = channel();
        let stop = Stop::default();
        let of_work = stop.clone();
        worker.send(Box::new(move |tokenizer| {
            // Nobody waits after Ctrl-C.
            let _ = sender.send(computing(|| work(tokenizer, &of_work)));
        }))?;
        let result = wait(py, answer).inspect_err(|_| stop.0.store(true, Ordering::Relaxed))?;
        self.put_back(worker);
        result.map_err(Raise::raise)
    }

    /// An idle thread, or a new one.
    pub(crate) fn take(&self, py: Python<'_>) -> PyResult<Worker> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| self.start(py), Ok)
    }

    /// Takes back a thread that has no more to do.
    pub(crate) fn put_back(&self, worker: Worker) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
    }

    fn start(&self, py: Python<'_>) -> PyResult<Worker> {
        let (jobs, todo) = channel::<Job>();
        let (sender, made) = channel();
        let make = Arc::clone(&self.make);
        let work = move || {
            let tokenizer = match caught(|| make()) {
                Ok(Ok(tokenizer)) => tokenizer,
                failed => {
                    let _ = sender.send(failed.map(|result| result.map(drop)));
                    return;
                }
            };
            let _ = sender.send(Ok(Ok(())));
            todo.iter().for_each(|job| job(&tokenizer));
        };
        thread::Builder::new().name("vidtok".to_owned()).spawn(work)?;
        wait(py, made)?.map_err(Raise::raise)?;
        Ok(Worker { jobs })
    }
}

impl Worker {
    pub(crate) fn send(&self, job: Job) -> PyResult<()> {
        self.jobs.send(job).map_err(|_| PyRuntimeError::new_err("a computing thread has ended"))
    }
}

/// What `work` returns, computed by a thread of its own. After Ctrl-C it goes on alone, until Python ends.
pub(crate) fn in_thread<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce(&Stop) -> T + Send + 'static,
) -> PyResult<T> {
    let (sender, answer) = channel();
    let stop = Stop::default();
    let of_work = stop.clone();
    thread::Builder::new().name("vidtok".to_owned()).spawn(move || sender.send(caught(|| work(&of_work))))?;
    wait(py, answer).inspect_err(|_| stop.0.store(true, Ordering::Relaxed))
}

/// As [`caught`], for computations that [`shut_down`] waits for.
pub(crate) fn computing<T>(work: impl FnOnce() -> T) -> Answer<T> {
    RUNNING.fetch_add(1, Ordering::AcqRel);
    let answer = caught(work);
    RUNNING.fetch_sub(1, Ordering::AcqRel);
    answer
}

/// The result of `work`, or the message of its panic: libtorch's errors are panics in places.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Answer<T> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| panic_message(&*panic))
}

/// Waits for an answer without the interpreter's lock.
///
/// # Errors
/// What a signal's handler raises (KeyboardInterrupt after Ctrl-C), or RuntimeError if the computation panicked.
pub(crate) fn wait<T: Send>(py: Python<'_>, answer: Receiver<Answer<T>>) -> PyResult<T> {
    let mut answer = answer;
    loop {
        let received;
        // A receiver may only be used by one thread at a time, so it goes there and comes back.
        (answer, received) = py.detach(move || {
            let received = answer.recv_timeout(SIGNALS);
            (answer, received)
        });
        match received {
            Ok(result) => return result.map_err(PyRuntimeError::new_err),
            Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(RecvTimeoutError::Disconnected) => return Err(PyRuntimeError::new_err("a computing thread has ended")),
        }
    }
}
