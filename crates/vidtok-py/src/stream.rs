//! Clips that arrive in chunks.
//!
//! A stream borrows its tokenizer, so it lives in a function that a thread of the pool runs until the stream ends.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyAny;
use tch::Tensor;
use vidtok::{EncodeOptions, Error, Padding, Quantized, StreamDecoder, StreamEncoder, Tokenizer, Window};

use crate::dlpack::{give, take};
use crate::error::{Raise, StreamClosedError};
use crate::worker::{Pool, Worker, caught, computing, wait};

/// What is asked of a stream.
enum Request {
    /// Take the next chunk.
    Push(Tensor),
    /// End after the last chunk; decoders crop this many frames.
    Finish(i64),
    /// Write the state to a file.
    Save(PathBuf),
}

type Reply<T> = Sender<Result<Result<Option<T>, Error>, String>>;

/// A stream in a thread of a pool.
struct Session<T> {
    requests: Sender<(Request, Reply<T>)>,
    worker: Option<Worker>,
    pool: Pool,
}

impl<T: Send + 'static> Session<T> {
    /// Runs `serve` in a thread of `pool`. It answers requests until there are no more; `started` tells that the stream
    /// exists.
    fn open(
        py: Python<'_>,
        pool: &Pool,
        serve: impl FnOnce(&Tokenizer, &dyn Fn(Result<(), Error>), &Receiver<(Request, Reply<T>)>) + Send + 'static,
    ) -> PyResult<Self> {
        let worker = pool.take(py)?;
        let (requests, receiver) = channel();
        let (sender, started) = channel();
        worker.send(Box::new(move |tokenizer| {
            let tell = |result| drop(sender.send(Ok(result)));
            // A panic drops the receiver, which ends the stream.
            let _ = caught(|| serve(tokenizer, &tell, &receiver));
        }))?;
        match wait(py, started)? {
            Ok(()) => Ok(Self { requests, worker: Some(worker), pool: pool.clone() }),
            Err(error) => {
                pool.put_back(worker);
                Err(error.raise())
            }
        }
    }

    fn ask(&self, py: Python<'_>, request: Request) -> PyResult<Option<T>> {
        let (reply, answer) = channel();
        self.requests.send((request, reply)).map_err(|_| closed())?;
        wait(py, answer)?.map_err(Raise::raise)
    }
}

impl<T> Drop for Session<T> {
    fn drop(&mut self) {
        // The thread's function ends when the last sender is gone.
        self.requests = channel().0;
        if let Some(worker) = self.worker.take() {
            self.pool.put_back(worker);
        }
    }
}

fn closed() -> PyErr {
    StreamClosedError::new_err("the stream has ended")
}

/// Answers all requests with what `answer` returns.
fn answer_all<T>(
    requests: &Receiver<(Request, Reply<T>)>,
    mut answer: impl FnMut(Request) -> Result<Option<T>, Error>,
) {
    for (request, reply) in requests {
        // Nobody waits after Ctrl-C.
        let _ = reply.send(computing(|| answer(request)));
    }
}

/// The state of a stream as Python sees it: open until it is finished or has failed.
struct Stream<T>(Mutex<Option<Session<T>>>);

impl<T: Send + 'static> Stream<T> {
    fn new(session: Session<T>) -> Self {
        Self(Mutex::new(Some(session)))
    }

    /// Asks the open stream. An error ends it, because its state is then unknown.
    fn ask(&self, py: Python<'_>, request: Request) -> PyResult<Option<T>> {
        let is_last = matches!(request, Request::Finish(_));
        let keeps = matches!(request, Request::Save(_));
        let session = self.0.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or_else(closed)?;
        let answer = session.ask(py, request);
        if (answer.is_ok() && !is_last) || keeps {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
        }
        answer
    }
}

/// An encoder of frames that arrive in chunks.
#[pyclass(frozen, module = "vidtok._vidtok")]
pub(crate) struct Encoder(Stream<Quantized>);

fn serve_encoder(encoder: &mut StreamEncoder<'_>, requests: &Receiver<(Request, Reply<Quantized>)>) {
    answer_all(requests, |request| match request {
        Request::Push(frames) => encoder.push(&frames),
        Request::Finish(_) => encoder.finish(),
        Request::Save(path) => encoder.save(path).map(|()| None),
    });
}

