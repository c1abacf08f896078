//! The page of an evaluation: tables, curves and players in one self-contained HTML file.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use vidtok_core::write_atomically;

use crate::error::ReportError;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Digits of a curve's values beyond those of its metric in tables.
const CURVE_DIGITS: i32 = 2;

/// The results of models on videos, as an interactive page.
#[derive(Clone, Debug, Default, Serialize)]
pub struct EvaluationPage {
    /// The heading.
    pub title: String,
    /// Remarks below the heading, one line each.
    pub remarks: Vec<String>,
    /// The settings of the evaluation: names and values.
    pub protocol: Vec<(String, String)>,
    /// The metrics, which are the columns of the tables.
    pub metrics: Vec<PageMetric>,
    /// The models, which are the rows of the summary.
    pub models: Vec<PageModel>,
    /// The videos.
    pub videos: Vec<PageVideo>,
}

/// A metric's name and how its values are shown.
#[derive(Clone, Debug, Serialize)]
pub struct PageMetric {
    /// Its name.
    pub label: String,
    /// Its unit; empty if it has none.
    pub unit: String,
    /// Whether higher values are better; `None` if neither direction is.
    pub higher_is_better: Option<bool>,
    /// Digits after the decimal point.
    pub digits: usize,
}

/// A model or codec.
#[derive(Clone, Debug, Serialize)]
pub struct PageModel {
    /// Its name.
    pub name: String,
    /// A one-line description.
    pub note: String,
    /// One value per metric, over all videos.
    pub totals: Vec<Option<f64>>,
}

/// A video and the results of all models on it.
#[derive(Clone, Debug, Serialize)]
pub struct PageVideo {
    /// Its name.
    pub name: String,
    /// The number of frames evaluated.
    pub frames: usize,
    /// Their rate, in frames per second.
    pub fps: f64,
    /// Values by model and metric.
    pub values: Vec<Vec<Option<f64>>>,
    /// Values by model, metric and frame; no frames for a metric without values per frame.
    #[serde(skip)]
    pub curves: Vec<Vec<Vec<f32>>>,
    /// By model, an MP4 of input, reconstruction and difference side by side, each a third of the width. One file keeps
    /// the three in step.
    #[serde(skip)]
    pub players: Vec<Option<Vec<u8>>>,
}

impl EvaluationPage {
    /// Writes the page as one HTML file, atomically.
    ///
    /// # Errors
    /// If a list's length differs from the number of models or metrics, or the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), ReportError> {
        let (path, html) = (path.as_ref(), self.html()?);
        write_atomically(path, |temporary| fs::write(temporary, html))
            .map_err(|source| ReportError::Io { path: path.to_owned(), source })
    }

    /// The page as HTML.
    ///
    /// # Errors
    /// If a list's length differs from the number of models or metrics.
    pub fn html(&self) -> Result<String, ReportError> {
        self.check()?;
        let data = json(self)?;
        // The script finds these by their ids when a video is shown.
        let mut parts = String::new();
        for (index, video) in self.videos.iter().enumerate() {
            let curves = json(&rounded(video, &self.metrics))?;
            parts += &format!("<script type=\"application/json\" id=\"curves-{index}\">{curves}</script>\n");
            for (model, player) in video.players.iter().enumerate() {
                if let Some(bytes) = player {
                    let text = STANDARD.encode(bytes);
                    parts += &format!("<script type=\"text/plain\" id=\"player-{model}-{index}\">{text}</script>\n");
                }
            }
        }
        let pieces = [("STYLE", STYLE), ("SCRIPT", SCRIPT), ("DATA", &data), ("PARTS", &parts)];
        let mut html = String::with_capacity(TEMPLATE.len() + STYLE.len() + SCRIPT.len() + data.len() + parts.len());
        for piece in TEMPLATE.split("@@") {
            match pieces.iter().find(|(name, _)| *name == piece) {
                Some((_, text)) => html += text,
                None if piece == "TITLE" => html += &escape(&self.title),
                None => html += piece,
            }
        }
        Ok(html)
    }

    fn check(&self) -> Result<(), ReportError> {
        let (models, metrics) = (self.models.len(), self.metrics.len());
        let same = |what: &str, found: usize, expected: usize| match found == expected {
            true => Ok(()),
            false => Err(ReportError::Shape { expected: format!("{expected} {what}"), found: found.to_string() }),
        };
        for model in &self.models {
            same(&format!("totals of {}", model.name), model.totals.len(), metrics)?;
        }
        for video in &self.videos {
            let of = |what: &str| format!("{what} of {}", video.name);
            same(&of("values"), video.values.len(), models)?;
            same(&of("curves"), video.curves.len(), models)?;
            same(&of("players"), video.players.len(), models)?;
            video.values.iter().try_for_each(|values| same(&of("values of a model"), values.len(), metrics))?;
            video.curves.iter().try_for_each(|curves| same(&of("curves of a model"), curves.len(), metrics))?;
        }
        Ok(())
    }
}

