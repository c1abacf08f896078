//! The results of an evaluation with their stamp, for readers and for programs.

pub(crate) mod page;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Serialize;
use vidtok_core::{Codec, MetricError};
use vidtok_data::Reading;
use vidtok_metrics::{Fvd, I3d, MetricKind, MetricSet, RunningMetrics};

use crate::error::EvalError;
use crate::protocol::Protocol;
use crate::run::part::Part;

/// The results of an evaluation.
#[derive(Debug, Serialize)]
pub struct Evaluation {
    /// The facts without which the numbers cannot be compared with others.
    pub stamp: Stamp,
    /// Videos that were requested.
    pub asked: usize,
    /// Videos that were measured with every codec: all numbers cover exactly these.
    pub measured: usize,
    /// The videos that were skipped.
    #[serde(rename = "unmeasured")]
    pub skipped: Vec<SkippedVideo>,
    /// The results of each codec.
    pub codecs: Vec<CodecSummary>,
}

/// A video that was skipped: no number of the evaluation covers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SkippedVideo {
    /// The name of the video.
    pub video: String,
    /// The codec that failed on it; `None` if the video itself cannot be read.
    pub codec: Option<String>,
    /// The reason, on one line.
    pub reason: String,
}

/// The facts without which the numbers of an evaluation cannot be compared with others.
#[derive(Debug, Serialize)]
pub struct Stamp {
    /// The program and its version.
    pub program: String,
    /// The protocol under which videos were read and coded.
    pub protocol: Protocol,
    /// How pixels were decoded.
    pub reading: Reading,
    /// The definition of each metric.
    pub definitions: BTreeMap<&'static str, &'static str>,
    /// The SHA-256 of the weights that each metric uses.
    pub weights: BTreeMap<&'static str, String>,
    /// Videos that were measured.
    pub videos: usize,
}

/// The results of a codec.
#[derive(Debug, Serialize)]
pub struct CodecSummary {
    /// The name of the codec.
    pub name: String,
    /// The settings that determine its numbers.
    pub settings: BTreeMap<&'static str, String>,
    /// Frames per window; `None` for whole videos.
    pub window: Option<usize>,
    /// Windows that were measured.
    pub windows: usize,
    /// Windows that FVD counts; `None` if it was not measured.
    pub fvd_samples: Option<i64>,
    /// Frames read from the videos.
    pub frames: usize,
    /// Copies of last frames that fill the last windows of videos.
    pub repeated_frames: usize,
    /// Each metric over all frames of all videos (FVD: over all windows); `None` with too few samples.
    pub metrics: BTreeMap<&'static str, Option<f64>>,
    /// Codebook use of discrete codecs.
    pub codebook: Option<CodebookSummary>,
    /// Bits per pixel, for codecs with a bitstream; raw video has 24.
    pub bits_per_pixel: Option<f64>,
    /// Milliseconds per frame that the codec took.
    pub milliseconds_per_frame: f64,
    /// The results of each video.
    pub videos: Vec<VideoSummary>,
}

/// The use of a codebook.
#[derive(Debug, Serialize)]
pub struct CodebookSummary {
    /// Codes in the codebook.
    pub size: i64,
    /// Different codes that were used.
    pub used: usize,
    /// Tokens counted.
    pub tokens: u64,
    /// The entropy of the codes in bits.
    pub entropy_bits: f64,
}

/// The results of a video.
#[derive(Debug, Serialize)]
pub struct VideoSummary {
    /// The name of the video.
    pub name: String,
    /// Frames read from it.
    pub frames: usize,
    /// Frames per second.
    pub fps: f64,
    /// Each metric over its frames; `None` with too few samples.
    pub metrics: BTreeMap<&'static str, Option<f64>>,
    /// Bits per pixel, for codecs with a bitstream.
    pub bits_per_pixel: Option<f64>,
    /// The value of each frame; empty for metrics without such values.
    #[serde(skip)]
    pub curves: BTreeMap<MetricKind, Vec<f64>>,
}

impl Stamp {
    pub(crate) fn new(
        protocol: &Protocol,
        reading: Reading,
        weights: BTreeMap<&'static str, String>,
        videos: usize,
    ) -> Self {
        Self {
            program: format!("vidtok {}", env!("CARGO_PKG_VERSION")),
            protocol: protocol.clone(),
            reading,
            definitions: protocol.metrics.iter().map(|kind| (kind.key(), kind.definition())).collect(),
            weights,
            videos,
        }
    }
}

impl Evaluation {
    /// Sums up the parts of `videos` by codec.
    pub(crate) fn new(
        stamp: Stamp,
        metrics: &MetricSet,
        codecs: &[Box<dyn Codec>],
        videos: &[String],
        parts: Vec<Vec<Part>>,
        skipped: Vec<SkippedVideo>,
    ) -> Result<Self, MetricError> {
        let summary = |(codec, parts)| CodecSummary::new(codec, &stamp.protocol, metrics, videos, parts);
        let codecs = codecs.iter().map(AsRef::as_ref).zip(parts).map(summary).collect::<Result<_, _>>()?;
        let measured = videos.len();
        Ok(Self { stamp, asked: measured + skipped.len(), measured, skipped, codecs })
    }

