//! Runs codecs over videos, one after the other, and keeps what is done.

pub(crate) mod chunks;
pub(crate) mod part;
pub(crate) mod player;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::Serialize;
use sha2::{Digest, Sha256};
use tch::{Device, Tensor};
use vidtok_core::{Codec, CodecError, Reconstructed, VideoError, one_line};
use vidtok_data::{Ffmpeg, Notice, Preparation, PreparedVideo, Reading, path_text, to_unit_range, video_fault};
use vidtok_metrics::{Fvd, MetricSet, RunningMetrics};
use vidtok_torch::{synchronize, with_ieee_float32};

use crate::error::EvalError;
use crate::protocol::{Protocol, file_sha256};
use crate::results::{Evaluation, SkippedVideo, Stamp};
use crate::run::chunks::{CHUNK, Chunks};
use crate::run::part::{About, Part, file_state};
use crate::run::player::{Player, player_path};

/// How to evaluate.
#[derive(Clone, Debug)]
pub struct EvaluateOptions {
    /// The folder for the results.
    pub out: PathBuf,
    /// Windows that are coded at once.
    pub batch: usize,
    /// Whether to keep each reconstruction as a video beside its input, for the page.
    pub players: bool,
    /// Stops the evaluation once it is set.
    pub stop: Arc<AtomicBool>,
}

/// Progress of an evaluation.
#[derive(Debug)]
pub enum EvaluationProgress<'a> {
    /// A codec starts a video, or finds that it is already measured.
    Video {
        /// The codec's name.
        codec: &'a str,
        /// The video's name.
        video: &'a str,
    },
    /// This many frames were coded and measured.
    Frames(usize),
    /// A remark on how a video is read.
    Notice {
        /// The video's name.
        video: &'a str,
        /// The remark.
        notice: &'a Notice,
    },
    /// A video cannot be read, or a codec fails on it.
    Skipped(&'a SkippedVideo),
}

/// Evaluates `codecs` on `videos`, whose names are shown relative to `root`. A video that cannot be read, or on which a
/// codec fails, is skipped for all codecs, so that all numbers cover the same videos.
///
/// # Errors
/// If a metric is not defined for frames of this size or is not finite, the machine runs out of a resource, the folder of
/// the results cannot be written, the folder of a video cannot be reached, ffmpeg does not run, no video is left, or the
/// evaluation is stopped. The next call continues with the videos that were not measured.
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
    let metrics = MetricSet::load(&protocol.metrics, device)?;
    let files = metrics.weights_files()?.into_iter();
    let weights = files.map(|(kind, file)| Ok((kind.key(), file_sha256(&file)?)));
    let weights: BTreeMap<&'static str, String> = weights.collect::<Result<_, EvalError>>()?;
    let ffmpeg = Ffmpeg::locate()?;
    let reading = ffmpeg.reading(protocol.read);
    let settings = RunSettings { protocol, reading: &reading };
    let mut preparation = protocol.preparation();
    preparation.input.retry = preparation.input.retry.within(root);
    let run = Run { protocol, settings, preparation, device, options, metrics: &metrics, weights: &weights, ffmpeg };
    run.claim_folder()?;
    // Players of earlier runs in the folder of the results are not inputs.
    let own = options.out.canonicalize().map_err(EvalError::file(&options.out))?;
    let is_own = |path: &Path| path.canonicalize().is_ok_and(|path| path.starts_with(&own));
    let videos: Vec<&PathBuf> = videos.iter().filter(|path| !is_own(path)).collect();
    let mut measured = Vec::new();
    let mut parts: Vec<Vec<Part>> = codecs.iter().map(|_| Vec::new()).collect();
    let mut skipped = Vec::new();
    for &path in &videos {
        let name = path_text(path.strip_prefix(root).unwrap_or(path)).into_owned();
        match run.video(codecs, path, &name, tell) {
            Ok(found) => {
                measured.push(name);
                parts.iter_mut().zip(found).for_each(|(parts, part)| parts.push(part));
            }
            // The signal that stopped us may have stopped ffmpeg too.
            Err(_) if run.is_stopped() => return Err(EvalError::Stopped),
            Err(error) => {
                let video = skipped_for(error, name)?;
                tell(EvaluationProgress::Skipped(&video));
                skipped.push(video);
            }
        }
    }
    if let (true, Some(SkippedVideo { reason, .. })) = (measured.is_empty(), skipped.first()) {
        return Err(EvalError::NoVideos { videos: videos.len(), reason: reason.clone() });
    }
    let stamp = Stamp::new(protocol, reading, weights, measured.len());
    let evaluation = Evaluation::new(stamp, &metrics, codecs, &measured, parts, skipped)?;
    evaluation.check_finite()?;
    Ok(evaluation)
}

