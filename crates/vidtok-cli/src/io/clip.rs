//! Input clips: video files through ffmpeg, images, or tensors in `.safetensors` files.

use std::path::Path;

use anyhow::{Context, bail};
use tch::{Kind, Tensor};
use vidtok::{PixelRange, Window};
use vidtok_core::{FrameRate, FrameSource, PixelAspect};
use vidtok_data::{Ffmpeg, InputOptions, InputReader, Notice, RetryPolicy, Sampling, Timeline, cover, to_model_range};
use vidtok_torch::TensorFile;

use crate::args::FrameArgs;
use crate::io::standard::Input;
use crate::terminal::notices;

/// The size of a chunk of frames at the source's resolution, in bytes of float32.
const CHUNK_BYTES: i64 = 256 << 20;

/// A clip that is read in order, a chunk at a time.
pub(crate) struct Clip {
    source: Source,
    /// The most frames in a chunk.
    max_frames: i64,
    /// `[t, h, w]` of the clip, after sampling and resizing.
    size: [i64; 3],
    sampling: Sampling,
    /// The number of source frames read so far.
    position: i64,
    window: Option<Window>,
    /// `None` for a tensor without a frame rate.
    timeline: Option<Timeline>,
    notices: Vec<Notice>,
}

enum Source {
    Video(Box<dyn FrameSource + Send>),
    /// The whole clip, `[b, 3, t, h, w]` in [-1, 1].
    Tensor(Tensor),
}

impl Clip {
    pub(crate) fn open(input: &Input, arguments: &FrameArgs) -> anyhow::Result<Self> {
        match input.is_tensor_file() {
            true => Self::open_tensor(input, arguments),
            false => Self::open_video(input.path(), arguments),
        }
    }

    fn open_video(path: &Path, arguments: &FrameArgs) -> anyhow::Result<Self> {
        let (frame_rate, read) = (arguments.frame_rate, arguments.read.options());
        let input = InputOptions { frame_rate, retry: RetryPolicy::once(), read };
        let reader = InputReader::open(&Ffmpeg::locate()?, path, &input)?;
        let notices = reader.notices();
        let info = reader.info().clone();
        let fps = arguments.fps.map(FrameRate::as_f64);
        let sampling = Sampling::of(&info, fps);
        let sampled =
            sampling.apply(&info, fps).context("--fps: the rate of the sampled frames is too low to be stored")?;
        let timeline = reader.timeline()?.with_frames(&sampled);
        let [h, w] = arguments.size([info.height, info.width]);
        let t = sampled.frames as i64;
        let max_frames = (CHUNK_BYTES / (info.height * info.width * 3 * size_of::<f32>() as i64)).max(1);
        let source = Source::Video(Box::new(reader));
        // A video may have any length; a tensor is in memory as a whole.
        let window = Some(Window { overlap: arguments.overlap, ..Window::PUBLISHED });
        let size = [t, h, w];
        Ok(Self { source, max_frames, size, sampling, position: 0, window, timeline: Some(timeline), notices })
    }

    fn open_tensor(input: &Input, arguments: &FrameArgs) -> anyhow::Result<Self> {
        let path = input.path();
        let video = TensorFile::open(path)?.tensor("video")?;
        let (h, w, t) = match video.size()[..] {
            [b, 3, t, h, w] if b * t * h * w > 0 && video.is_floating_point() => (h, w, t),
            _ => bail!(
                "{}: \"video\" is {:?} {:?}; expected floats [b, 3, t, h, w]",
                path.display(),
                video.kind(),
                video.size()
            ),
        };
        let range = PixelRange::of(&video);
        range.check().with_context(|| path.display().to_string())?;
        if let Some(warning) = range.warning() {
            eprintln!("warning: {}: {warning}", input.name());
        }
        let [h, w] = arguments.size([h, w]);
        let source = Source::Tensor(video.to_kind(Kind::Float));
        let timeline = arguments.fps.map(Timeline::even);
        let window = (arguments.overlap > 0).then_some(Window { overlap: arguments.overlap, ..Window::PUBLISHED });
        let (sampling, notices) = (Sampling::ALL, Vec::new());
        Ok(Self { source, max_frames: t, size: [t, h, w], sampling, position: 0, window, timeline, notices })
    }

    /// `[t, h, w]` of the clip, after sampling and resizing.
    pub(crate) fn size(&self) -> [i64; 3] {
        self.size
    }

    /// Prints what reading changes or loses.
    pub(crate) fn print_notices(&self, input: &Input) {
        notices::print(input.name(), &self.notices);
    }

    /// The times of its frames, the shape of its pixels, and its sound.
    pub(crate) fn timeline(&self) -> Option<&Timeline> {
        self.timeline.as_ref()
    }

