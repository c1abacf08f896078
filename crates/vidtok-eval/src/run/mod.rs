//! Codecs over videos, one after the other; what is done is kept.

pub(crate) mod metric_set;
pub(crate) mod part;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::Serialize;
use sha2::{Digest, Sha256};
use tch::{Device, Tensor};
use vidtok_core::{Codec, CodecError, FrameSink, Reconstructed, VideoError};
use vidtok_data::{
    Ffmpeg, Notice, Preparation, PreparedVideo, Reading, VideoQuality, VideoWriter, WriteOptions, path_text, to_frames,
    to_unit_range, unusable,
};
use vidtok_report::difference;

use crate::error::EvalError;
use crate::protocol::Protocol;
use crate::results::{Evaluation, Unmeasured};
use crate::run::metric_set::{InstrumentSet, Instruments};
use crate::run::part::{About, Part, file_state};

/// Frames in which whole videos are coded and measured.
const PIECE: usize = 16;
/// How much larger differences are shown than they are.
const DIFFERENCE_GAIN: f64 = 4.0;

/// How to evaluate.
#[derive(Clone, Debug)]
pub struct EvaluateOptions {
    /// The folder for the results.
    pub out: PathBuf,
    /// Windows that are coded at once.
    pub batch: usize,
    /// Whether each reconstruction is kept as a video beside its input, for the page.
    pub players: bool,
    /// Ends the work once it is set.
    pub stop: Arc<AtomicBool>,
}

/// What an evaluation tells while it works.
#[derive(Debug)]
pub enum EvaluationProgress<'a> {
    /// A codec begins a video, or passes over one that is done.
    Video {
        /// The codec's name.
        codec: &'a str,
        /// The video's.
        video: &'a str,
    },
    /// Frames were coded and measured.
    Frames(usize),
    /// Something that a user should know of how a video is read.
    Notice {
        /// The video's name.
        video: &'a str,
        /// What it is.
        notice: &'a Notice,
    },
    /// A video cannot be read, or a codec fails on it.
    Unmeasured(&'a Unmeasured),
}

/// Evaluates `codecs` on `videos`, whose names are shown relative to `root`. A video that cannot be read, or on which a
/// codec fails, is left out for all codecs, so that all numbers are of the same videos.
///
/// # Errors
/// If a metric is not defined for such frames or gives no finite number, the machine has run out of something, the folder
/// of the results cannot be written or that of a video not be reached, ffmpeg does not run, no video is left, or the work
/// was stopped. What is done stays for the next call.
pub fn evaluate(
    codecs: &[Box<dyn Codec>],
    root: &Path,
    videos: &[PathBuf],
    protocol: &Protocol,
    device: Device,
    options: &EvaluateOptions,
    tell: &mut dyn FnMut(EvaluationProgress<'_>),
) -> Result<Evaluation, EvalError> {
    for (index, codec) in codecs.iter().enumerate() {
        if codecs[..index].iter().any(|other| other.name() == codec.name()) {
            return Err(EvalError::SameName { name: codec.name().to_owned() });
        }
    }
    let instruments = InstrumentSet::load(&protocol.metrics, device)?;
    let weights = instruments.weights()?;
    let ffmpeg = Ffmpeg::locate()?;
    let reading = ffmpeg.reading(protocol.read);
    let stamp = Stamp { protocol, reading: &reading };
    let mut preparation = protocol.preparation();
    preparation.input.reach = preparation.input.reach.within(root);
    let run =
        Run { protocol, stamp, preparation, device, options, instruments: &instruments, weights: &weights, ffmpeg };
    run.claim_folder()?;
    // What earlier runs have left in the folder of the results is no input.
    let own = options.out.canonicalize().map_err(EvalError::file(&options.out))?;
    let is_own = |path: &Path| path.canonicalize().is_ok_and(|path| path.starts_with(&own));
    let videos: Vec<&PathBuf> = videos.iter().filter(|path| !is_own(path)).collect();
    let mut measured = Vec::new();
    let mut parts: Vec<Vec<Part>> = codecs.iter().map(|_| Vec::new()).collect();
    let mut unmeasured = Vec::new();
    for &path in &videos {
        let name = path_text(path.strip_prefix(root).unwrap_or(path)).into_owned();
        match run.video(codecs, path, &name, tell) {
            Ok(found) => {
                measured.push(name);
                parts.iter_mut().zip(found).for_each(|(parts, part)| parts.push(part));
            }
            // What told us to stop may have told ffmpeg too.
            Err(_) if run.is_stopped() => return Err(EvalError::Stopped),
            Err(error) => {
                let video = unmeasured_by(error, name)?;
                tell(EvaluationProgress::Unmeasured(&video));
                unmeasured.push(video);
            }
        }
    }
    if let (true, Some(Unmeasured { reason, .. })) = (measured.is_empty(), unmeasured.first()) {
        return Err(EvalError::NoVideos { videos: videos.len(), reason: reason.clone() });
    }
    let evaluation = Evaluation::new(protocol, reading, weights, codecs, &measured, parts, unmeasured);
    evaluation.check_finite()?;
    Ok(evaluation)
}

/// A video that is left out for this error; the error itself if other videos would meet it too.
fn unmeasured_by(error: EvalError, video: String) -> Result<Unmeasured, EvalError> {
    let (codec, reason) = match &error {
        EvalError::Video(source) if unusable(source).is_some() => (None, one_line(source)),
        // What goes wrong with the files that a codec makes says nothing of the video.
        EvalError::Codec(CodecError { source, .. }) if source.is::<VideoError>() => return Err(error),
        EvalError::Codec(CodecError { codec, source }) => (Some(codec.clone()), one_line(source.as_ref())),
        _ => return Err(error),
    };
    Ok(Unmeasured { video, codec, reason })
}

/// The name of a codec's or video's file, whatever its own is made of.
pub(crate) fn file_stem(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
    format!("{}-{}", plain.chars().take(60).collect::<String>(), &hash(name)[..8])
}

/// Where the video of a codec's reconstruction lies in the folder.
pub(crate) fn player_path(out: &Path, codec: &str, video: &str) -> PathBuf {
    out.join("players").join(file_stem(codec)).join(file_stem(video) + ".mp4")
}

/// What determines the numbers beside videos and codecs.
#[derive(Serialize)]
struct Stamp<'a> {
    #[serde(flatten)]
    protocol: &'a Protocol,
    /// What the protocol's way to read comes to with the ffmpeg at hand.
    reading: &'a Reading,
}

