//! The sum of an evaluation: stamped, and in the forms that people and programs read.

pub(crate) mod page;
pub(crate) mod video;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Serialize;
use vidtok_core::Codec;
use vidtok_data::Reading;
use vidtok_metrics::{Fvd, I3d};

use crate::error::EvalError;
use crate::protocol::Protocol;
use crate::results::video::Measured;
use crate::results::video::too_few_windows;
use crate::run::metric_set::MetricKind;
use crate::run::part::Part;

/// The results of an evaluation.
#[derive(Debug, Serialize)]
pub struct Evaluation {
    /// What the numbers mean.
    pub stamp: Stamp,
    /// Videos that were asked for.
    pub asked: usize,
    /// Those of them that every codec was measured on: all numbers are of these.
    pub measured: usize,
    /// The others.
    pub unmeasured: Vec<Unmeasured>,
    /// A summary a codec.
    pub codecs: Vec<CodecSummary>,
}

/// A video that is in no number of an evaluation, of whatever codec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unmeasured {
    /// Its name.
    pub video: String,
    /// The codec that failed on it; `None` if the video itself cannot be read.
    pub codec: Option<String>,
    /// What is wrong, on one line.
    pub reason: String,
}

/// What an evaluation must tell so that its numbers can be compared with others'.
#[derive(Debug, Serialize)]
pub struct Stamp {
    /// This program and its version.
    pub program: String,
    /// How videos were taken.
    pub protocol: Protocol,
    /// How pixels were read.
    pub reading: Reading,
    /// Each metric's definition.
    pub definitions: BTreeMap<&'static str, &'static str>,
    /// The sha256 of the weights that metrics use.
    pub weights: BTreeMap<&'static str, String>,
    /// Videos that were measured.
    pub videos: usize,
}

/// A codec's results.
#[derive(Debug, Serialize)]
pub struct CodecSummary {
    /// Its name.
    pub name: String,
    /// What determines its numbers.
    pub settings: BTreeMap<&'static str, String>,
    /// Frames of its windows; `None` for whole videos.
    pub window: Option<usize>,
    /// Windows that were measured.
    pub windows: usize,
    /// Windows that FVD has seen, if it was wanted.
    pub fvd_samples: Option<i64>,
    /// Frames that were taken.
    pub frames: usize,
    /// Frames that fill the videos' last windows.
    pub repeated_frames: usize,
    /// Over all frames of all videos (FVD: over all windows). `None` where a metric has too few samples.
    pub metrics: BTreeMap<&'static str, Option<f64>>,
    /// Use of the codebook; discrete codecs only.
    pub codebook: Option<CodebookSummary>,
    /// Bits for each pixel, where they are defined; raw video has 24.
    pub bits_per_pixel: Option<f64>,
    /// Milliseconds that the codec took for each frame.
    pub milliseconds_per_frame: f64,
    /// A summary a video.
    pub videos: Vec<VideoSummary>,
}

/// Use of a codebook.
#[derive(Debug, Serialize)]
pub struct CodebookSummary {
    /// Codes that there are.
    pub size: i64,
    /// Different codes that came.
    pub used: usize,
    /// Codes that came in all.
    pub tokens: u64,
    /// Their entropy in bits.
    pub entropy_bits: f64,
}

/// A video's results.
#[derive(Debug, Serialize)]
pub struct VideoSummary {
    /// Its name.
    pub name: String,
    /// Frames that were taken.
    pub frames: usize,
    /// Their rate.
    pub fps: f64,
    /// Over its frames.
    pub metrics: BTreeMap<&'static str, Option<f64>>,
    /// Bits for each pixel.
    pub bits_per_pixel: Option<f64>,
    /// A value a frame.
    #[serde(skip)]
    pub curves: BTreeMap<MetricKind, Vec<f64>>,
}

impl Evaluation {
    pub(crate) fn new(
        protocol: &Protocol,
        reading: Reading,
        weights: BTreeMap<&'static str, String>,
        codecs: &[Box<dyn Codec>],
        videos: &[String],
        parts: Vec<Vec<Part>>,
        unmeasured: Vec<Unmeasured>,
    ) -> Self {
        let stamp = Stamp {
            program: format!("vidtok {}", env!("CARGO_PKG_VERSION")),
            protocol: protocol.clone(),
            reading,
            definitions: protocol.metrics.iter().map(|kind| (kind.key(), kind.definition())).collect(),
            weights,
            videos: videos.len(),
        };
        let codecs = codecs.iter().zip(parts);
        let codecs = codecs.map(|(codec, parts)| CodecSummary::new(codec.as_ref(), protocol, videos, parts)).collect();
        let measured = videos.len();
        Self { stamp, asked: measured + unmeasured.len(), measured, unmeasured, codecs }
    }

