//! The page of an evaluation.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use vidtok_report::{EvaluationPage, PageMetric, PageModel, PageVideo};

use crate::error::EvalError;
use crate::results::{CodecSummary, Evaluation};
use crate::run::metric_set::MetricKind;
use crate::run::player_path;

/// Videos at each end of the order whose players, of all codecs, go into the page.
const PLAYERS: usize = 3;

impl Evaluation {
    /// The page with the players that lie in the folder of the evaluation: of the first codec's worst and best videos.
    ///
    /// # Errors
    /// If a player cannot be read.
    pub fn page(&self, folder: &Path) -> Result<EvaluationPage, EvalError> {
        let kinds = &self.stamp.protocol.metrics;
        let shown = self.shown();
        let mut videos = Vec::new();
        for (place, video) in self.codecs.first().map(|codec| &codec.videos).into_iter().flatten().enumerate() {
            let mut page = PageVideo {
                name: video.name.clone(),
                frames: video.frames,
                fps: video.fps,
                values: Vec::new(),
                curves: Vec::new(),
                players: Vec::new(),
            };
            for codec in &self.codecs {
                let Some(video) = codec.videos.get(place) else { continue };
                page.values.push(columns(kinds, video.bits_per_pixel, |kind| {
                    video.metrics.get(kind.key()).copied().flatten()
                }));
                let curve = |kind: &MetricKind| {
                    let values = video.curves.get(kind).filter(|_| *kind != MetricKind::Flicker);
                    values.into_iter().flatten().take(video.frames).map(|&value| value as f32).collect()
                };
                page.curves.push(kinds.iter().map(curve).chain([Vec::new()]).collect());
                let path = player_path(folder, &codec.name, &video.name);
                let wanted = shown.contains(&place) && path.is_file();
                page.players.push(wanted.then(|| fs::read(&path).map_err(EvalError::file(&path))).transpose()?);
            }
            videos.push(page);
        }
        let models = self.codecs.iter().map(|codec| PageModel {
            name: codec.name.clone(),
            note: note(codec),
            totals: columns(kinds, codec.bits_per_pixel, |kind| codec.metrics.get(kind.key()).copied().flatten()),
        });
        Ok(EvaluationPage {
            title: match self.is_complete() {
                true => format!("Reconstruction of {} videos", self.measured),
                false => format!("Reconstruction of only {} of {} videos", self.measured, self.asked),
            },
            remarks: self.remarks(),
            protocol: self.protocol(),
            metrics: kinds.iter().map(|&kind| metric(kind)).chain([bits()]).collect(),
            models: models.collect(),
            videos,
        })
    }

    /// Places of the first codec's worst and best videos by the first metric.
    fn shown(&self) -> BTreeSet<usize> {
        let (Some(codec), Some(kind)) = (self.codecs.first(), self.stamp.protocol.metrics.first()) else {
            return BTreeSet::new();
        };
        let value = |place: usize| codec.videos[place].metrics.get(kind.key()).copied().flatten().unwrap_or(f64::NAN);
        let mut places: Vec<usize> = (0..codec.videos.len()).collect();
        places.sort_by(|&a, &b| value(a).total_cmp(&value(b)));
        places.iter().take(PLAYERS).chain(places.iter().rev().take(PLAYERS)).copied().collect()
    }

    fn protocol(&self) -> Vec<(String, String)> {
        let protocol = &self.stamp.protocol;
        let [h, w] = protocol.size;
        let mut rows = vec![
            ("program".to_owned(), self.stamp.program.clone()),
            ("frames a second".to_owned(), protocol.sample_fps.map_or("as they are".to_owned(), |fps| fps.to_string())),
            (
                "size".to_owned(),
                format!("{w}x{h}: the shorter side resized to {h}, bilinear with antialiasing; the middle"),
            ),
            ("videos".to_owned(), if protocol.long { "whole" } else { "in windows" }.to_owned()),
        ];
        let reading = &self.stamp.reading;
        rows.extend([
            ("high dynamic range".to_owned(), reading.hdr.clone()),
            ("interlaced frames".to_owned(), reading.interlaced.clone()),
            ("colours without a matrix".to_owned(), reading.untagged.clone()),
        ]);
        if let Some(frames) = protocol.max_frames {
            rows.push(("frames of a video".to_owned(), format!("the first {frames}")));
        }
        let text = |map: &std::collections::BTreeMap<&'static str, String>| {
            map.iter().map(|(key, value)| format!("{key} {value}")).collect::<Vec<_>>().join(", ")
        };
        rows.extend(self.stamp.definitions.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())));
        rows.extend(
            self.stamp.weights.iter().map(|(key, hash)| (format!("weights of {key}"), format!("sha256 {hash}"))),
        );
        rows.extend(self.codecs.iter().map(|codec| {
            let window = codec.window.map_or("whole videos".to_owned(), |window| format!("windows of {window}"));
            (codec.name.clone(), [window, text(&codec.settings)].join(", ").trim_end_matches(", ").to_owned())
        }));
        rows
    }
}

/// The metrics, and bits a pixel last.
fn columns(kinds: &[MetricKind], bits: Option<f64>, value: impl Fn(&MetricKind) -> Option<f64>) -> Vec<Option<f64>> {
    kinds.iter().map(value).chain([bits]).collect()
}

fn metric(kind: MetricKind) -> PageMetric {
    let (unit, digits) = match kind {
        MetricKind::Psnr => ("dB", 2),
        MetricKind::Fvd => ("", 1),
        MetricKind::Seam => ("", 2),
        _ => ("", 4),
    };
    // A seam is best at 1.
    let higher_is_better = (kind != MetricKind::Seam).then(|| kind.higher_is_better());
    PageMetric { label: kind.label().to_owned(), unit: unit.to_owned(), higher_is_better, digits }
}

fn bits() -> PageMetric {
    PageMetric { label: "Bits a pixel".to_owned(), unit: String::new(), higher_is_better: Some(false), digits: 3 }
}

fn note(codec: &CodecSummary) -> String {
    match &codec.codebook {
        Some(codes) => format!(
            "{} of {} codes in {} tokens, {:.2} bits of entropy",
            codes.used, codes.size, codes.tokens, codes.entropy_bits
        ),
        None => String::new(),
    }
}
