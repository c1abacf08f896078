//! Inputs and outputs of the commands: video files through ffmpeg, or tensors in `.safetensors` files.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use tch::{Kind, Tensor};
use vidtok::Window;
use vidtok_core::{FrameRate, FrameSink, FrameSource, temporary_beside};
use vidtok_data::{
    Destination, Ffmpeg, Quality, Timeline, VideoReader, VideoWriter, cover, interval, to_frames, to_model_range,
};
use vidtok_torch::{TensorFile, write_tensors};

use crate::standard::{self, Input, is_standard, is_tensor_name};

/// Size and rate that an input is brought to before it is encoded.
#[derive(Debug, Default, Args)]
pub(crate) struct FrameArgs {
    /// Resize and centre-crop to this height; the video's own without it
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..=16384))]
    height: Option<i64>,
    /// Resize and centre-crop to this width; the video's own without it
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..=16384))]
    width: Option<i64>,
    /// Take every n-th frame of a video file, to come close to this many a second; for a tensor: its frames per second
    #[arg(long)]
    fps: Option<FrameRate>,
    /// For models that are not causal: frames that a window of 16 shares with the one before, which fade into each
    /// other; about as many more tokens
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..=12))]
    overlap: i64,
}

impl FrameArgs {
    /// Height and width for an input of h x w; one that is not given follows from the other.
    fn size(&self, [h, w]: [i64; 2]) -> [i64; 2] {
        let scaled = |side: i64, to: i64, from: i64| ((side * to) as f64 / from as f64).round().max(1.0) as i64;
        match (self.height, self.width) {
            (Some(height), Some(width)) => [height, width],
            (Some(height), None) => [height, scaled(w, height, h)],
            (None, Some(width)) => [scaled(h, width, w), width],
            (None, None) => [h, w],
        }
    }

    fn stride(&self, source: FrameRate) -> i64 {
        self.fps.map_or(1, |fps| interval(source.as_f64(), fps.as_f64()) as i64)
    }
}

/// Frames of the source's size are read so many at a time that they take no more than this, in bytes of float32.
const READ_BYTES: i64 = 256 << 20;

/// A clip that is read from front to back.
pub(crate) struct Clip {
    source: Source,
    /// The most frames that are read at a time.
    most: i64,
    /// t, h, w as given out.
    size: [i64; 3],
    stride: i64,
    /// Source frames that were read.
    read: i64,
    window: Option<Window>,
    /// None if nothing says how fast the frames follow each other.
    timeline: Option<Timeline>,
}

enum Source {
    Video(Box<dyn FrameSource + Send>),
    /// `[b, 3, t, h, w]`.
    Tensor(Tensor),
}

impl Clip {
    pub(crate) fn open(input: &Input, arguments: &FrameArgs) -> anyhow::Result<Self> {
        let path = input.path();
        if input.is_tensor_file() { Self::open_tensor(path, arguments) } else { Self::open_video(path, arguments) }
    }

    fn open_video(path: &Path, arguments: &FrameArgs) -> anyhow::Result<Self> {
        let reader = VideoReader::open(&Ffmpeg::locate()?, path)?;
        let info = reader.info().clone();
        let stride = arguments.stride(info.frame_rate);
        let timeline = reader.timeline()?;
        let timeline = u32::try_from(stride).ok().and_then(|stride| timeline.every(stride));
        let timeline = timeline.with_context(|| format!("--fps: every {stride}-th frame is too few"))?;
        let [h, w] = arguments.size([info.height, info.width]);
        let t = (info.frames as i64 + stride - 1) / stride;
        let most = (READ_BYTES / (info.height * info.width * 3 * size_of::<f32>() as i64)).max(1);
        let source = Source::Video(Box::new(reader));
        // Videos can be of any length, tensors are in memory anyway.
        let window = Some(Window { overlap: arguments.overlap, ..Window::PUBLISHED });
        Ok(Self { source, most, size: [t, h, w], stride, read: 0, window, timeline: Some(timeline) })
    }

