//! Curves of a run as small multiples (Tufte, "The Visual Display of Quantitative Information", 1983): one panel per
//! group of related values, all over the same steps.
//!
//! Noisy series are drawn as a moving average over the faint values. The value axis is logarithmic where positive
//! values span decades.

mod axis;
mod panel;
mod trace;

use std::path::Path;

use tch::Tensor;

use self::axis::Axis;
use self::trace::Trace;
use crate::canvas::{Anchor, Canvas, Font, raster, vector};
use crate::error::ReportError;
use crate::png::{save, save_png};

/// Height of the title above the panels, in pixels.
const HEADER: f64 = 44.0;
const TITLE: Font = Font { size: 19.0, color: panel::INK };
/// The margin around all panels, in pixels.
const MARGIN: f64 = 12.0;
const MOST_COLUMNS: usize = 3;

/// Named values over the steps of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The name of the values.
    pub name: String,
    /// Steps and values, in any order. The last of several values at one step counts. A value that is not a finite
    /// float32 leaves a gap.
    pub points: Vec<(u64, f64)>,
}

impl Series {
    /// A series of this name and these points.
    pub fn new(name: impl Into<String>, points: Vec<(u64, f64)>) -> Self {
        Self { name: name.into(), points }
    }
}

/// Series that share one panel and its axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// The title above the panel.
    pub title: String,
    /// The lines in the panel.
    pub series: Vec<Series>,
}

/// All curves of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Curves {
    /// The title above all panels.
    pub title: String,
    /// The panels, from left to right and top to bottom.
    pub panels: Vec<Panel>,
}

impl Curves {
    /// Groups series by their TensorBoard-style tags: `loss/l1` becomes `l1` in the panel `loss`. A name without a
    /// slash gets its own panel. The order is kept.
    pub fn of_tags(title: impl Into<String>, series: impl IntoIterator<Item = Series>) -> Self {
        let mut panels: Vec<Panel> = Vec::new();
        for Series { name, points } in series {
            let (title, name) = name.split_once('/').unwrap_or((&name, &name));
            let series = Series::new(name, points);
            match panels.iter_mut().find(|panel| panel.title == title) {
                Some(panel) => panel.series.push(series),
                None => panels.push(Panel { title: title.into(), series: vec![series] }),
            }
        }
        Self { title: title.into(), panels }
    }

    /// Draws the curves as an image, uint8 `[h, w, 3]`.
    ///
    /// # Errors
    /// If drawing fails.
    pub fn image(&self) -> Result<Tensor, ReportError> {
        raster(self.size(), |canvas| self.draw(canvas))
    }

    /// Draws the curves as an SVG document.
    ///
    /// # Errors
    /// If drawing fails.
    pub fn svg(&self) -> Result<String, ReportError> {
        vector(self.size(), |canvas| self.draw(canvas))
    }

    /// Writes the curves as a PNG file, atomically.
    ///
    /// # Errors
    /// If drawing fails or the file cannot be written. An existing file stays as it is then.
    pub fn save_png(&self, path: impl AsRef<Path>) -> Result<(), ReportError> {
        save_png(path, &self.image()?)
    }

    /// Writes the curves as an SVG file, atomically.
    ///
    /// # Errors
    /// If drawing fails or the file cannot be written. An existing file stays as it is then.
    pub fn save_svg(&self, path: impl AsRef<Path>) -> Result<(), ReportError> {
        save(path.as_ref(), self.svg()?.as_bytes())
    }

    fn columns(&self) -> usize {
        // Four panels form a square.
        match self.panels.len() {
            4 => 2,
            count => count.clamp(1, MOST_COLUMNS),
        }
    }

    /// Height and width, in pixels.
    fn size(&self) -> [u32; 2] {
        let rows = self.panels.len().div_ceil(self.columns()).max(1);
        let (width, height) = panel::SIZE;
        [(HEADER + MARGIN + rows as f64 * height) as u32, (2.0 * MARGIN + self.columns() as f64 * width) as u32]
    }

