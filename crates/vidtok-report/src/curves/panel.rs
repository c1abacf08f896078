//! One panel: its title, the names of its series with their last values, axes and lines.

use plotters::style::RGBColor;

use crate::canvas::{Anchor, Canvas, Font};
use crate::curves::Panel;
use crate::curves::axis::{Axis, label};
use crate::curves::trace::{Point, Trace};
use crate::error::ReportError;

/// Width and height of a panel in pixels.
pub(super) const SIZE: (f64, f64) = (480.0, 300.0);

const TITLE: Font = Font { size: 15.0, color: INK };
const NAME: Font = Font { size: 12.0, color: INK };
const LABEL: Font = Font { size: 11.0, color: RGBColor(110, 110, 110) };
pub(super) const INK: RGBColor = RGBColor(35, 35, 35);
const GRID: RGBColor = RGBColor(228, 228, 228);
const BASE: RGBColor = RGBColor(150, 150, 150);

/// Colours for all kinds of colour vision: Okabe and Ito, "Color Universal Design" (2008).
const COLORS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(90, 90, 90),
];

/// Distances of the plot from the panel's edges, in pixels.
const LEFT: f64 = 58.0;
const RIGHT: f64 = 16.0;
const BOTTOM: f64 = 30.0;
/// Distances from the panel's top, in pixels.
const TITLE_AT: f64 = 16.0;
const NAMES_AT: f64 = 38.0;
const NAMES_LINE: f64 = 17.0;
const PLOT_BELOW_NAMES: f64 = 16.0;
const SWATCH: f64 = 14.0;

const X_TICKS: usize = 6;
const Y_TICKS: usize = 6;
/// Lines with fewer points than this show each point.
const DOTS_BELOW: usize = 30;

/// Draws a panel and the traces of its series, with its upper left corner at `corner`.
pub(super) fn draw(
    canvas: &dyn Canvas,
    panel: &Panel,
    traces: &[Trace],
    steps: Axis,
    corner: (f64, f64),
) -> Result<(), ReportError> {
    let points = || traces.iter().flat_map(Trace::points);
    let (left, top) = corner;
    canvas.text(&panel.title, (left + LEFT, top + TITLE_AT), Anchor::Left, TITLE)?;
    let names_end = names(canvas, panel, traces, corner)?;
    let frame = Frame {
        left: left + LEFT,
        right: left + SIZE.0 - RIGHT,
        top: names_end + PLOT_BELOW_NAMES,
        bottom: top + SIZE.1 - BOTTOM,
        steps,
        values: Axis::of_values(points().map(|(_, value)| value)),
    };
    if points().next().is_none() {
        let middle = ((frame.left + frame.right) / 2.0, (frame.top + frame.bottom) / 2.0);
        canvas.line(&[(frame.left, frame.bottom), (frame.right, frame.bottom)], 1.0, BASE)?;
        return canvas.text("no data", middle, Anchor::Center, LABEL);
    }
    axes(canvas, &frame)?;
    // Averages go on top of the values of all series.
    let noisy = || traces.iter().zip(colors()).filter(|(trace, _)| !trace.average.is_empty());
    for (trace, color) in noisy() {
        lines(canvas, &frame, &trace.raw, (1.0, faint(color)))?;
    }
    for (trace, color) in traces.iter().zip(colors()) {
        lines(canvas, &frame, trace.main(), (2.0, color))?;
    }
    Ok(())
}

/// The plot's edges and axes.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    steps: Axis,
    values: Axis,
}

impl Frame {
    fn x(&self, step: f64) -> f64 {
        self.left + self.steps.position(step) * (self.right - self.left)
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - self.values.position(value) * (self.bottom - self.top)
    }

    fn at(&self, (step, value): Point) -> (f64, f64) {
        (self.x(step), self.y(value))
    }
}

/// Draws the names in their colours, each with its last value. Returns the vertical middle of their last line.
fn names(canvas: &dyn Canvas, panel: &Panel, traces: &[Trace], corner: (f64, f64)) -> Result<f64, ReportError> {
    let (start, end) = (corner.0 + LEFT, corner.0 + SIZE.0 - RIGHT);
    let (mut x, mut y) = (start, corner.1 + NAMES_AT);
    for ((series, trace), color) in panel.series.iter().zip(traces).zip(colors()) {
        let value = trace.last().map_or_else(|| "no data".into(), significant);
        let (name, value) = (format!("{} ", series.name), value);
        let (name_width, value_width) = (canvas.text_width(&name, NAME)?, canvas.text_width(&value, NAME)?);
        let width = SWATCH + 6.0 + name_width + value_width;
        if x > start && x + width > end {
            (x, y) = (start, y + NAMES_LINE);
        }
        canvas.line(&[(x, y), (x + SWATCH, y)], 3.0, color)?;
        canvas.text(&name, (x + SWATCH + 6.0, y), Anchor::Left, NAME)?;
        canvas.text(&value, (x + SWATCH + 6.0 + name_width, y), Anchor::Left, Font { color: LABEL.color, ..NAME })?;
        x += width + 16.0;
    }
    Ok(y)
}

fn axes(canvas: &dyn Canvas, frame: &Frame) -> Result<(), ReportError> {
    for value in frame.values.ticks(Y_TICKS) {
        let y = frame.y(value);
        canvas.line(&[(frame.left, y), (frame.right, y)], 1.0, GRID)?;
        canvas.text(&label(value), (frame.left - 8.0, y), Anchor::Right, LABEL)?;
    }
    canvas.line(&[(frame.left, frame.bottom), (frame.right, frame.bottom)], 1.0, BASE)?;
    for step in frame.steps.ticks(X_TICKS) {
        let x = frame.x(step);
        canvas.line(&[(x, frame.bottom), (x, frame.bottom + 4.0)], 1.0, BASE)?;
        canvas.text(&label(step), (x, frame.bottom + 14.0), Anchor::Center, LABEL)?;
    }
    Ok(())
}

fn lines(
    canvas: &dyn Canvas,
    frame: &Frame,
    lines: &[Vec<Point>],
    (width, color): (f64, RGBColor),
) -> Result<(), ReportError> {
    let few = lines.iter().map(Vec::len).sum::<usize>() < DOTS_BELOW;
    for line in lines {
        let points: Vec<_> = line.iter().map(|&point| frame.at(point)).collect();
        canvas.line(&points, width, color)?;
        // A line of one point would be invisible.
        if few || points.len() == 1 {
            points.into_iter().try_for_each(|point| canvas.dot(point, width * 1.4, color))?;
        }
    }
    Ok(())
}

fn colors() -> impl Iterator<Item = RGBColor> {
    COLORS.iter().copied().cycle()
}

/// A light tint. It is opaque, since lines cross themselves.
fn faint(RGBColor(red, green, blue): RGBColor) -> RGBColor {
    let [red, green, blue] = [red, green, blue].map(|level| 255 - (255 - level) / 10 * 3);
    RGBColor(red, green, blue)
}

/// A value with four significant digits.
fn significant(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e6).contains(&size) {
        return format!("{value:.2e}");
    }
    let before = if size < 1.0 { 1 } else { size.log10().floor() as usize + 1 };
    format!("{value:.*}", 4_usize.saturating_sub(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_values_have_about_four_digits() {
        for (value, expected) in [
            (27.314_15, "27.31"),
            (0.012_345, "0.012"),
            (1.0, "1.000"),
            (0.0, "0.000"),
            (-123.46, "-123.5"),
            (12_345.6, "12346"),
            (1e-5, "1.00e-5"),
            (2.5e7, "2.50e7"),
        ] {
            assert_eq!(significant(value), expected);
        }
    }
}
