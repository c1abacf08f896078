//! Reading, computing and writing at the same time: one thread reads ahead of the networks, another writes behind them.
//!
//! Short queues connect them, so that the slowest sets the pace and memory stays bounded. Dropping either end stops its
//! thread. A panic in a thread, such as libtorch's, resumes in the thread that joins it.

use std::panic;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use anyhow::{Context, bail};
use tch::Tensor;

use crate::io::clip::Clip;
use crate::io::output::Output;
use crate::process::signals;

/// The length of either queue, in chunks.
const QUEUE: usize = 1;

/// The chunks of a clip, `[b, 3, t, h, w]` in [-1, 1], read by another thread. An error is the last item.
pub(crate) struct ReadAhead {
    chunks: Option<Receiver<anyhow::Result<Tensor>>>,
    thread: Option<JoinHandle<()>>,
}

impl ReadAhead {
    /// Starts the thread, which reads chunks of at most `max_frames` frames.
    pub(crate) fn start(mut clip: Clip, max_frames: i64) -> anyhow::Result<Self> {
        let (sender, chunks) = sync_channel(QUEUE);
        let read = move || {
            while let Some(chunk) = clip.next(max_frames).transpose() {
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

impl Iterator for ReadAhead {
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

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.chunks = None; // or the thread might wait for room in the queue
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// An output that another thread writes.
pub(crate) struct WriteBehind {
    chunks: Option<SyncSender<Tensor>>,
    thread: Option<JoinHandle<anyhow::Result<Output>>>,
}

impl WriteBehind {
    pub(crate) fn start(mut output: Output) -> anyhow::Result<Self> {
        let (chunks, receiver) = sync_channel::<Tensor>(QUEUE);
        let write = move || {
            for frames in receiver {
                output.write(&frames)?;
            }
            Ok(output)
        };
        let thread = Builder::new().name("writer".into()).spawn(write).context("cannot start a thread")?;
        Ok(Self { chunks: Some(chunks), thread: Some(thread) })
    }

    /// Appends frames `[b, 3, t, h, w]` in [-1, 1]. An error may concern earlier frames.
    pub(crate) fn write(&mut self, frames: Tensor) -> anyhow::Result<()> {
        signals::check()?;
        match self.chunks.as_ref().map(|chunks| chunks.send(frames)) {
            Some(Ok(())) => Ok(()),
            _ => self.join().map(drop),
        }
    }

    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        self.join()?.finish()
    }

    /// Waits until everything is written.
    fn join(&mut self) -> anyhow::Result<Output> {
        self.chunks = None;
        match self.thread.take() {
            Some(thread) => join(thread),
            None => bail!("an earlier write failed"),
        }
    }
}

impl Drop for WriteBehind {
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
    use crate::args::FrameArgs;
    use crate::io::standard::with_input;

    fn clip(folder: &Path, frames: i64) -> Clip {
        let path = folder.join("in.safetensors");
        let video = Tensor::linspace(-1.0, 1.0, frames, (Kind::Float, Device::Cpu));
        let video = video.view([1, 1, -1, 1, 1]).expand([1, 3, -1, 2, 2], true);
        write_tensors(&path, [("video", &video)], []).unwrap();
        with_input(&path, |input| Clip::open(input, &FrameArgs::default())).unwrap()
    }

    #[test]
    fn chunks_pass_through_both_threads_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.safetensors");
        let mut writing = WriteBehind::start(Output::new(&path, None, WriteOptions::default()).unwrap()).unwrap();
        for chunk in ReadAhead::start(clip(folder.path(), 50), 3).unwrap() {
            writing.write(chunk.unwrap()).unwrap();
        }
        writing.finish().unwrap();
        let video = |name| TensorFile::open(&folder.path().join(name)).unwrap().tensor("video").unwrap();
        assert!(video("out.safetensors").equal(&video("in.safetensors")));
    }

    #[test]
    fn dropping_a_pipeline_early_stops_its_threads_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.safetensors");
        let mut reading = ReadAhead::start(clip(folder.path(), 50), 1).unwrap();
        let mut writing = WriteBehind::start(Output::new(&path, None, WriteOptions::default()).unwrap()).unwrap();
        writing.write(reading.next().unwrap().unwrap()).unwrap();
        drop((reading, writing)); // waits for both threads
        assert!(!path.exists());
    }

    #[test]
    fn an_error_of_the_writing_thread_is_returned_by_write() {
        let folder = tempfile::tempdir().unwrap();
        let timeline = vidtok_data::Timeline::even("5".parse().unwrap());
        let mut writing = WriteBehind::start(
            Output::new(&folder.path().join("a.doc"), Some(timeline), WriteOptions::default()).unwrap(),
        )
        .unwrap();
        let frame = Tensor::zeros([1, 3, 1, 2, 2], (Kind::Float, Device::Cpu));
        let failed = (0..100).find_map(|_| writing.write(frame.shallow_clone()).err()).unwrap();
        assert!(failed.to_string().contains("a.doc"), "{failed}");
        assert!(writing.write(frame).is_err() && writing.finish().is_err());
    }
}