    fn draw(&self, canvas: &dyn Canvas) -> Result<(), ReportError> {
        canvas.text(&self.title, (2.0 * MARGIN, HEADER / 2.0), Anchor::Left, TITLE)?;
        let traces: Vec<Vec<Trace>> =
            self.panels.iter().map(|panel| panel.series.iter().map(Trace::new).collect()).collect();
        let steps = Axis::of_steps(traces.iter().flatten().flat_map(Trace::points).map(|(step, _)| step));
        let (width, height) = panel::SIZE;
        for (index, (panel, traces)) in self.panels.iter().zip(&traces).enumerate() {
            let (row, column) = (index / self.columns(), index % self.columns());
            let corner = (MARGIN + column as f64 * width, HEADER + row as f64 * height);
            panel::draw(canvas, panel, traces, steps, corner)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::png::tests::decode_png;

    /// A plausible run: noisy losses that span decades, validation, a gap, an empty series, a single point.
    fn run() -> Curves {
        let noise = |step: u64, seed: u64| {
            let mixed = (step + (seed << 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            ((mixed ^ (mixed >> 32)) << 16 >> 40) as f64 / (1 << 24) as f64 - 0.5
        };
        let steps = |count: u64, every: u64| (0..count).map(move |index| index * every);
        let losing = |start: f64, end: f64, seed: u64| {
            let value = move |step: u64| {
                let mean = end + (start - end) * (-(step as f64) / 1500.0).exp();
                mean * (0.5 * noise(step, seed)).exp()
            };
            steps(3000, 5).map(|step| (step, value(step))).collect::<Vec<_>>()
        };
        let rising = |start: f64, end: f64| {
            let value = move |step: u64| end - (end - start) * (-(step as f64) / 3000.0).exp();
            steps(16, 1000).map(|step| (step, value(step))).collect::<Vec<_>>()
        };
        let norm = |step: u64| if step == 9000 { f64::NAN } else { 40.0 * (noise(step, 4) * 2.0).exp() };
        let rate = |step: u64| 1e-4 * (step as f64 / 1000.0).min(1.0);
        Curves::of_tags(
            "vidtok_kl_causal_488_4chn",
            [
                Series::new("loss/l1", losing(0.9, 0.02, 1)),
                Series::new("loss/lpips", losing(2.0, 0.08, 2)),
                Series::new("loss/kl & <prior>", losing(30.0, 3.0, 3)),
                Series::new("psnr/train", losing(8.0, 27.0, 5)),
                Series::new("psnr/held_out", rising(8.0, 29.5)),
                Series::new("lpips", rising(0.7, 0.05)),
                Series::new("gradient_norm", steps(3000, 5).map(|step| (step, norm(step))).collect()),
                Series::new("learning_rate", steps(3000, 5).map(|step| (step, rate(step))).collect()),
                Series::new("fvd/held_out", vec![(15_000, 312.0)]),
                Series::new("fvd/test", Vec::new()),
                Series::new("usage", Vec::new()),
            ],
        )
    }

    #[test]
    fn tags_are_grouped_into_panels_by_their_prefix() {
        let curves = Curves::of_tags("a", ["loss/l1", "psnr", "loss/kl/mean"].map(|name| Series::new(name, vec![])));
        let names: Vec<(&str, Vec<&str>)> = curves
            .panels
            .iter()
            .map(|panel| (panel.title.as_str(), panel.series.iter().map(|series| series.name.as_str()).collect()))
            .collect();
        assert_eq!(names, [("loss", vec!["l1", "kl/mean"]), ("psnr", vec!["psnr"])]);
    }

    #[test]
    fn svg_is_well_formed_and_contains_all_names() {
        let svg = run().svg().unwrap();
        let document = roxmltree::Document::parse(&svg).unwrap();
        let texts: Vec<&str> = document.descendants().filter_map(|node| node.text()).map(str::trim).collect();
        for wanted in [
            "vidtok_kl_causal_488_4chn",
            "loss",
            "l1",
            "kl & <prior>",
            "psnr",
            "held_out",
            "learning_rate",
            "15k",
            "312.0",
            "no data",
            "1e-4",
            "0.1",
        ] {
            assert!(texts.contains(&wanted), "{wanted}: {texts:?}");
        }
        assert!(svg.len() < 400_000, "{}", svg.len());
    }

    #[test]
    fn each_series_is_drawn_in_its_own_colour() {
        let series = |name: &str, value| Series::new(name, (0..20).map(|step| (step, value)).collect());
        let panel = Panel { title: "a".into(), series: vec![series("low", 1.0), series("high", 2.0)] };
        let image = Curves { title: String::new(), panels: vec![panel] }.image().unwrap();
        assert_eq!(image.size(), [44 + 12 + 300, 24 + 480, 3]);
        // Down the middle of the panel: the higher line comes first, each in its colour.
        let column = image.narrow(0, 95, 225).select(1, 300);
        let row_of = |color: [i64; 3]| {
            let rows =
                (0..225).filter(|&y| (0..3).all(|c| (column.int64_value(&[y, c]) - color[c as usize]).abs() < 8));
            rows.min().unwrap()
        };
        let (low, high) = (row_of([0, 114, 178]), row_of([213, 94, 0]));
        assert!(high + 100 < low, "{high} {low}");
    }

    #[test]
    fn extreme_values_can_be_drawn() {
        let extremes = [f64::NAN, f64::INFINITY, f64::MAX, f64::MIN_POSITIVE, -1e38, 1e38, 0.0, 1e-45];
        for first in extremes {
            for second in extremes {
                let points = vec![(0, first), (u64::MAX, second)];
                let curves = Curves::of_tags("a", [Series::new("a", points), Series::new("", Vec::new())]);
                curves.svg().unwrap();
            }
        }
        assert_eq!(Curves { title: String::new(), panels: Vec::new() }.image().unwrap().size(), [356, 504, 3]);
    }

    #[test]
    fn files_hold_the_curves() {
        let folder = tempfile::tempdir().unwrap();
        let (png, svg) = (folder.path().join("a.png"), folder.path().join("a.svg"));
        let curves = Curves::of_tags("a", [Series::new("psnr", vec![(1, 2.0)])]);
        curves.save_png(&png).unwrap();
        curves.save_svg(&svg).unwrap();
        assert!(decode_png(&std::fs::read(png).unwrap()) == curves.image().unwrap());
        assert_eq!(std::fs::read_to_string(svg).unwrap(), curves.svg().unwrap());
    }
}
