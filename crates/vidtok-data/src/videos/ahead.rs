//! Decoding ahead: while one video is worked on, threads decode the next ones.
//!
//! Each video has a channel of its own that holds a piece of frames, so memory is bounded whatever the videos' length,
//! and they come in the order that was asked for whichever is decoded first. Of tiny videos it hides the start of the
//! decoders, which takes longer than their frames.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tch::Tensor;
use vidtok_core::{FrameRate, FrameTimes, PixelAspect, VideoError, VideoInfo};

use crate::error::LoadError;
use crate::ffmpeg::locate::Ffmpeg;
use crate::ffmpeg::stop::Stop;
use crate::input::notice::Notice;
use crate::videos::prepared::piece_bytes;
use crate::videos::prepared::{Preparation, PreparedVideo};
use crate::videos::regroup::Regroup;

/// Videos that are asked of the decoders for each of them: what they do next is known before they have ended.
const VIDEOS_PER_DECODER: usize = 2;
/// Pieces of each video that wait.
const WAITING: usize = 1;

/// Videos in the order in which they were asked for.
#[derive(Debug)]
pub struct DecodeAhead {
    jobs: Option<Sender<Job>>,
    /// Videos that no decoder knows of yet.
    queue: VecDeque<PathBuf>,
    /// Videos that were asked of the decoders.
    asked: VecDeque<Asked>,
    decoders: Vec<JoinHandle<()>>,
    stop: Stop,
}

/// A video that some decoder sends or will send.
#[derive(Debug)]
struct Asked {
    path: PathBuf,
    messages: Receiver<Message>,
}

/// A video for whichever decoder is free.
#[derive(Debug)]
struct Job {
    path: PathBuf,
    sender: SyncSender<Message>,
}

#[derive(Debug)]
enum Message {
    Opened(AheadInfo),
    Frames(Tensor),
    Failed(LoadError),
}

/// What is known of a video before its frames are used.
#[derive(Clone, Debug)]
pub struct AheadInfo {
    /// What the file holds.
    pub source: VideoInfo,
    /// Frames that are taken of it.
    pub frames: usize,
    /// `[height, width]` of those.
    pub size: [i64; 2],
    /// Frames per second of those.
    pub frame_rate: FrameRate,
    /// When each of those is shown, where their rate is not constant.
    pub times: Option<FrameTimes>,
    /// The shape of their pixels.
    pub pixel_aspect: PixelAspect,
    /// What a user should know of how they are read.
    pub notices: Vec<Notice>,
}

impl DecodeAhead {
    /// Starts `decoders` threads, at least one.
    ///
    /// # Errors
    /// If no thread can be started.
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

    /// Asks for more videos, after those that were asked for before.
    pub fn ask(&mut self, videos: impl IntoIterator<Item = PathBuf>) {
        self.queue.extend(videos);
        self.hand_out();
    }

    /// The next video; `None` if none was asked for.
    pub fn next_video(&mut self) -> Option<AheadVideo<'_>> {
        let asked = self.asked.pop_front()?;
        self.hand_out();
        Some(AheadVideo { ahead: self, asked, info: None, given: 0, ready: Regroup::default() })
    }

    fn hand_out(&mut self) {
        while self.asked.len() < VIDEOS_PER_DECODER * self.decoders.len() {
            let (Some(path), Some(jobs)) = (self.queue.pop_front(), &self.jobs) else { return };
            let (sender, messages) = sync_channel(WAITING);
            // If all decoders are gone, the video's channel is closed, which its reader is told.
            let _ = jobs.send(Job { path: path.clone(), sender });
            self.asked.push_back(Asked { path, messages });
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

/// A video whose frames are decoded by another thread, until it is dropped.
#[derive(Debug)]
pub struct AheadVideo<'a> {
    ahead: &'a DecodeAhead,
    asked: Asked,
    info: Option<AheadInfo>,
    given: usize,
    ready: Regroup,
}

impl AheadVideo<'_> {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.asked.path
    }

    /// The most bytes that frames take which were decoded and not used, if all videos are like this one.
    ///
    /// # Errors
    /// As [`info`](Self::info).
    pub fn bytes_ahead(&mut self) -> Result<u64, LoadError> {
        let AheadInfo { source, size, .. } = self.info()?;
        let decoders = self.ahead.decoders.len();
        // One that is in use, those that wait, and what decoders have in hand.
        let pieces = (1 + VIDEOS_PER_DECODER * decoders) * WAITING + decoders;
        Ok(pieces as u64 * piece_bytes(size).max(piece_bytes([source.height, source.width])))
    }

    /// Waits until the video has been looked at.
    ///
    /// # Errors
    /// If it cannot be decoded, or the decoder is gone.
    pub fn info(&mut self) -> Result<AheadInfo, LoadError> {
        if let Some(info) = &self.info {
            return Ok(info.clone());
        }
        match self.asked.messages.recv() {
            Ok(Message::Opened(info)) => Ok(self.info.insert(info).clone()),
            Ok(Message::Failed(error)) => Err(error),
            Ok(Message::Frames(_)) | Err(_) => Err(LoadError::Stopped),
        }
    }

    /// The next frames, `count` unless the video ends: `[1, 3, t, h, w]` in [-1, 1], or `None` at the end.
    ///
    /// # Errors
    /// If the file is damaged or shorter than it said, or the decoder is gone.
    pub fn next(&mut self, count: i64) -> Result<Option<Tensor>, LoadError> {
        let left = self.info()?.frames - self.given;
        let count = count.min(left as i64);
        while self.ready.frames() < count {
            match self.asked.messages.recv() {
                Ok(Message::Frames(frames)) => self.ready.push(frames),
                Ok(Message::Failed(error)) => return Err(error),
                Ok(Message::Opened(_)) | Err(_) => return Err(LoadError::Stopped),
            }
        }
        self.given += count as usize;
        Ok(self.ready.take(count))
    }
}

/// Decodes what is asked for until nothing more can be.
fn decode_jobs(jobs: &Mutex<Receiver<Job>>, ffmpeg: &Ffmpeg, preparation: &Preparation) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { path, sender }) = job else { return };
        let decoded = catch_unwind(AssertUnwindSafe(|| decode(ffmpeg, &path, preparation, &sender)));
        let failed = match decoded {
            Ok(decoded) => decoded.err().map(LoadError::from),
            Err(panic) => Some(LoadError::panicked(&*panic)),
        };
        // Who has dropped the video wants no errors of it either.
        if let Some(error) = failed {
            let _ = sender.send(Message::Failed(error));
        }
    }
}

/// Sends a video until its end, or until nobody wants more of it.
fn decode(
    ffmpeg: &Ffmpeg,
    path: &Path,
    preparation: &Preparation,
    sender: &SyncSender<Message>,
) -> Result<(), VideoError> {
    let mut video = PreparedVideo::open(ffmpeg, path, preparation)?;
    let (source, frames, size) = (video.source().clone(), video.frames(), video.size());
    let times = video.times().cloned();
    let (frame_rate, pixel_aspect, notices) = (video.frame_rate(), video.pixel_aspect(), video.notices());
    let info = AheadInfo { source, frames, size, frame_rate, times, pixel_aspect, notices };
    let mut wanted = sender.send(Message::Opened(info)).is_ok();
    while wanted {
        let Some(frames) = video.next_piece()? else { break };
        wanted = sender.send(Message::Frames(frames)).is_ok();
    }
    Ok(())
}