    /// Whether the numbers are of all videos that were asked for.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.unmeasured.is_empty()
    }

    /// Refuses results in which something is NaN or infinite.
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

    /// What a reader must know beside the numbers, a line each.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if !self.is_complete() {
            let (measured, asked) = (self.measured, self.asked);
            remarks.push(format!("only {measured} of {asked} videos were measured; no number is of the others"));
            let name = |codec: &Option<String>| codec.as_ref().map(|codec| format!("{codec}: ")).unwrap_or_default();
            let line = |Unmeasured { video, codec, reason }: &Unmeasured| {
                format!("not measured: {video}: {}{reason}", name(codec))
            };
            remarks.extend(self.unmeasured.iter().map(line));
        }
        let samples = self.codecs.iter().filter_map(|codec| codec.fvd_samples).min();
        match samples {
            Some(found) if found < Fvd::MIN_CLIPS => remarks.push(format!("fvd: {}", too_few_windows(found))),
            Some(found) if found <= I3d::CLASSES => remarks.push(format!(
                "fvd: of {found} windows, too few for its 400 features: compare it only with values of as many windows"
            )),
            _ => {}
        }
        let repeated = self.codecs.iter().any(|codec| codec.repeated_frames > 0);
        if repeated {
            remarks.push(
                "windows that videos end in are filled with their last frame, which counts (as published)".to_owned(),
            );
        }
        remarks
    }

    /// Writes `evaluation.json` and `videos.csv` into a folder.
    ///
    /// # Errors
    /// If the file system refuses.
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

    /// A row for each video of each codec; those of videos that were left out have no values.
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
            for Unmeasured { video, .. } in &self.unmeasured {
                let empty = std::iter::repeat_n("", 3 + metrics.len());
                table.write_record([codec.name.as_str(), video].into_iter().chain(empty))?;
            }
        }
        Ok(table.into_inner().map_err(|error| error.into_error())?)
    }
}

impl CodecSummary {
    fn new(codec: &dyn Codec, protocol: &Protocol, videos: &[String], parts: Vec<Part>) -> Self {
        let mut all = Measured::default();
        parts.iter().for_each(|part| all.add(&part.measures));
        let values = |measured: &Measured| {
            protocol.metrics.iter().map(|&kind| (kind.key(), measured.value(kind))).collect::<BTreeMap<_, _>>()
        };
        let codebook = codec.codebook_size().map(|size| CodebookSummary {
            size,
            used: all.codes().used(),
            tokens: all.codes().total(),
            entropy_bits: all.codes().entropy_bits(),
        });
        let sum = |part: fn(&Part) -> f64| parts.iter().map(part).sum::<f64>();
        let bits = parts.iter().map(|part| part.about.bits).sum::<Option<f64>>();
        let frames: usize = parts.iter().map(|part| part.about.frames).sum();
        let [h, w] = protocol.size;
        let coded_frames = sum(|part| part.about.pixels) / (h * w) as f64;
        let video = |(name, part): (&String, &Part)| {
            let mut one = Measured::default();
            one.add(&part.measures);
            VideoSummary {
                name: name.clone(),
                frames: part.about.frames,
                fps: part.about.fps,
                metrics: values(&one),
                bits_per_pixel: part.about.bits.map(|bits| bits / part.about.pixels),
                curves: part.measures.series.clone(),
            }
        };
        Self {
            name: codec.name().to_owned(),
            settings: codec.settings().into_iter().collect(),
            window: (!protocol.long).then(|| codec.window()),
            windows: parts.iter().map(|part| part.about.windows).sum(),
            frames,
            repeated_frames: coded_frames as usize - frames,
            metrics: values(&all),
            fvd_samples: protocol.metrics.contains(&MetricKind::Fvd).then(|| all.samples()),
            codebook,
            bits_per_pixel: bits.map(|bits| bits / sum(|part| part.about.pixels)),
            milliseconds_per_frame: 1e3 * sum(|part| part.about.seconds) / coded_frames,
            videos: videos.iter().zip(&parts).map(video).collect(),
        }
    }
}
