//! The HTML page of an evaluation.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use vidtok_metrics::MetricKind;
use vidtok_report::{EvaluationPage, PageMetric, PageModel, PageVideo};

use crate::error::EvalError;
use crate::results::{CodecSummary, Evaluation};
use crate::run::player::player_path;

/// The number of best and of worst videos that are shown with players of all codecs.
const PLAYERS: usize = 3;

impl Evaluation {
    /// The page, with the players in `folder` of the first codec's worst and best videos.
    ///
    /// # Errors
    /// If a player cannot be read.
    pub fn page(&self, folder: &Path) -> Result<EvaluationPage, EvalError> {
        let kinds = &self.stamp.protocol.metrics;
        let shown = self.shown();
        let mut videos = Vec::new();
        for (index, video) in self.codecs.first().map(|codec| &codec.videos).into_iter().flatten().enumerate() {
            let mut page = PageVideo {
                name: video.name.clone(),
                frames: video.frames,
                fps: video.fps,
                values: Vec::new(),
                curves: Vec::new(),
                players: Vec::new(),
            };
            for codec in &self.codecs {
                let Some(video) = codec.videos.get(index) else { continue };
                page.values.push(columns(kinds, video.bits_per_pixel, |kind| {
                    video.metrics.get(kind.key()).copied().flatten()
                }));
                let curve = |kind: &MetricKind| {
                    let values = video.curves.get(kind).filter(|_| *kind != MetricKind::Flicker);
                    values.into_iter().flatten().take(video.frames).map(|&value| value as f32).collect()
                };
                page.curves.push(kinds.iter().map(curve).chain([Vec::new()]).collect());
                let path = player_path(folder, &codec.name, &video.name);
                let has_player = shown.contains(&index) && path.is_file();
                page.players.push(has_player.then(|| fs::read(&path).map_err(EvalError::file(&path))).transpose()?);
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

    /// Indices of the first codec's worst and best videos by the first metric.
    fn shown(&self) -> BTreeSet<usize> {
        let (Some(codec), Some(kind)) = (self.codecs.first(), self.stamp.protocol.metrics.first()) else {
            return BTreeSet::new();
        };
        let value = |index: usize| codec.videos[index].metrics.get(kind.key()).copied().flatten().unwrap_or(f64::NAN);
        let mut order: Vec<usize> = (0..codec.videos.len()).collect();
        order.sort_by(|&a, &b| value(a).total_cmp(&value(b)));
        order.iter().take(PLAYERS).chain(order.iter().rev().take(PLAYERS)).copied().collect()
    }

    fn protocol(&self) -> Vec<(String, String)> {
        let protocol = &self.stamp.protocol;
        let [h, w] = protocol.size;
        let mut rows = vec![
            ("program".to_owned(), self.stamp.program.clone()),
            (
                "frames per second".to_owned(),
                protocol.sample_fps.map_or("as in the videos".to_owned(), |fps| fps.to_string()),
            ),
            (
                "size".to_owned(),
                format!("{w}x{h}: the shorter side resized to {h} (bilinear, antialiased), then cropped in the middle"),
            ),
            ("videos".to_owned(), if protocol.long { "whole" } else { "in windows" }.to_owned()),
        ];
        let reading = &self.stamp.reading;
        rows.extend([
            ("high dynamic range".to_owned(), reading.hdr.clone()),
            ("interlaced frames".to_owned(), reading.interlaced.clone()),
            ("colours without a stated matrix".to_owned(), reading.untagged.clone()),
        ]);
        if let Some(frames) = protocol.max_frames {
            rows.push(("frames per video".to_owned(), format!("the first {frames}")));
        }
        let text = |map: &BTreeMap<&'static str, String>| {
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

/// The columns of the page: the metrics, then bits per pixel.
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
    // A seam is best at 1, neither higher nor lower.
    let higher_is_better = (kind != MetricKind::Seam).then(|| kind.higher_is_better());
    PageMetric { label: kind.label().to_owned(), unit: unit.to_owned(), higher_is_better, digits }
}

fn bits() -> PageMetric {
    PageMetric { label: "Bits per pixel".to_owned(), unit: String::new(), higher_is_better: Some(false), digits: 3 }
}

fn note(codec: &CodecSummary) -> String {
    match &codec.codebook {
        Some(codes) => format!(
            "{} of {} codes used in {} tokens, entropy {:.2} bits",
            codes.used, codes.size, codes.tokens, codes.entropy_bits
        ),
        None => String::new(),
    }
}
