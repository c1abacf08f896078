//! Tokenizes one video.

use std::path::PathBuf;

use vidtok::{EncodeOptions, StreamEncoder, Tokenizer, Work};
use vidtok_data::{AheadInfo, AheadVideo, LoadError, video_fault};

use crate::budget;
use crate::dataset::settings::Dataset;
use crate::error::TokenizeError;
use crate::run::options::TokenizeOptions;
use crate::run::part::PartWriter;
use crate::run::progress::{Meter, TokenizeProgress};
use crate::run::work_list::ListedVideo;
use crate::storage::entry::{SourceEntry, VideoEntry};

/// Why a video was not tokenized.
pub(super) enum VideoFailure {
    /// The video cannot be used, for this reason.
    Skipped(String),
    /// The error does not concern this video in particular, so that it ends the work.
    Fatal(TokenizeError),
}

impl<E: Into<TokenizeError>> From<E> for VideoFailure {
    fn from(error: E) -> Self {
        match error.into() {
            TokenizeError::Load(LoadError::Video(error)) => match video_fault(&error) {
                Some(reason) => Self::Skipped(reason),
                None => Self::Fatal(error.into()),
            },
            // These concern one video; the next may be smaller or valid.
            TokenizeError::Model(error @ (vidtok::Error::NotFinite | vidtok::Error::Memory { .. })) => {
                Self::Skipped(error.to_string())
            }
            error => Self::Fatal(error),
        }
    }
}

/// Encodes videos into part files.
pub(super) struct VideoEncoder<'a> {
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) options: &'a TokenizeOptions,
    pub(super) dataset: Dataset,
}

impl VideoEncoder<'_> {
    /// Writes the tokens of a video whose file has `bytes` bytes to `path`, and returns its number of frames.
    pub(super) fn encode(
        &self,
        mut video: AheadVideo<'_>,
        listed: &ListedVideo,
        bytes: u64,
        path: PathBuf,
        meter: &mut Meter,
        observe: &mut dyn FnMut(TokenizeProgress<'_>),
    ) -> Result<u64, VideoFailure> {
        let info = meter.waiting(|| video.info())?;
        let buffers = video.bytes_ahead()?;
        let AheadInfo { source, frames, size: [h, w], frame_rate, times, pixel_aspect, notices } = info;
        for notice in &notices {
            observe(TokenizeProgress::Notice { path: &listed.path, notice });
        }
        let source_size = [source.height, source.width];
        let resized = self.options.preparation.resized(source_size);
        if resized[0] < h || resized[1] < w {
            let [height, width] = resized;
            let reason = format!("its frames of {width}x{height} are smaller than the crop of {w}x{h}");
            return Err(VideoFailure::Skipped(reason));
        }
        let (t, window) = (frames as i64, self.dataset.window);
        let plan = budget::plan(self.tokenizer, Work::Encode, [t, h, w], window, buffers, self.options.max_memory)?;
        let options = EncodeOptions { seed: None, window };
        let mut encoder = StreamEncoder::new(self.tokenizer, [t, h, w], options).in_strips(plan.rows);
        let padding = encoder.padding();
        let [_, f_h, f_w] = self.dataset.compression;
        let latent_frames = encoder.latent_frames().unwrap_or(0);
        let entry = VideoEntry {
            key: listed.key.clone(),
            path: listed.path.clone(),
            tokens: [latent_frames, (h + padding.bottom) / f_h, (w + padding.right) / f_w],
            bits: self.dataset.latent.bits(),
            frames: t,
            size: [h, w],
            fps: frame_rate,
            frame_times: times,
            pixel_aspect,
            padding,
            window,
            source: SourceEntry { frames: source.frames, size: source_size, fps: source.frame_rate, bytes },
        };
        let mut part = PartWriter::create(path, &self.dataset, &entry)?;
        while let Some(frames) = meter.waiting(|| video.next(plan.frames))? {
            if self.options.is_stopped() {
                return Err(TokenizeError::Stopped.into());
            }
            if let Some(quantized) = encoder.push(&frames)? {
                part.push(&quantized)?;
            }
        }
        part.commit()?;
        Ok(frames as u64)
    }
}