struct Run<'a> {
    protocol: &'a Protocol,
    stamp: Stamp<'a>,
    preparation: Preparation,
    device: Device,
    options: &'a EvaluateOptions,
    instruments: &'a InstrumentSet,
    /// Hashes of the instruments' weights.
    weights: &'a BTreeMap<&'static str, String>,
    ffmpeg: Ffmpeg,
}

/// Features of a video's windows by the length of the windows: the same for all codecs.
type Known = BTreeMap<usize, Tensor>;

impl Run<'_> {
    /// Makes the folder, or checks that what it holds was measured alike.
    fn claim_folder(&self) -> Result<(), EvalError> {
        let out = &self.options.out;
        let path = out.join("protocol.json");
        fs::create_dir_all(out.join("parts")).map_err(EvalError::file(out))?;
        let text = serde_json::to_string_pretty(&self.stamp).unwrap_or_default();
        match fs::read_to_string(&path) {
            Ok(found) if found == text => Ok(()),
            Ok(_) => Err(EvalError::OtherEvaluation { path: out.clone(), what: "protocol (protocol.json)".to_owned() }),
            Err(_) => vidtok_core::write_atomically(&path, |temporary| fs::write(temporary, &text))
                .map_err(EvalError::file(path)),
        }
    }

    /// A video by all codecs, in their order.
    fn video(
        &self,
        codecs: &[Box<dyn Codec>],
        path: &Path,
        name: &str,
        tell: &mut dyn FnMut(EvaluationProgress<'_>),
    ) -> Result<Vec<Part>, EvalError> {
        let mut known = Known::new();
        let mut parts = Vec::new();
        for codec in codecs {
            if self.is_stopped() {
                return Err(EvalError::Stopped);
            }
            tell(EvaluationProgress::Video { codec: codec.name(), video: name });
            let folder = self.options.out.join("parts").join(file_stem(codec.name()));
            let file = folder.join(file_stem(name) + ".safetensors");
            let stamp = self.stamp(codec.as_ref(), path);
            let player = player_path(&self.options.out, codec.name(), name);
            let shown = !self.options.players || player.is_file();
            let length = if self.protocol.long { PIECE } else { codec.window() };
            let part = match Part::read(&file, &stamp).filter(|part| shown && part.measures.not_finite().is_none()) {
                Some(part) => {
                    tell(EvaluationProgress::Frames(part.about.frames));
                    part
                }
                None => {
                    fs::create_dir_all(&folder).map_err(EvalError::file(&folder))?;
                    let player = self.options.players.then_some(player);
                    let part =
                        self.measure(codec.as_ref(), (path, name), stamp, player.as_deref(), known.get(&length), tell)?;
                    part.write(&file)?;
                    part
                }
            };
            if let Some([features, _]) = &part.measures.features {
                known.entry(length).or_insert_with(|| features.to_device(self.device));
            }
            parts.push(part);
        }
        Ok(parts)
    }

    fn is_stopped(&self) -> bool {
        self.options.stop.load(Ordering::Relaxed)
    }

    fn stamp(&self, codec: &dyn Codec, video: &Path) -> String {
        let protocol = serde_json::to_string(&self.stamp).unwrap_or_default();
        let weights = self.weights;
        hash(&format!("{}\n{:?}\n{protocol}\n{weights:?}\n{}", codec.name(), codec.settings(), file_state(video)))
    }

    /// Codes frames, unless the work was stopped; what comes back must be finite.
    fn code(
        &self,
        codec: &dyn Codec,
        code: impl FnOnce() -> Result<Option<Reconstructed>, CodecError>,
    ) -> Result<Option<Reconstructed>, EvalError> {
        if self.is_stopped() {
            return Err(EvalError::Stopped);
        }
        let coded = code()?;
        let is_finite = |coded: &Reconstructed| coded.reconstruction.isfinite().all().int64_value(&[]) != 0;
        if coded.as_ref().is_none_or(is_finite) {
            return Ok(coded);
        }
        Err(CodecError { codec: codec.name().to_owned(), source: "what came back holds NaN or infinity".into() }.into())
    }

    fn measure(
        &self,
        codec: &dyn Codec,
        (path, name): (&Path, &str),
        stamp: String,
        player: Option<&Path>,
        features: Option<&Tensor>,
        tell: &mut dyn FnMut(EvaluationProgress<'_>),
    ) -> Result<Part, EvalError> {
        let mut video = PreparedVideo::open(&self.ffmpeg, path, &self.preparation)?;
        for notice in &video.notices() {
            tell(EvaluationProgress::Notice { video: name, notice });
        }
        let (frames, rate, [h, w]) = (video.frames(), video.frame_rate(), self.protocol.size);
        let about = About { stamp, frames, fps: rate.as_f64(), windows: 0, pixels: 0.0, bits: None, seconds: 0.0 };
        let mut taker = Taker {
            about,
            instruments: self.instruments.start(),
            player: player.map(|path| Player::new(&self.ffmpeg, path, [h, w], rate)).transpose()?,
        };
        let length = if self.protocol.long { PIECE } else { codec.window() };
        if self.protocol.long {
            let mut stream = codec.start([frames as i64, h, w], rate);
            let mut pieces = Pieces::default();
            while let Some(frames) = video.next(PIECE)? {
                let count = frames.size()[2] as usize;
                let coded = taker.timed(|| self.code(codec, || stream.push(&frames.to_device(self.device))))?;
                for piece in coded.into_iter().flat_map(|coded| pieces.push(coded)) {
                    taker.take(piece, PIECE, features)?;
                }
                tell(EvaluationProgress::Frames(count));
            }
            if let Some(rest) = pieces.rest() {
                let real = rest.input.size()[2] as usize;
                taker.take(rest, real, features)?;
            }
        } else {
            loop {
                let mut windows = Vec::new();
                let mut real = 0;
                while windows.len() < self.options.batch.max(1) {
                    let Some((window, count)) = video.next_window(length)? else { break };
                    windows.push(window);
                    real += count;
                }
                if windows.is_empty() {
                    break;
                }
                let clips = Tensor::cat(&windows, 0).to_device(self.device);
                let code = || codec.start([length as i64, h, w], rate).push(&clips);
                let coded = taker.timed(|| self.code(codec, code))?;
                taker.take(whole(codec, &clips, coded)?, real, features)?;
                tell(EvaluationProgress::Frames(real));
            }
        }
        let Taker { about, instruments, player } = taker;
        if let Some(player) = player {
            player.finish()?;
        }
        let measures = instruments.finish();
        if let Some((kind, value)) = measures.not_finite() {
            let of = format!("{} by {}", path.display(), codec.name());
            return Err(EvalError::NotFinite { of, metric: kind.key(), value });
        }
        Ok(Part { about, measures })
    }
}

/// A window's reconstruction, all of it.
fn whole(codec: &dyn Codec, clips: &Tensor, coded: Option<Reconstructed>) -> Result<Reconstructed, EvalError> {
    let found =
        coded.as_ref().map_or_else(|| "nothing".to_owned(), |coded| format!("{:?}", coded.reconstruction.size()));
    coded.filter(|coded| coded.reconstruction.size() == clips.size()).ok_or_else(|| {
        let source = format!("expected {:?} back, found {found}", clips.size()).into();
        CodecError { codec: codec.name().to_owned(), source }.into()
    })
}

/// Takes what came back.
struct Taker<'a> {
    about: About,
    instruments: Instruments<'a>,
    player: Option<Player>,
}