    pub(crate) fn pixel_aspect(&self) -> PixelAspect {
        self.timeline().map(Timeline::pixel_aspect).unwrap_or_default()
    }

    /// Shortens the chunks of a video that is resized, so that the frames at the source's resolution take at most this
    /// many bytes; a chunk has at least one frame.
    pub(crate) fn limit_source_bytes(&mut self, bytes: Option<u64>) {
        let limit = bytes.zip(self.source_bytes_of(1)).map(|(bytes, frame)| (bytes / frame.max(1)) as i64);
        self.max_frames = self.max_frames.min(limit.unwrap_or(self.max_frames)).max(1);
    }

    /// The memory for the frames of a chunk at the source's resolution, in bytes; 0 for frames that are not resized.
    pub(crate) fn source_bytes(&self) -> u64 {
        self.source_bytes_of(self.max_frames).unwrap_or(0)
    }

    /// The memory for this many frames of the source while they are resized; `None` if they keep their size.
    fn source_bytes_of(&self, frames: i64) -> Option<u64> {
        // The byte that is read, and two floats: one in the model's range, one in the layout for resizing.
        const VALUE: usize = 1 + 2 * size_of::<f32>();
        let Source::Video(reader) = &self.source else { return None };
        let [h, w] = [reader.info().height, reader.info().width];
        ([h, w] != self.size[1..]).then(|| (frames * h * w * 3).unsigned_abs() * VALUE as u64)
    }

    /// The window in which a non-causal model encodes the clip; `None` for the whole clip at once.
    pub(crate) fn window(&self) -> Option<Window> {
        self.window
    }

    /// The next chunk of at least one and at most `max` frames, `[b, 3, t, h, w]` in [-1, 1]; `None` at the end.
    pub(crate) fn next(&mut self, max: i64) -> anyhow::Result<Option<Tensor>> {
        let [_, h, w] = self.size;
        loop {
            let Some(frames) = self.read(max.min(self.max_frames))? else { return Ok(None) };
            if frames.size()[2] > 0 {
                return Ok(Some(cover(&frames, [h, w])));
            }
        }
    }

    /// The sampled ones among the source's next `max` frames, `[b, 3, t, h, w]` in [-1, 1] with t >= 0; `None` at the
    /// end.
    fn read(&mut self, max: i64) -> anyhow::Result<Option<Tensor>> {
        Ok(match &mut self.source {
            Source::Video(reader) => {
                let Some(frames) = reader.next_frames(max as usize)? else { return Ok(None) };
                let start = self.position as u64;
                self.position += frames.size()[0];
                Some(to_model_range(&self.sampling.take(&frames, start)))
            }
            Source::Tensor(video) => {
                let start = self.position;
                let length = max.min(video.size()[2] - start);
                self.position += length;
                (length > 0).then(|| video.narrow(2, start, length))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;
    use vidtok_core::{VideoError, VideoInfo};

    use super::*;

    /// A video without frames, for tests that need only its size.
    struct EmptyVideo(VideoInfo);

    impl FrameSource for EmptyVideo {
        fn info(&self) -> &VideoInfo {
            &self.0
        }

        fn path(&self) -> &Path {
            Path::new("x.mp4")
        }

        fn next_frames(&mut self, _max: usize) -> Result<Option<Tensor>, VideoError> {
            Ok(None)
        }

        fn frames_at(&self, _indices: &[u64]) -> Result<Tensor, VideoError> {
            Ok(Tensor::zeros([0], (Kind::Uint8, Device::Cpu)))
        }
    }

    /// A clip of h x w from a video of 100 x 200.
    fn clip([h, w]: [i64; 2]) -> Clip {
        let frame_rate: FrameRate = "5".parse().unwrap();
        let info = VideoInfo { width: 200, height: 100, frames: 50, frame_rate, times: None };
        let source = Source::Video(Box::new(EmptyVideo(info)));
        let (sampling, notices) = (Sampling::ALL, Vec::new());
        Clip { source, max_frames: 40, size: [50, h, w], sampling, position: 0, window: None, timeline: None, notices }
    }

    #[test]
    fn chunks_of_a_resized_video_shrink_to_the_memory_limit() {
        assert_eq!(clip([100, 200]).source_bytes(), 0);
        let frame = 100 * 200 * 3 * 9;
        let mut clip = clip([10, 20]);
        assert_eq!(clip.source_bytes(), 40 * frame);
        clip.limit_source_bytes(None);
        assert_eq!(clip.max_frames, 40);
        clip.limit_source_bytes(Some(10 * frame + 1));
        assert_eq!((clip.max_frames, clip.source_bytes()), (10, 10 * frame));
        clip.limit_source_bytes(Some(0));
        assert_eq!(clip.max_frames, 1);
    }
}
