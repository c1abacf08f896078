//! Inputs and outputs of the commands: video files through ffmpeg, images, or tensors in `.safetensors` files.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use tch::{Kind, Tensor};
use vidtok::{PixelRange, Window};
use vidtok_core::{FrameRate, FrameSink, FrameSource, PixelAspect, temporary_beside};
use vidtok_data::{
    Destination, Ffmpeg, Hdr, InputOptions, InputReader, Notice, Reach, ReadOptions, Sampling, Timeline, VideoWriter,
    WriteOptions, cover, to_frames, to_model_range,
};
use vidtok_torch::{TensorFile, write_tensors};

use crate::args::parse_rate;
use crate::io::standard::{self, Input, is_standard, is_tensor_name};
use crate::terminal::notices;

/// How pixels are read.
#[derive(Debug, Default, Args)]
pub(crate) struct ReadArgs {
    /// What becomes of high dynamic range (PQ, HLG): tone-map takes it to BT.709, keep cuts its signal to 8 bits
    #[arg(long, value_enum, default_value_t = HdrChoice::ToneMap)]
    hdr: HdrChoice,
    /// Deinterlace interlaced video, one frame for each; its fields stay woven without it
    #[arg(long)]
    deinterlace: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum HdrChoice {
    #[default]
    ToneMap,
    Keep,
}

impl ReadArgs {
    pub(crate) fn options(&self) -> ReadOptions {
        let hdr = match self.hdr {
            HdrChoice::ToneMap => Hdr::ToneMap,
            HdrChoice::Keep => Hdr::Keep,
        };
        ReadOptions { hdr, deinterlace: self.deinterlace }
    }
}

/// How videos are stored.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct WriteArgs {
    /// Repeat the last row or column of an odd size, so that all players can show the video (4:2:0); odd sizes are kept
    /// without it, with full colour resolution (4:4:4)
    #[arg(long)]
    player_friendly: bool,
}

impl WriteArgs {
    pub(crate) fn options(self) -> WriteOptions {
        WriteOptions { player_friendly: self.player_friendly, ..WriteOptions::default() }
    }
}

/// Size and rate that an input is brought to before it is encoded, none of which changes the shape of its pixels.
#[derive(Debug, Args)]
pub(crate) struct FrameArgs {
    /// Resize and centre-crop to this height; the video's own without it
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..=16384))]
    height: Option<i64>,
    /// Resize and centre-crop to this width; the video's own without it
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..=16384))]
    width: Option<i64>,
    /// Take those frames of a video file that come close to this many a second; for a tensor: its frames per second
    #[arg(long, value_parser = parse_rate)]
    fps: Option<FrameRate>,
    /// Images that are shown in a second, where the input is a folder of frames (PNG, JPEG), a pattern such as
    /// frames/%06d.png, or an image
    #[arg(long, value_name = "RATE", default_value_t = InputOptions::FRAME_RATE, value_parser = parse_rate)]
    frame_rate: FrameRate,
    /// For models that are not causal: frames that a window of 16 shares with the one before, which fade into each
    /// other; about as many more tokens
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..=12))]
    overlap: i64,
    #[command(flatten)]
    read: ReadArgs,
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
}

impl Default for FrameArgs {
    /// As without any.
    fn default() -> Self {
        let (frame_rate, read) = (InputOptions::FRAME_RATE, ReadArgs::default());
        Self { height: None, width: None, fps: None, frame_rate, overlap: 0, read }
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
    sampling: Sampling,
    /// Source frames that were read.
    read: i64,
    window: Option<Window>,
    /// None if nothing says how fast the frames follow each other.
    timeline: Option<Timeline>,
    notices: Vec<Notice>,
}

enum Source {
    Video(Box<dyn FrameSource + Send>),
    /// `[b, 3, t, h, w]`.
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
        let input = InputOptions { frame_rate, reach: Reach::once(), read };
        let reader = InputReader::open(&Ffmpeg::locate()?, path, &input)?;
        let notices = reader.notices();
        let info = reader.info().clone();
        let fps = arguments.fps.map(FrameRate::as_f64);
        let sampling = Sampling::of(&info, fps);
        let taken =
            sampling.apply(&info, fps).context("--fps: no frame rate is as slow as that of what would be taken")?;
        let timeline = reader.timeline()?.with_frames(&taken);
        let [h, w] = arguments.size([info.height, info.width]);
        let t = taken.frames as i64;
        let most = (READ_BYTES / (info.height * info.width * 3 * size_of::<f32>() as i64)).max(1);
        let source = Source::Video(Box::new(reader));
        // Videos can be of any length, tensors are in memory anyway.
        let window = Some(Window { overlap: arguments.overlap, ..Window::PUBLISHED });
        Ok(Self { source, most, size: [t, h, w], sampling, read: 0, window, timeline: Some(timeline), notices })
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
        if let Some(doubt) = range.warning() {
            eprintln!("warning: {}: {doubt}", input.name());
        }
        let [h, w] = arguments.size([h, w]);
        let source = Source::Tensor(video.to_kind(Kind::Float));
        let timeline = arguments.fps.map(Timeline::even);
        let window = (arguments.overlap > 0).then_some(Window { overlap: arguments.overlap, ..Window::PUBLISHED });
        let notices = Vec::new();
        Ok(Self { source, most: t, size: [t, h, w], sampling: Sampling::ALL, read: 0, window, timeline, notices })
    }