impl Taker<'_> {
    fn timed<T>(&mut self, code: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let answer = code();
        self.about.seconds += start.elapsed().as_secs_f64();
        answer
    }

    /// Windows of which the first `real` frames are no repetitions; `known` are the features of all windows.
    fn take(&mut self, coded: Reconstructed, real: usize, known: Option<&Tensor>) -> Result<(), EvalError> {
        let Reconstructed { input, reconstruction, indices, bits } = coded;
        let size = input.size();
        let (target, back) = (to_unit_range(&input), to_unit_range(&reconstruction));
        let (from, count) = (self.about.windows as i64, size[0]);
        let known = known.filter(|known| from + count <= known.size()[0]).map(|known| known.narrow(0, from, count));
        self.instruments.update(&target, &back, known.as_ref())?;
        if let Some(indices) = &indices {
            self.instruments.count(indices);
        }
        self.about.windows += count as usize;
        self.about.pixels += (size[0] * size[2] * size[3] * size[4]) as f64;
        if let Some(bits) = bits {
            *self.about.bits.get_or_insert(0.0) += bits;
        }
        if let Some(player) = &mut self.player {
            player.write(&input, &reconstruction, real as i64)?;
        }
        Ok(())
    }
}

/// Cuts what comes back of a whole video into pieces of one length.
#[derive(Default)]
struct Pieces {
    waiting: Vec<Reconstructed>,
}