    fn open_tensor(path: &Path, arguments: &FrameArgs) -> anyhow::Result<Self> {
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
        let [h, w] = arguments.size([h, w]);
        let source = Source::Tensor(video.to_kind(Kind::Float));
        let timeline = arguments.fps.map(Timeline::even);
        let window = (arguments.overlap > 0).then_some(Window { overlap: arguments.overlap, ..Window::PUBLISHED });
        Ok(Self { source, most: t, size: [t, h, w], stride: 1, read: 0, window, timeline })
    }

    /// t, h and w.
    pub(crate) fn size(&self) -> [i64; 3] {
        self.size
    }

    /// When its frames are shown, and its sound.
    pub(crate) fn timeline(&self) -> Option<&Timeline> {
        self.timeline.as_ref()
    }

    pub(crate) fn frame_rate(&self) -> Option<FrameRate> {
        self.timeline().map(Timeline::frame_rate)
    }

    /// Reads frames of another size than is given out so many at a time that they take no more than this, in bytes; one at
    /// least.
    pub(crate) fn read_within(&mut self, bytes: Option<u64>) {
        let most = bytes.zip(self.resized_bytes(1)).map(|(bytes, frame)| (bytes / frame.max(1)) as i64);
        self.most = self.most.min(most.unwrap_or(self.most)).max(1);
    }

    /// What frames of the source's own size take at a time, in bytes.
    pub(crate) fn reading_bytes(&self) -> u64 {
        self.resized_bytes(self.most).unwrap_or(0)
    }

    /// What so many frames of the source take while they are brought to another size; `None` if they have that size.
    fn resized_bytes(&self, frames: i64) -> Option<u64> {
        // The bytes, and twice as floats: in the model's range and in the layout for resizing.
        const VALUE: usize = 1 + 2 * size_of::<f32>();
        let Source::Video(reader) = &self.source else { return None };
        let [h, w] = [reader.info().height, reader.info().width];
        ([h, w] != self.size[1..]).then(|| (frames * h * w * 3).unsigned_abs() * VALUE as u64)
    }

    /// The window in which a non-causal model takes the clip; `None` for the whole clip.
    pub(crate) fn window(&self) -> Option<Window> {
        self.window
    }

    /// The next frames, at least one and at most `max`: `[b, 3, t, h, w]` in [-1, 1].
    pub(crate) fn next(&mut self, max: i64) -> anyhow::Result<Option<Tensor>> {
        let [_, h, w] = self.size;
        loop {
            let Some(frames) = self.read(max.min(self.most))? else { return Ok(None) };
            if frames.size()[2] > 0 {
                return Ok(Some(cover(&frames, [h, w])));
            }
        }
    }

    /// Those of the source's next frames that the stride takes, if any: `[b, 3, t, h, w]` in [-1, 1].
    fn read(&mut self, max: i64) -> anyhow::Result<Option<Tensor>> {
        Ok(match &mut self.source {
            Source::Video(reader) => {
                let Some(frames) = reader.next_frames(max as usize)? else { return Ok(None) };
                // To the next multiple of the stride.
                let (t, skipped) = (frames.size()[0], (self.stride - self.read % self.stride) % self.stride);
                self.read += t;
                Some(to_model_range(&frames.slice(0, skipped.min(t), None, self.stride)))
            }
            Source::Tensor(video) => {
                let length = max.min(video.size()[2] - self.read);
                let start = self.read;
                self.read += length;
                (length > 0).then(|| video.narrow(2, start, length))
            }
        })
    }
}

/// A clip that is written from front to back; nothing stands under its name before it is finished.
pub(crate) struct Output {
    path: PathBuf,
    sink: Sink,
}

enum Sink {
    Tensor(Vec<Tensor>),
    /// Starts with the first frames, which have the size.
    Video(Option<Box<dyn FrameSink + Send>>, Timeline),
}