impl Encoder {
    pub(crate) fn open(py: Python<'_>, pool: &Pool, size: [i64; 2], options: EncodeOptions) -> PyResult<Self> {
        let session = Session::open(py, pool, move |tokenizer, started, requests| {
            let mut encoder = StreamEncoder::open_ended(tokenizer, size, options);
            started(Ok(()));
            serve_encoder(&mut encoder, requests);
        });
        session.map(|session| Self(Stream::new(session)))
    }

    pub(crate) fn restore(py: Python<'_>, pool: &Pool, path: PathBuf) -> PyResult<Self> {
        let session = Session::open(py, pool, move |tokenizer, started, requests| {
            match StreamEncoder::restore(tokenizer, path) {
                Err(error) => started(Err(error)),
                Ok(mut encoder) => {
                    started(Ok(()));
                    serve_encoder(&mut encoder, requests);
                }
            }
        });
        session.map(|session| Self(Stream::new(session)))
    }
}

/// Latent, log-variance and indices.
type Parts<'py> = (Bound<'py, PyAny>, Option<Bound<'py, PyAny>>, Option<Bound<'py, PyAny>>);

fn parts<'py>(py: Python<'py>, quantized: Option<Quantized>) -> PyResult<Option<Parts<'py>>> {
    let Some(Quantized { latent, indices, logvar }) = quantized else { return Ok(None) };
    let optional = |tensor: Option<Tensor>| tensor.map(|tensor| give(py, &tensor)).transpose();
    Ok(Some((give(py, &latent)?, optional(logvar)?, optional(indices)?)))
}

#[pymethods]
impl Encoder {
    fn push<'py>(&self, py: Python<'py>, frames: &Bound<'py, PyAny>) -> PyResult<Option<Parts<'py>>> {
        let frames = take(frames)?;
        parts(py, self.0.ask(py, Request::Push(frames))?)
    }

    fn finish<'py>(&self, py: Python<'py>) -> PyResult<Option<Parts<'py>>> {
        parts(py, self.0.ask(py, Request::Finish(0))?)
    }

    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        self.0.ask(py, Request::Save(path)).map(drop)
    }
}

/// A decoder of latents that arrive in chunks.
#[pyclass(frozen, module = "vidtok._vidtok")]
pub(crate) struct Decoder(Stream<Tensor>);

fn serve_decoder(decoder: &mut StreamDecoder<'_>, requests: &Receiver<(Request, Reply<Tensor>)>) {
    answer_all(requests, |request| match request {
        Request::Push(latent) => decoder.push(&latent),
        Request::Finish(back) => decoder.finish(back),
        Request::Save(path) => decoder.save(path).map(|()| None),
    });
}

impl Decoder {
    pub(crate) fn open(py: Python<'_>, pool: &Pool, padding: Padding, window: Option<Window>) -> PyResult<Self> {
        let session = Session::open(py, pool, move |tokenizer, started, requests| {
            let mut decoder = StreamDecoder::open_ended(tokenizer, padding, window);
            started(Ok(()));
            serve_decoder(&mut decoder, requests);
        });
        session.map(|session| Self(Stream::new(session)))
    }

    pub(crate) fn restore(py: Python<'_>, pool: &Pool, path: PathBuf) -> PyResult<Self> {
        let session = Session::open(py, pool, move |tokenizer, started, requests| {
            match StreamDecoder::restore(tokenizer, path) {
                Err(error) => started(Err(error)),
                Ok(mut decoder) => {
                    started(Ok(()));
                    serve_decoder(&mut decoder, requests);
                }
            }
        });
        session.map(|session| Self(Stream::new(session)))
    }
}

#[pymethods]
impl Decoder {
    fn push<'py>(&self, py: Python<'py>, latent: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let latent = take(latent)?;
        self.0.ask(py, Request::Push(latent))?.map(|frames| give(py, &frames)).transpose()
    }

    fn finish<'py>(&self, py: Python<'py>, back: i64) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.0.ask(py, Request::Finish(back))?.map(|frames| give(py, &frames)).transpose()
    }

    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        self.0.ask(py, Request::Save(path)).map(drop)
    }
}
