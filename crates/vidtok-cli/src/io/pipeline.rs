//! Reading, computing and writing at the same time: one thread reads ahead of the networks, one writes behind them.
//!
//! Few chunks wait between them, so the slowest sets the pace and memory stays bounded. Dropping either end stops its
//! thread; a panic of libtorch goes on where the thread is waited for.

use std::panic;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use anyhow::{Context, bail};
use tch::Tensor;

use crate::io::clip::{Clip, Output};
use crate::process::signals;

/// Chunks that wait on either side.
const WAITING: usize = 2;

/// The chunks of a clip, `[b, 3, t, h, w]` in [-1, 1]; nothing follows an error.
pub(crate) struct Reading {
    chunks: Option<Receiver<anyhow::Result<Tensor>>>,
    thread: Option<JoinHandle<()>>,
}

impl Reading {
    /// Starts to read at most `most` frames at a time.
    pub(crate) fn start(mut clip: Clip, most: i64) -> anyhow::Result<Self> {
        let (sender, chunks) = sync_channel(WAITING);
        let read = move || {
            while let Some(chunk) = clip.next(most).transpose() {
                let failed = chunk.is_err();
                if sender.send(chunk).is_err() || failed {
                    break;
                }
            }
        };
        let thread = Builder::new().name("reader".into()).spawn(read).context("cannot start a thread")?;
        Ok(Self { chunks: Some(chunks), thread: Some(thread) })
    }
}

impl Iterator for Reading {
    type Item = anyhow::Result<Tensor>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(stopped) = signals::check() {
            return Some(Err(stopped));
        }
        let chunk = self.chunks.as_ref()?.recv().ok();
        if chunk.is_none() {
            self.chunks = None;
            self.thread.take().map(join);
        }
        chunk
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.chunks = None; // else the thread may wait for room
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// An output that is written on its own thread.
pub(crate) struct Writing {
    chunks: Option<SyncSender<Tensor>>,
    thread: Option<JoinHandle<anyhow::Result<Output>>>,
}

impl Writing {
    pub(crate) fn start(mut output: Output) -> anyhow::Result<Self> {
        let (chunks, receiver) = sync_channel::<Tensor>(WAITING);
        let write = move || {
            for frames in receiver {
                output.write(&frames)?;
            }
            Ok(output)
        };
        let thread = Builder::new().name("writer".into()).spawn(write).context("cannot start a thread")?;
        Ok(Self { chunks: Some(chunks), thread: Some(thread) })
    }

    /// Appends frames `[b, 3, t, h, w]` in [-1, 1]. An error may be that of frames before.
    pub(crate) fn write(&mut self, frames: Tensor) -> anyhow::Result<()> {
        signals::check()?;
        match self.chunks.as_ref().map(|chunks| chunks.send(frames)) {
            Some(Ok(())) => Ok(()),
            _ => self.end().map(drop),
        }
    }

    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        self.end()?.finish()
    }

    /// Waits until all is written.
    fn end(&mut self) -> anyhow::Result<Output> {
        self.chunks = None;
        match self.thread.take() {
            Some(thread) => join(thread),
            None => bail!("an earlier write failed"),
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.chunks = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn join<T>(thread: JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|payload| panic::resume_unwind(payload))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tch::{Device, Kind};
    use vidtok_data::WriteOptions;
    use vidtok_torch::{TensorFile, write_tensors};

    use super::*;
    use crate::io::clip::FrameArgs;
    use crate::io::standard::with_input;

    fn clip(folder: &Path, frames: i64) -> Clip {
        let path = folder.join("in.safetensors");
        let video = Tensor::linspace(-1.0, 1.0, frames, (Kind::Float, Device::Cpu));
        let video = video.view([1, 1, -1, 1, 1]).expand([1, 3, -1, 2, 2], true);
        write_tensors(&path, [("video", &video)], []).unwrap();
        with_input(&path, |input| Clip::open(input, &FrameArgs::default())).unwrap()
    }

    #[test]
    fn chunks_pass_both_threads_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.safetensors");
        let mut writing = Writing::start(Output::new(&path, None, WriteOptions::default()).unwrap()).unwrap();
        for chunk in Reading::start(clip(folder.path(), 50), 3).unwrap() {
            writing.write(chunk.unwrap()).unwrap();
        }
        writing.finish().unwrap();
        let video = |name| TensorFile::open(&folder.path().join(name)).unwrap().tensor("video").unwrap();
        assert!(video("out.safetensors").equal(&video("in.safetensors")));
    }

    #[test]
    fn an_end_that_is_dropped_early_stops_its_thread_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.safetensors");
        let mut reading = Reading::start(clip(folder.path(), 50), 1).unwrap();
        let mut writing = Writing::start(Output::new(&path, None, WriteOptions::default()).unwrap()).unwrap();
        writing.write(reading.next().unwrap().unwrap()).unwrap();
        drop((reading, writing)); // waits for both threads
        assert!(!path.exists());
    }

    #[test]
    fn what_stops_the_writer_is_told_to_who_writes() {
        let folder = tempfile::tempdir().unwrap();
        let timeline = vidtok_data::Timeline::even("5".parse().unwrap());
        let mut writing =
            Writing::start(Output::new(&folder.path().join("a.doc"), Some(timeline), WriteOptions::default()).unwrap())
                .unwrap();
        let frame = Tensor::zeros([1, 3, 1, 2, 2], (Kind::Float, Device::Cpu));
        let failed = (0..100).find_map(|_| writing.write(frame.shallow_clone()).err()).unwrap();
        assert!(failed.to_string().contains("a.doc"), "{failed}");
        assert!(writing.write(frame).is_err() && writing.finish().is_err());
    }
}