    /// Whether all requested videos were measured.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.skipped.is_empty()
    }

    /// Checks that all results are finite.
    pub(crate) fn check_finite(&self) -> Result<(), EvalError> {
        let faulty = |metrics: &BTreeMap<&'static str, Option<f64>>| {
            metrics.iter().find_map(|(&metric, value)| value.filter(|value| !value.is_finite()).map(|v| (metric, v)))
        };
        for codec in &self.codecs {
            let of_video = codec.videos.iter().find_map(|video| Some((&video.name, faulty(&video.metrics)?)));
            if let Some((video, (metric, value))) = of_video {
                return Err(EvalError::NotFinite { of: format!("{} by {}", video, codec.name), metric, value });
            }
            if let Some((metric, value)) = faulty(&codec.metrics) {
                return Err(EvalError::NotFinite { of: codec.name.clone(), metric, value });
            }
        }
        Ok(())
    }

    /// Remarks that a reader of the numbers needs, one line each.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if !self.is_complete() {
            let (measured, asked) = (self.measured, self.asked);
            remarks.push(format!(
                "only {measured} of {asked} videos were measured; the numbers do not include the others"
            ));
            let name = |codec: &Option<String>| codec.as_ref().map(|codec| format!("{codec}: ")).unwrap_or_default();
            let line = |SkippedVideo { video, codec, reason }: &SkippedVideo| {
                format!("skipped: {video}: {}{reason}", name(codec))
            };
            remarks.extend(self.skipped.iter().map(line));
        }
        let samples = self.codecs.iter().filter_map(|codec| codec.fvd_samples).min();
        match samples {
            Some(found) if found < Fvd::MIN_CLIPS => remarks.push(format!("fvd: {}", Fvd::too_few(found))),
            Some(found) if found <= I3d::CLASSES => remarks.push(format!(
                "fvd: only {found} windows for 400 features; compare it only with values over the same number of windows"
            )),
            _ => {}
        }
        let repeated = self.codecs.iter().any(|codec| codec.repeated_frames > 0);
        if repeated {
            remarks.push(
                "the last window of a video is filled with copies of its last frame, which count (as published)"
                    .to_owned(),
            );
        }
        remarks
    }

    /// Writes `evaluation.json` and `videos.csv` into a folder.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), EvalError> {
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            vidtok_core::write_atomically(&path, |temporary| fs::write(temporary, bytes)).map_err(EvalError::file(path))
        };
        let json = serde_json::to_string_pretty(self)
            .map_err(|error| EvalError::File { path: folder.join("evaluation.json"), source: error.into() })?;
        write("evaluation.json", json.as_bytes())?;
        let table = self.table().map_err(|error| EvalError::File {
            path: folder.join("videos.csv"),
            source: std::io::Error::other(error),
        })?;
        write("videos.csv", &table)
    }

    /// One row per codec and video; the rows of videos that were skipped have no values.
    fn table(&self) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        let mut table = csv::Writer::from_writer(Vec::new());
        let metrics = &self.stamp.protocol.metrics;
        let keys = metrics.iter().map(|kind| kind.key());
        table.write_record(["codec", "video", "frames", "fps", "bits_per_pixel"].into_iter().chain(keys))?;
        let cell = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
        for codec in &self.codecs {
            for video in &codec.videos {
                let mut row = vec![codec.name.clone(), video.name.clone(), video.frames.to_string()];
                row.extend([video.fps.to_string(), cell(video.bits_per_pixel)]);
                row.extend(metrics.iter().map(|kind| cell(video.metrics.get(kind.key()).copied().flatten())));
                table.write_record(row)?;
            }
            for SkippedVideo { video, .. } in &self.skipped {
                let empty = std::iter::repeat_n("", 3 + metrics.len());
                table.write_record([codec.name.as_str(), video].into_iter().chain(empty))?;
            }
        }
        Ok(table.into_inner().map_err(|error| error.into_error())?)
    }
}

impl CodecSummary {
    fn new(
        codec: &dyn Codec,
        protocol: &Protocol,
        metrics: &MetricSet,
        videos: &[String],
        parts: Vec<Part>,
    ) -> Result<Self, MetricError> {
        let values = |measured: &RunningMetrics| {
            protocol.metrics.iter().map(|&kind| (kind.key(), measured.value(kind))).collect::<BTreeMap<_, _>>()
        };
        let mut all = metrics.start();
        let mut summaries = Vec::with_capacity(parts.len());
        for (name, Part { about, results }) in videos.iter().zip(&parts) {
            all.extend(results)?;
            let mut video = metrics.start();
            video.extend(results)?;
            summaries.push(VideoSummary {
                name: name.clone(),
                frames: about.frames,
                fps: about.fps,
                metrics: values(&video),
                bits_per_pixel: about.bits.map(|bits| bits / about.pixels),
                curves: protocol.metrics.iter().map(|&kind| (kind, results.frames(kind))).collect(),
            });
        }
        let codebook = codec.codebook_size().map(|size| CodebookSummary {
            size,
            used: all.codes().used(),
            tokens: all.codes().total(),
            entropy_bits: all.codes().entropy_bits(),
        });
        let sum = |part: fn(&Part) -> f64| parts.iter().map(part).sum::<f64>();
        let bits = parts.iter().map(|part| part.about.bits).sum::<Option<f64>>();
        let frames: usize = parts.iter().map(|part| part.about.frames).sum();
        let fvd_samples: i64 = parts.iter().map(|part| part.results.fvd_windows()).sum();
        let [h, w] = protocol.size;
        let coded_frames = sum(|part| part.about.pixels) / (h * w) as f64;
        Ok(Self {
            name: codec.name().to_owned(),
            settings: codec.settings().into_iter().collect(),
            window: (!protocol.long).then(|| codec.window()),
            windows: parts.iter().map(|part| part.about.windows).sum(),
            frames,
            repeated_frames: coded_frames as usize - frames,
            metrics: values(&all),
            fvd_samples: protocol.metrics.contains(&MetricKind::Fvd).then_some(fvd_samples),
            codebook,
            bits_per_pixel: bits.map(|bits| bits / sum(|part| part.about.pixels)),
            milliseconds_per_frame: 1e3 * sum(|part| part.about.seconds) / coded_frames,
            videos: summaries,
        })
    }
}