/// JSON for a script element, which only "<" could end.
fn json(value: &impl Serialize) -> Result<String, ReportError> {
    let text = serde_json::to_string(value)
        .map_err(|error| ReportError::Shape { expected: "numbers and text".into(), found: error.to_string() })?;
    Ok(text.replace('<', "\\u003c"))
}

/// The curves of a video by model, metric and frame, rounded to the digits that can be seen.
fn rounded(video: &PageVideo, metrics: &[PageMetric]) -> Vec<Vec<Vec<f64>>> {
    let round = |(curve, metric): (&Vec<f32>, &PageMetric)| {
        let scale = 10f64.powi(metric.digits as i32 + CURVE_DIGITS);
        curve.iter().map(|&value| (f64::from(value) * scale).round() / scale).collect()
    };
    video.curves.iter().map(|curves| curves.iter().zip(metrics).map(round).collect()).collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> EvaluationPage {
        let metric = |label: &str, higher| PageMetric {
            label: label.into(),
            unit: String::new(),
            higher_is_better: Some(higher),
            digits: 2,
        };
        EvaluationPage {
            title: "a <b> & \"c\"".into(),
            remarks: vec![],
            protocol: vec![("size".into(), "256x256".into())],
            metrics: vec![metric("PSNR", true), metric("LPIPS", false)],
            models: vec![PageModel { name: "m".into(), note: String::new(), totals: vec![Some(1.0), None] }],
            videos: vec![PageVideo {
                name: "</script><b>\u{e9}.mp4".into(),
                frames: 2,
                fps: 25.0,
                values: vec![vec![Some(1.0), None]],
                curves: vec![vec![vec![1.0, 2.0], vec![]]],
                players: vec![Some(vec![0, 1, 2])],
            }],
        }
    }

    #[test]
    fn names_cannot_end_the_script_and_nothing_is_fetched() {
        let html = page().html().unwrap();
        assert!(html.contains("id=\"curves-0\">[[[1.0,2.0],[]]]</script>"));
        assert!(!html.contains("</script><b>") && html.contains("\\u003c/script>\\u003cb>\u{e9}.mp4"));
        assert!(html.contains("<title>a &lt;b&gt; &amp; &quot;c&quot;</title>"));
        assert!(html.contains("<script type=\"text/plain\" id=\"player-0-0\">AAEC</script>"));
        // SVG's namespace is a name, not an address to visit.
        let html = html.replace("http://www.w3.org/2000/svg", "");
        assert!(!html.contains("http:") && !html.contains("https:") && !html.contains("@@"));
    }

    #[test]
    fn lists_of_wrong_lengths_are_refused() {
        let mut wrong = page();
        wrong.videos[0].values[0].pop();
        let error = wrong.html().unwrap_err().to_string();
        assert!(error.contains("expected 2 values of a model"), "{error}");
    }
}