impl Pieces {
    fn push(&mut self, coded: Reconstructed) -> Vec<Reconstructed> {
        self.waiting.push(coded);
        let Some(mut all) = self.rest() else { return Vec::new() };
        let mut pieces = Vec::new();
        while all.input.size()[2] >= PIECE as i64 {
            let (first, rest) = split(all, PIECE as i64);
            pieces.push(first);
            all = rest;
        }
        if all.input.size()[2] > 0 {
            self.waiting.push(all);
        }
        pieces
    }

    /// All that waits, as one.
    fn rest(&mut self) -> Option<Reconstructed> {
        let parts = std::mem::take(&mut self.waiting);
        if parts.is_empty() {
            return None;
        }
        let join = |part: fn(&Reconstructed) -> &Tensor| Tensor::cat(&parts.iter().map(part).collect::<Vec<_>>(), 2);
        let indices: Vec<Tensor> =
            parts.iter().filter_map(|part| part.indices.as_ref()).map(|indices| indices.flatten(0, -1)).collect();
        let bits = parts.iter().filter_map(|part| part.bits).reduce(|a, b| a + b);
        Some(Reconstructed {
            input: join(|part| &part.input),
            reconstruction: join(|part| &part.reconstruction),
            indices: (!indices.is_empty()).then(|| Tensor::cat(&indices, 0)),
            bits,
        })
    }
}

/// The first `frames` frames, with all codes and bits, and the others.
fn split(coded: Reconstructed, frames: i64) -> (Reconstructed, Reconstructed) {
    let rest = coded.input.size()[2] - frames;
    let cut = |x: &Tensor, from, length| x.narrow(2, from, length);
    let (input, reconstruction) = (&coded.input, &coded.reconstruction);
    let first = Reconstructed {
        input: cut(input, 0, frames),
        reconstruction: cut(reconstruction, 0, frames),
        indices: coded.indices,
        bits: coded.bits,
    };
    let second = Reconstructed {
        input: cut(input, frames, rest),
        reconstruction: cut(reconstruction, frames, rest),
        indices: None,
        bits: None,
    };
    (first, second)
}

/// Input, reconstruction and difference beside each other, as a video.
struct Player {
    writer: VideoWriter,
}

impl Player {
    fn new(ffmpeg: &Ffmpeg, path: &Path, [h, w]: [i64; 2], rate: vidtok_core::FrameRate) -> Result<Self, EvalError> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(EvalError::file(folder))?;
        }
        // It is to be shown by a browser.
        let options = WriteOptions { quality: VideoQuality::Crf(23), player_friendly: true };
        let writer = VideoWriter::create(ffmpeg, path, [h, 3 * w], rate, options).map_err(EvalError::Player)?;
        Ok(Self { writer })
    }

    fn write(&mut self, input: &Tensor, reconstruction: &Tensor, real: i64) -> Result<(), EvalError> {
        let mut left = real;
        for (input, reconstruction) in input.split(1, 0).into_iter().zip(reconstruction.split(1, 0)) {
            let frames = left.min(input.size()[2]);
            left -= frames;
            if frames == 0 {
                break;
            }
            let [input, reconstruction] = [input, reconstruction].map(|clip| clip.narrow(2, 0, frames));
            let apart = difference(&input, &reconstruction, DIFFERENCE_GAIN)?.unsqueeze(0);
            let frames = to_frames(&Tensor::cat(&[input, reconstruction, apart], 4));
            self.writer.write(&frames).map_err(EvalError::Player)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), EvalError> {
        self.writer.finish().map_err(EvalError::Player)
    }
}

fn hash(text: &str) -> String {
    format!("{:x}", Sha256::digest(text.as_bytes()))
}

fn one_line(error: &dyn std::error::Error) -> String {
    error.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