/// The video that is skipped because of this error; the error itself if it would affect other videos too.
fn skipped_for(error: EvalError, video: String) -> Result<SkippedVideo, EvalError> {
    let (codec, reason) = match &error {
        EvalError::Video(source) if video_fault(source).is_some() => (None, one_line(&source.to_string())),
        // A failure of the files that a codec writes does not concern the video.
        EvalError::Codec(CodecError { source, .. }) if source.is::<VideoError>() => return Err(error),
        EvalError::Codec(CodecError { codec, source }) => (Some(codec.clone()), one_line(&source.to_string())),
        _ => return Err(error),
    };
    Ok(SkippedVideo { video, codec, reason })
}

/// A file name for a codec or a video, whatever characters its own name has.
pub(crate) fn file_stem(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
    format!("{}-{}", plain.chars().take(60).collect::<String>(), &hash(name)[..8])
}

/// Everything that determines the numbers, apart from videos and codecs.
#[derive(Serialize)]
struct RunSettings<'a> {
    #[serde(flatten)]
    protocol: &'a Protocol,
    /// How this ffmpeg reads pixels under the protocol.
    reading: &'a Reading,
}

struct Run<'a> {
    protocol: &'a Protocol,
    settings: RunSettings<'a>,
    preparation: Preparation,
    device: Device,
    options: &'a EvaluateOptions,
    metrics: &'a MetricSet,
    /// Hashes of the metrics' weights.
    weights: &'a BTreeMap<&'static str, String>,
    ffmpeg: Ffmpeg,
}

/// FVD features of a video's windows by the length of the windows: they are the same for all codecs.
type KnownFeatures = BTreeMap<usize, Tensor>;

impl Run<'_> {
    /// Creates the folder, or checks that its results have the same protocol.
    fn claim_folder(&self) -> Result<(), EvalError> {
        let out = &self.options.out;
        let path = out.join("protocol.json");
        fs::create_dir_all(out.join("parts")).map_err(EvalError::file(out))?;
        let text = serde_json::to_string_pretty(&self.settings).unwrap_or_default();
        match fs::read_to_string(&path) {
            Ok(found) if found == text => Ok(()),
            Ok(_) => Err(EvalError::OtherEvaluation { path: out.clone(), what: "protocol (protocol.json)".to_owned() }),
            Err(_) => vidtok_core::write_atomically(&path, |temporary| fs::write(temporary, &text))
                .map_err(EvalError::file(path)),
        }
    }

    /// Measures a video with all codecs, in order.
    fn video(
        &self,
        codecs: &[Box<dyn Codec>],
        path: &Path,
        name: &str,
        tell: &mut dyn FnMut(EvaluationProgress<'_>),
    ) -> Result<Vec<Part>, EvalError> {
        let mut known = KnownFeatures::new();
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
            let has_player = !self.options.players || player.is_file();
            let length = if self.protocol.long { CHUNK } else { codec.window() };
            let part = match Part::read(&file, &stamp).filter(|part| has_player && self.is_valid(part)) {
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
            if let Some(features) = Fvd::target_features(&part.results.samples) {
                known.entry(length).or_insert_with(|| features.to_device(self.device));
            }
            parts.push(part);
        }
        Ok(parts)
    }

    /// Whether the results of an earlier run fit the metrics and are finite.
    fn is_valid(&self, part: &Part) -> bool {
        let mut metrics = self.metrics.start();
        metrics.extend(&part.results).is_ok() && metrics.not_finite().is_none()
    }

    fn is_stopped(&self) -> bool {
        self.options.stop.load(Ordering::Relaxed)
    }

    fn stamp(&self, codec: &dyn Codec, video: &Path) -> String {
        let protocol = serde_json::to_string(&self.settings).unwrap_or_default();
        let weights = self.weights;
        hash(&format!("{}\n{:?}\n{protocol}\n{weights:?}\n{}", codec.name(), codec.settings(), file_state(video)))
    }

    /// Codes frames, unless the evaluation is stopped, and checks that the reconstruction is finite.
    fn code(
        &self,
        codec: &dyn Codec,
        code: impl FnOnce() -> Result<Option<Reconstructed>, CodecError>,
    ) -> Result<Option<Reconstructed>, EvalError> {
        if self.is_stopped() {
            return Err(EvalError::Stopped);
        }
        let output = code()?;
        let is_finite = |output: &Reconstructed| output.reconstruction.isfinite().all().int64_value(&[]) != 0;
        if output.as_ref().is_none_or(is_finite) {
            return Ok(output);
        }
        let source = "the reconstruction contains NaN or infinity".into();
        Err(CodecError { codec: codec.name().to_owned(), source }.into())
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
        let mut measurement = Measurement {
            about,
            metrics: self.metrics.start_with(features),
            player: player.map(|path| Player::new(&self.ffmpeg, path, [h, w], rate)).transpose()?,
        };
        if self.protocol.long {
            let mut stream = codec.start([frames as i64, h, w], rate);
            let mut chunks = Chunks::default();
            while let Some(frames) = video.next(CHUNK)? {
                let count = frames.size()[2] as usize;
                let output = measurement
                    .timed(self.device, || self.code(codec, || stream.push(&frames.to_device(self.device))))?;
                for chunk in output.into_iter().flat_map(|output| chunks.push(output)) {
                    measurement.add(chunk, CHUNK)?;
                }
                tell(EvaluationProgress::Frames(count));
            }
            if let Some(rest) = chunks.rest() {
                let count = rest.input.size()[2] as usize;
                measurement.add(rest, count)?;
            }
        } else {
            let length = codec.window();
            loop {
                let mut windows = Vec::new();
                let mut count = 0;
                while windows.len() < self.options.batch.max(1) {
                    let Some((window, frames)) = video.next_window(length)? else { break };
                    windows.push(window);
                    count += frames;
                }
                if windows.is_empty() {
                    break;
                }
                let clips = Tensor::cat(&windows, 0).to_device(self.device);
                let code = || codec.start([length as i64, h, w], rate).push(&clips);
                let output = measurement.timed(self.device, || self.code(codec, code))?;
                measurement.add(complete(codec, &clips, output)?, count)?;
                tell(EvaluationProgress::Frames(count));
            }
        }
        let Measurement { about, metrics, player } = measurement;
        if let Some(player) = player {
            player.finish()?;
        }
        if let Some((kind, value)) = metrics.not_finite() {
            let of = format!("{} by {}", path.display(), codec.name());
            return Err(EvalError::NotFinite { of, metric: kind.key(), value });
        }
        Ok(Part { about, results: metrics.results() })
    }
}

