//! Decoding ahead: threads decode the next videos while one is processed.
//!
//! Each video has a bounded channel of chunks, so memory does not grow with the videos' length, and videos arrive in
//! the order of the requests whichever is decoded first. For tiny videos this hides the start of the decoders, which
//! takes longer than their frames.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tch::Tensor;
use vidtok_core::{FrameRate, FrameTimes, PixelAspect, VideoError, VideoInfo};

use crate::error::LoadError;
use crate::ffmpeg::notice::Notice;
use crate::ffmpeg::program::locate::Ffmpeg;
use crate::ffmpeg::program::stop::Stop;
use crate::videos::prepared::chunk_bytes;
use crate::videos::prepared::{Preparation, PreparedVideo};
use crate::videos::regroup::Regroup;

/// Videos assigned ahead per decoder, so that a decoder that finishes has its next one.
const VIDEOS_PER_DECODER: usize = 2;
/// Chunks that wait per video.
const WAITING: usize = 1;

/// Decodes videos on background threads and returns them in the order of the requests.
#[derive(Debug)]
pub struct DecodeAhead {
    jobs: Option<Sender<Job>>,
    /// Videos not yet assigned to a decoder.
    queue: VecDeque<PathBuf>,
    /// Videos assigned to decoders.
    asked: VecDeque<Asked>,
    decoders: Vec<JoinHandle<()>>,
    stop: Stop,
}

/// A video that a decoder is sending or will send.
#[derive(Debug)]
struct Asked {
    path: PathBuf,
    deliveries: Receiver<Delivery>,
}

/// A video for the next free decoder.
#[derive(Debug)]
struct Job {
    path: PathBuf,
    sender: SyncSender<Delivery>,
}

#[derive(Debug)]
enum Delivery {
    Opened(AheadInfo),
    Frames(Tensor),
    Failed(LoadError),
}

/// The description of a video, available before its frames.
#[derive(Clone, Debug)]
pub struct AheadInfo {
    /// The source video.
    pub source: VideoInfo,
    /// The number of frames after sampling.
    pub frames: usize,
    /// `[height, width]` of the prepared frames.
    pub size: [i64; 2],
    /// The frame rate after sampling.
    pub frame_rate: FrameRate,
    /// The frame times after sampling, if the rate is not constant.
    pub times: Option<FrameTimes>,
    /// The shape of a pixel.
    pub pixel_aspect: PixelAspect,
    /// What users should know about how the video is read.
    pub notices: Vec<Notice>,
}

impl DecodeAhead {
    /// Starts `decoders` threads, at least one.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(ffmpeg: &Ffmpeg, preparation: &Preparation, decoders: usize) -> Result<Self, LoadError> {
        let (jobs, receiver) = channel();
        let receiver = Arc::new(Mutex::new(receiver));
        let stop = Stop::default();
        let (queue, asked) = (VecDeque::new(), VecDeque::new());
        let mut ahead = Self { jobs: Some(jobs), queue, asked, decoders: Vec::new(), stop };
        for decoder in 0..decoders.max(1) {
            let (ffmpeg, preparation) = (ffmpeg.until(&ahead.stop), preparation.clone());
            let receiver = Arc::clone(&receiver);
            let thread = std::thread::Builder::new().name(format!("decoder {decoder}"));
            let work = move || decode_jobs(&receiver, &ffmpeg, &preparation);
            ahead.decoders.push(thread.spawn(work).map_err(LoadError::Thread)?);
        }
        Ok(ahead)
    }

    /// Requests more videos, after those requested before.
    pub fn ask(&mut self, videos: impl IntoIterator<Item = PathBuf>) {
        self.queue.extend(videos);
        self.hand_out();
    }

    /// The next requested video; `None` if there is none.
    pub fn next_video(&mut self) -> Option<AheadVideo<'_>> {
        let asked = self.asked.pop_front()?;
        self.hand_out();
        Some(AheadVideo { ahead: self, asked, info: None, returned: 0, ready: Regroup::default() })
    }

    fn hand_out(&mut self) {
        while self.asked.len() < VIDEOS_PER_DECODER * self.decoders.len() {
            let (Some(path), Some(jobs)) = (self.queue.pop_front(), &self.jobs) else { return };
            let (sender, deliveries) = sync_channel(WAITING);
            // If no decoder is left, the video's channel closes, and its reader returns an error.
            let _ = jobs.send(Job { path: path.clone(), sender });
            self.asked.push_back(Asked { path, deliveries });
        }
    }
}