impl Output {
    /// Checks that the file can be written. A video file needs a `timeline`; standard output becomes a video if there
    /// is one.
    pub(crate) fn new(path: &Path, timeline: Option<Timeline>) -> anyhow::Result<Self> {
        check_writable(path)?;
        let sink = match timeline {
            _ if is_tensor_name(path) => Sink::Tensor(Vec::new()),
            None if is_standard(path) => Sink::Tensor(Vec::new()),
            Some(timeline) => Sink::Video(None, timeline),
            None => bail!("the input has no frame rate, which a video file needs: give --fps, or write .safetensors"),
        };
        Ok(Self { path: path.to_owned(), sink })
    }

    /// What it holds of a clip of `[t, h, w]` in the end, in bytes: a tensor file is written at once, from the parts joined.
    pub(crate) fn bytes(&self, [t, h, w]: [i64; 3]) -> u64 {
        match self.sink {
            Sink::Tensor(_) => 2 * (t * h * w * 3).unsigned_abs() * size_of::<f32>() as u64,
            Sink::Video(..) => 0,
        }
    }

    /// Appends frames `[b, 3, t, h, w]` in [-1, 1].
    pub(crate) fn write(&mut self, frames: &Tensor) -> anyhow::Result<()> {
        match &mut self.sink {
            Sink::Tensor(parts) => parts.push(frames.shallow_clone()),
            Sink::Video(sink, timeline) => {
                let size = frames.size();
                if size[0] != 1 {
                    bail!("a video file holds one clip, here are {}: write .safetensors", size[0]);
                }
                let sink = match sink {
                    Some(sink) => sink,
                    None => {
                        let ffmpeg = Ffmpeg::locate()?;
                        let size = [size[3], size[4]];
                        let destination = match is_standard(&self.path) {
                            true => Destination::StandardOutput,
                            false => Destination::File(self.path.clone()),
                        };
                        let writer = VideoWriter::retell(&ffmpeg, destination, size, timeline, Quality::default())?;
                        sink.insert(Box::new(writer))
                    }
                };
                sink.write(&to_frames(frames))?;
            }
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> anyhow::Result<()> {
        match self.sink {
            Sink::Tensor(parts) if parts.is_empty() => bail!("{}: no frame was decoded", self.path.display()),
            Sink::Tensor(parts) => {
                let video = Tensor::cat(&parts, 2).contiguous();
                standard::write_file(&self.path, |path| Ok(write_tensors(path, [("video", &video)], [])?))?;
            }
            Sink::Video(Some(sink), _) => sink.finish()?,
            Sink::Video(None, _) => bail!("{}: no frame was decoded", self.path.display()),
        }
        Ok(())
    }
}

/// Checks that a file can be written beside `path`, before any work is done for it.
pub(crate) fn check_writable(path: &Path) -> anyhow::Result<()> {
    if is_standard(path) {
        return Ok(());
    }
    temporary_beside(path).map(drop).with_context(|| format!("{}: cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use tch::Device;
    use vidtok_core::{VideoError, VideoInfo};

    use super::*;

    /// A video of which only the size is asked for.
    struct Sized(VideoInfo);

    impl FrameSource for Sized {
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
        let info = VideoInfo { width: 200, height: 100, frames: 50, frame_rate };
        let source = Source::Video(Box::new(Sized(info)));
        Clip { source, most: 40, size: [50, h, w], stride: 1, read: 0, window: None, timeline: None }
    }

    #[test]
    fn frames_of_another_size_take_memory_and_few_are_read_where_little_is_allowed() {
        assert_eq!(clip([100, 200]).reading_bytes(), 0);
        let frame = 100 * 200 * 3 * 9;
        let mut clip = clip([10, 20]);
        assert_eq!(clip.reading_bytes(), 40 * frame);
        clip.read_within(None);
        assert_eq!(clip.most, 40);
        clip.read_within(Some(10 * frame + 1));
        assert_eq!((clip.most, clip.reading_bytes()), (10, 10 * frame));
        clip.read_within(Some(0));
        assert_eq!(clip.most, 1);
    }
}