/// The reconstruction of windows, which must cover all their frames.
fn complete(codec: &dyn Codec, clips: &Tensor, output: Option<Reconstructed>) -> Result<Reconstructed, EvalError> {
    let found =
        output.as_ref().map_or_else(|| "nothing".to_owned(), |output| format!("{:?}", output.reconstruction.size()));
    output.filter(|output| output.reconstruction.size() == clips.size()).ok_or_else(|| {
        let source = format!("expected a reconstruction of shape {:?}, found {found}", clips.size()).into();
        CodecError { codec: codec.name().to_owned(), source }.into()
    })
}

/// The measurement of one video by one codec.
struct Measurement {
    about: About,
    metrics: RunningMetrics,
    player: Option<Player>,
}

impl Measurement {
    /// A GPU works on while the program does, so the clock is read when it has nothing left to do.
    fn timed<T>(&mut self, device: Device, code: impl FnOnce() -> T) -> T {
        synchronize(device);
        let start = Instant::now();
        let output = code();
        synchronize(device);
        self.about.seconds += start.elapsed().as_secs_f64();
        output
    }

    /// Measures consecutive windows; frames after the first `count` only repeat the last frame of the video.
    fn add(&mut self, output: Reconstructed, count: usize) -> Result<(), EvalError> {
        let Reconstructed { input, reconstruction, indices, bits } = output;
        let size = input.size();
        with_ieee_float32(|| self.metrics.update(&to_unit_range(&input), &to_unit_range(&reconstruction)))?;
        if let Some(indices) = &indices {
            self.metrics.update_codes(indices);
        }
        self.about.windows += size[0] as usize;
        self.about.pixels += (size[0] * size[2] * size[3] * size[4]) as f64;
        if let Some(bits) = bits {
            *self.about.bits.get_or_insert(0.0) += bits;
        }
        if let Some(player) = &mut self.player {
            player.write(&input, &reconstruction, count as i64)?;
        }
        Ok(())
    }
}

fn hash(text: &str) -> String {
    format!("{:x}", Sha256::digest(text.as_bytes()))
}