impl Drop for DecodeAhead {
    fn drop(&mut self) {
        self.stop.stop();
        self.jobs = None;
        self.asked.clear();
        for decoder in self.decoders.drain(..) {
            let _ = decoder.join();
        }
    }
}

/// A video that a background thread decodes. Dropping it cancels the rest.
#[derive(Debug)]
pub struct AheadVideo<'a> {
    ahead: &'a DecodeAhead,
    asked: Asked,
    info: Option<AheadInfo>,
    returned: usize,
    ready: Regroup,
}

impl AheadVideo<'_> {
    /// The path of the video.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.asked.path
    }

    /// The most bytes of decoded frames that wait or are in use, if all videos are like this one.
    ///
    /// # Errors
    /// As [`info`](Self::info).
    pub fn bytes_ahead(&mut self) -> Result<u64, LoadError> {
        let AheadInfo { source, size, .. } = self.info()?;
        let decoders = self.ahead.decoders.len();
        // One chunk is in use, some wait, and each decoder holds one.
        let chunks = (1 + VIDEOS_PER_DECODER * decoders) * WAITING + decoders;
        Ok(chunks as u64 * chunk_bytes(size).max(chunk_bytes([source.height, source.width])))
    }

    /// Waits until the video has been probed, and describes it.
    ///
    /// # Errors
    /// If the video cannot be decoded, or its decoder is gone.
    pub fn info(&mut self) -> Result<AheadInfo, LoadError> {
        if let Some(info) = &self.info {
            return Ok(info.clone());
        }
        match self.asked.deliveries.recv() {
            Ok(Delivery::Opened(info)) => Ok(self.info.insert(info).clone()),
            Ok(Delivery::Failed(error)) => Err(error),
            Ok(Delivery::Frames(_)) | Err(_) => Err(LoadError::Stopped),
        }
    }

    /// The next frames, `count` unless the video ends first: `[1, 3, t, h, w]` in [-1, 1], or `None` at the end.
    ///
    /// # Errors
    /// If the file is damaged or has fewer frames than probed, or its decoder is gone.
    pub fn next(&mut self, count: i64) -> Result<Option<Tensor>, LoadError> {
        let left = self.info()?.frames - self.returned;
        let count = count.min(left as i64);
        while self.ready.frames() < count {
            match self.asked.deliveries.recv() {
                Ok(Delivery::Frames(frames)) => self.ready.push(frames),
                Ok(Delivery::Failed(error)) => return Err(error),
                Ok(Delivery::Opened(_)) | Err(_) => return Err(LoadError::Stopped),
            }
        }
        self.returned += count as usize;
        Ok(self.ready.take(count))
    }
}

/// Decodes requested videos until no more can come.
fn decode_jobs(jobs: &Mutex<Receiver<Job>>, ffmpeg: &Ffmpeg, preparation: &Preparation) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { path, sender }) = job else { return };
        let decoded = catch_unwind(AssertUnwindSafe(|| decode(ffmpeg, &path, preparation, &sender)));
        let failed = match decoded {
            Ok(decoded) => decoded.err().map(LoadError::from),
            Err(panic) => Some(LoadError::panicked(&*panic)),
        };
        // The send fails if the video was dropped, and then nobody needs the error.
        if let Some(error) = failed {
            let _ = sender.send(Delivery::Failed(error));
        }
    }
}

/// Sends a video until it ends or its receiver is gone.
fn decode(
    ffmpeg: &Ffmpeg,
    path: &Path,
    preparation: &Preparation,
    sender: &SyncSender<Delivery>,
) -> Result<(), VideoError> {
    let mut video = PreparedVideo::open(ffmpeg, path, preparation)?;
    let (source, frames, size) = (video.source().clone(), video.frames(), video.size());
    let times = video.times().cloned();
    let (frame_rate, pixel_aspect, notices) = (video.frame_rate(), video.pixel_aspect(), video.notices());
    let info = AheadInfo { source, frames, size, frame_rate, times, pixel_aspect, notices };
    let mut wanted = sender.send(Delivery::Opened(info)).is_ok();
    while wanted {
        let Some(frames) = video.next_chunk()? else { break };
        wanted = sender.send(Delivery::Frames(frames)).is_ok();
    }
    Ok(())
}