    /// t, h and w.
    pub(crate) fn size(&self) -> [i64; 3] {
        self.size
    }

    /// Prints what a user should know of how it is read.
    pub(crate) fn print_notices(&self, input: &Input) {
        notices::print(input.name(), &self.notices);
    }

    /// When its frames are shown, the shape of its pixels, and its sound.
    pub(crate) fn timeline(&self) -> Option<&Timeline> {
        self.timeline.as_ref()
    }

    pub(crate) fn pixel_aspect(&self) -> PixelAspect {
        self.timeline().map(Timeline::pixel_aspect).unwrap_or_default()
    }

    /// Reads frames that are to be resized few enough at a time that they take no more than this, in bytes; one at
    /// least.
    pub(crate) fn read_within(&mut self, bytes: Option<u64>) {
        let most = bytes.zip(self.resized_bytes(1)).map(|(bytes, frame)| (bytes / frame.max(1)) as i64);
        self.most = self.most.min(most.unwrap_or(self.most)).max(1);
    }

    /// What frames of the source's own size take at a time, in bytes.
    pub(crate) fn reading_bytes(&self) -> u64 {
        self.resized_bytes(self.most).unwrap_or(0)
    }

    /// What this many frames of the source take while they are resized; `None` if they keep their size.
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

    /// Those of the source's next frames that are taken, if any: `[b, 3, t, h, w]` in [-1, 1].
    fn read(&mut self, max: i64) -> anyhow::Result<Option<Tensor>> {
        Ok(match &mut self.source {
            Source::Video(reader) => {
                let Some(frames) = reader.next_frames(max as usize)? else { return Ok(None) };
                let start = self.read as u64;
                self.read += frames.size()[0];
                Some(to_model_range(&self.sampling.take(&frames, start)))
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
    options: WriteOptions,
    notices: Vec<Notice>,
}

enum Sink {
    Tensor(Vec<Tensor>),
    /// Starts with the first frames, which have the size.
    Video(Option<Box<dyn FrameSink + Send>>, Timeline),
}

impl Output {
    /// Checks that the file can be written. A video file needs a `timeline`; standard output becomes a video if there
    /// is one.
    pub(crate) fn new(path: &Path, timeline: Option<Timeline>, options: WriteOptions) -> anyhow::Result<Self> {
        check_writable(path)?;
        let sink = match timeline {
            _ if is_tensor_name(path) => Sink::Tensor(Vec::new()),
            None if is_standard(path) => Sink::Tensor(Vec::new()),
            Some(timeline) => Sink::Video(None, timeline),
            None => bail!("the input has no frame rate, which a video file needs: give --fps, or write .safetensors"),
        };
        Ok(Self { path: path.to_owned(), sink, options, notices: Vec::new() })
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
                        let writer = VideoWriter::retell(&ffmpeg, destination, size, timeline, self.options)?;
                        self.notices = writer.notices();
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
            Sink::Video(Some(mut sink), _) => sink.finish()?,
            Sink::Video(None, _) => bail!("{}: no frame was decoded", self.path.display()),
        }
        notices::print(self.path.display(), &self.notices);
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
        let info = VideoInfo { width: 200, height: 100, frames: 50, frame_rate, times: None };
        let source = Source::Video(Box::new(Sized(info)));
        let (sampling, notices) = (Sampling::ALL, Vec::new());
        Clip { source, most: 40, size: [50, h, w], sampling, read: 0, window: None, timeline: None, notices }
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
