//! TensorBoard events, images of each validation, and curves.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use tch::Tensor;
use vidtok_report::{Curves, EventWriter, GridRow, GridSize, Series, difference, grid, save_png};

use crate::error::TrainError;
use crate::run::folder::StageFolder;
use crate::run::records::log::LogEntry;
use crate::run::validation::{Scores, Validation};
use crate::step::report::StepReport;

/// How much differences are amplified.
const GAIN: f64 = 4.0;
/// The most clips in an image.
const ROWS: usize = 6;

/// Writes events and images into a stage's folder.
pub(crate) struct Images {
    files: StageFolder,
    events: EventWriter,
}

impl Images {
    /// The images of a stage that starts or resumes at `step`; TensorBoard then hides the events of later steps.
    pub(crate) fn create(files: &StageFolder, step: u64) -> Result<Self, TrainError> {
        let events = match step {
            0 => EventWriter::create(files.path())?,
            _ => EventWriter::resume(files.path(), step)?,
        };
        Ok(Self { files: files.clone(), events })
    }

    /// Writes the numbers of a step.
    pub(crate) fn step(&mut self, report: &StepReport) -> Result<(), TrainError> {
        for (name, value) in report.numbers() {
            self.events.scalar(&tag(name), report.step, value)?;
        }
        Ok(())
    }

    /// Writes the numbers of a validation, and an image of clips, reconstructions and differences.
    pub(crate) fn validation(
        &mut self,
        validation: &Validation,
        clips: &[Tensor],
        reconstructions: &[Tensor],
    ) -> Result<(), TrainError> {
        let step = validation.step;
        for (name, value) in numbers(validation) {
            self.events.scalar(&name, step, value)?;
        }
        let differences = clips.iter().zip(reconstructions).map(|(a, b)| difference(a, b, GAIN));
        let differences = differences.collect::<Result<Vec<Tensor>, _>>()?;
        let rows: Vec<[&Tensor; 3]> =
            (0..clips.len().min(ROWS)).map(|i| [&clips[i], &reconstructions[i], &differences[i]]).collect();
        let captions: Vec<String> = (1..=rows.len()).map(|clip| caption(clip, step)).collect();
        let rows: Vec<GridRow<'_>> =
            rows.iter().zip(&captions).map(|(clips, caption)| GridRow { caption, clips: clips.as_slice() }).collect();
        let image = grid(&rows, GridSize::default())?;
        save_png(self.files.validation().join(format!("step-{step:08}.png")), &image)?;
        self.events.image("held-out/clips", step, &image)?;
        Ok(self.events.flush()?)
    }

    /// Draws the curves of all numbers as `curves.svg` and `curves.png`, and returns the path of the latter.
    pub(crate) fn curves(
        &self,
        title: &str,
        entries: impl Iterator<Item = Result<LogEntry, TrainError>>,
    ) -> Result<PathBuf, TrainError> {
        let mut series: Vec<Series> = Vec::new();
        let mut add = |name: String, step: u64, value: f64| match series.iter_mut().find(|one| one.name == name) {
            Some(one) => one.points.push((step, value)),
            None => series.push(Series::new(name, vec![(step, value)])),
        };
        for entry in entries {
            match entry? {
                LogEntry::Step { report, waiting, .. } => {
                    for (name, value) in report.numbers() {
                        add(tag(name), report.step, value);
                    }
                    add("time/waiting for clips".to_owned(), report.step, waiting);
                }
                LogEntry::Validation(validation) => {
                    for (name, value) in numbers(&validation) {
                        add(name, validation.step, value);
                    }
                }
            }
        }
        let curves = Curves::of_tags(title, series);
        let [svg, png] = ["curves.svg", "curves.png"].map(|name| self.files.file(name));
        curves.save_svg(svg)?;
        curves.save_png(&png)?;
        Ok(png)
    }
}

/// Draws the clips of a batch `[b, 3, t, h, w]` in [-1, 1].
pub(crate) fn draw_batch(clips: &Tensor, path: &Path) -> Result<(), TrainError> {
    let clips: Vec<Tensor> = (0..clips.size()[0]).map(|i| clips.get(i)).collect();
    let rows: Vec<[&Tensor; 1]> = clips.iter().map(|clip| [clip]).collect();
    let rows: Vec<GridRow<'_>> = rows.iter().map(|clips| GridRow { caption: "", clips }).collect();
    Ok(save_png(path, &grid(&rows, GridSize::default())?)?)
}

fn caption(clip: usize, step: u64) -> String {
    let mut text = format!("held-out clip {clip}");
    if clip == 1 {
        let _ = write!(text, " after {step} steps: input, reconstruction, {GAIN} x difference");
    }
    text
}

/// The tag of a step's number, with the group in which it is shown.
fn tag(name: &str) -> String {
    let group = match name {
        "rec" | "lpips" => "reconstruction",
        "psnr" => "psnr in dB",
        "loss" | "nll" => "loss",
        "quantizer" => "quantizer",
        "logvar" => "log-variance",
        "gradient_norm" | "discriminator_gradient_norm" => "gradient norm",
        "learning_rate" => "learning rate",
        "adaptive_weight" => "adaptive weight",
        "logits_real" | "logits_fake" => "logits",
        _ => "gan",
    };
    format!("{group}/{name}")
}

/// The numbers of a validation by their tags.
fn numbers(validation: &Validation) -> Vec<(String, f64)> {
    let mut all = Vec::new();
    for (who, scores) in [("held-out", Some(&validation.model)), ("held-out, averaged", validation.ema.as_ref())] {
        let Some(Scores { rec, psnr, ssim, lpips, codes, code_entropy, .. }) = scores else { continue };
        let groups = [
            ("reconstruction", Some(*rec)),
            ("psnr in dB", Some(*psnr)),
            ("ssim", *ssim),
            ("lpips", *lpips),
            ("codes used", codes.map(|codes| codes as f64)),
            ("code entropy in bits", *code_entropy),
        ];
        all.extend(groups.into_iter().filter_map(|(group, value)| Some((format!("{group}/{who}"), value?))));
    }
    all
}
