//! Lines and text as pixels or as SVG, drawn by plotters.
//!
//! Plotters rounds positions to whole pixels and draws without antialiasing, so we draw at [`FINENESS`] times the
//! resolution and average. Text as pixels needs a font: DejaVu Sans is compiled in, so that no machine lacks one.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{Pos, VPos};
use plotters::style::{FontStyle, register_font};
use tch::{Kind, Tensor};

use crate::error::ReportError;

/// Pixels of the fine raster per pixel, along each axis.
const FINENESS: u32 = 3;
const FAMILY: &str = "sans-serif";
/// The font size that plotters needs for an em of one pixel.
const FONT_SIZE: f64 = 1.24;
/// How far text as pixels must be lowered for its middle to be at its anchor, in em.
const PIXEL_TEXT_DROP: f64 = 0.24;

/// Which part of a text lies at its position, horizontally. Vertically it is always the middle.
pub(crate) use plotters::style::text_anchor::HPos as Anchor;

/// A surface to draw on. Positions (x to the right, y down) and sizes are in pixels.
pub(crate) trait Canvas {
    fn line(&self, points: &[(f64, f64)], width: f64, color: RGBColor) -> Result<(), ReportError>;

    fn dot(&self, center: (f64, f64), radius: f64, color: RGBColor) -> Result<(), ReportError>;

    fn text(&self, text: &str, at: (f64, f64), anchor: Anchor, style: Font) -> Result<(), ReportError>;

    fn text_width(&self, text: &str, style: Font) -> Result<f64, ReportError>;
}

/// The size and colour of text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Font {
    /// The em square, in pixels.
    pub(crate) size: f64,
    pub(crate) color: RGBColor,
}

/// The drawing of `draw` on white, uint8 `[height, width, 3]`.
pub(crate) fn raster(
    [height, width]: [u32; 2],
    draw: impl FnOnce(&dyn Canvas) -> Result<(), ReportError>,
) -> Result<Tensor, ReportError> {
    let (fine_height, fine_width) = (height * FINENESS, width * FINENESS);
    let mut pixels = vec![255; fine_height as usize * fine_width as usize * 3];
    let area = BitMapBackend::with_buffer(&mut pixels, (fine_width, fine_height)).into_drawing_area();
    draw(&Plot::new(&area, Surface::Pixels))?;
    area.present().map_err(ReportError::draw)?;
    drop(area);
    let [height, width, fineness] = [height, width, FINENESS].map(i64::from);
    let fine = Tensor::from_slice(&pixels).view([height, fineness, width, fineness, 3]);
    Ok(fine.to_kind(Kind::Float).mean_dim([1, 3].as_slice(), false, None).round().to_kind(Kind::Uint8))
}

/// The drawing of `draw` on white, as an SVG document.
pub(crate) fn vector(
    [height, width]: [u32; 2],
    draw: impl FnOnce(&dyn Canvas) -> Result<(), ReportError>,
) -> Result<String, ReportError> {
    let (fine_height, fine_width) = (height * FINENESS, width * FINENESS);
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, (fine_width, fine_height)).into_drawing_area();
    area.fill(&WHITE).map_err(ReportError::draw)?;
    draw(&Plot::new(&area, Surface::Svg))?;
    area.present().map_err(ReportError::draw)?;
    drop(area);
    // The view box keeps the fine raster's coordinates.
    let size = |width: u32, height: u32| format!(r#"<svg width="{width}" height="{height}""#);
    Ok(svg.replacen(&size(fine_width, fine_height), &size(width, height), 1))
}

#[derive(Clone, Copy, Debug)]
enum Surface {
    Pixels,
    Svg,
}

struct Plot<'a, B: DrawingBackend> {
    area: &'a DrawingArea<B, Shift>,
    surface: Surface,
}

impl<'a, B: DrawingBackend> Plot<'a, B> {
    fn new(area: &'a DrawingArea<B, Shift>, surface: Surface) -> Self {
        // Should plotters refuse the font, drawing the first text returns the error.
        let _ = register_font(FAMILY, FontStyle::Normal, dejavu::sans::regular());
        Self { area, surface }
    }
}

impl<B: DrawingBackend> Canvas for Plot<'_, B>
where
    B::ErrorType: 'static,
{
    fn line(&self, points: &[(f64, f64)], width: f64, color: RGBColor) -> Result<(), ReportError> {
        let mut points: Vec<_> = points.iter().copied().map(fine).collect();
        points.dedup();
        let width = fine_length(width).max(1);
        let draw = |points: &[_]| {
            let path = PathElement::new(points, color.stroke_width(width));
            self.area.draw(&path).map_err(ReportError::draw)
        };
        match self.surface {
            Surface::Svg => draw(&points),
            // Plotters draws long spikes at sharp turns, so each segment is a line of its own with a round end.
            Surface::Pixels => points.windows(2).try_for_each(|piece| {
                draw(piece)?;
                let end = Circle::new(piece[1], width / 2, color.filled());
                self.area.draw(&end).map_err(ReportError::draw)
            }),
        }
    }

    fn dot(&self, center: (f64, f64), radius: f64, color: RGBColor) -> Result<(), ReportError> {
        self.area.draw(&Circle::new(fine(center), fine_length(radius), color.filled())).map_err(ReportError::draw)
    }

    fn text(&self, text: &str, (x, y): (f64, f64), anchor: Anchor, font: Font) -> Result<(), ReportError> {
        let style = font.style().pos(Pos::new(anchor, VPos::Center));
        let drop = match self.surface {
            Surface::Pixels => PIXEL_TEXT_DROP * font.size,
            Surface::Svg => 0.0,
        };
        self.area.draw_text(text, &style, fine((x, y + drop))).map_err(ReportError::draw)
    }

    fn text_width(&self, text: &str, font: Font) -> Result<f64, ReportError> {
        let (width, _) = self.area.estimate_text_size(text, &font.style()).map_err(ReportError::draw)?;
        Ok(f64::from(width) / f64::from(FINENESS))
    }
}

impl Font {
    fn style(&self) -> TextStyle<'static> {
        (FAMILY, self.size * f64::from(FINENESS) * FONT_SIZE).into_font().color(&self.color)
    }
}

fn fine((x, y): (f64, f64)) -> (i32, i32) {
    ((x * f64::from(FINENESS)).round() as i32, (y * f64::from(FINENESS)).round() as i32)
}

fn fine_length(pixels: f64) -> u32 {
    (pixels * f64::from(FINENESS)).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const FONT: Font = Font { size: 20.0, color: BLACK };

    /// The first and last row and column (`[top, bottom, left, right]`) with a pixel darker than half.
    fn inked(image: &Tensor) -> [i64; 4] {
        let dark = image.select(2, 0).lt(128).nonzero();
        let (low, high) = (dark.amin([0_i64], false), dark.amax([0_i64], false));
        [low.int64_value(&[0]), high.int64_value(&[0]), low.int64_value(&[1]), high.int64_value(&[1])]
    }

    #[test]
    fn a_dot_covers_its_disc_and_nothing_else() {
        let image = raster([40, 60], |canvas| canvas.dot((30.0, 20.0), 10.0, BLACK)).unwrap();
        assert_eq!(image.size(), [40, 60, 3]);
        let [top, bottom, left, right] = inked(&image);
        for (found, expected) in [(top, 10), (bottom, 30), (left, 20), (right, 40)] {
            assert!((found - expected).abs() <= 1, "{:?}", [top, bottom, left, right]);
        }
        let ink = 40.0 * 60.0 * (1.0 - image.mean(Kind::Float).double_value(&[]) / 255.0);
        assert!((ink / (std::f64::consts::PI * 100.0) - 1.0).abs() < 0.05, "{ink}");
    }

    #[test]
    fn sharp_turns_have_no_spikes() {
        let zigzag: Vec<(f64, f64)> =
            (0..20).map(|i| (20.0 + 0.5 * f64::from(i), 20.0 + f64::from(i % 2 * 20))).collect();
        let [top, bottom, left, right] = inked(&raster([60, 60], |canvas| canvas.line(&zigzag, 2.0, BLACK)).unwrap());
        assert!(top >= 18 && bottom <= 41 && left >= 18 && right <= 31, "{:?}", [top, bottom, left, right]);
    }

    #[test]
    fn text_is_centred_on_its_anchor_without_system_fonts() {
        let draw = |anchor| raster([40, 200], |canvas| canvas.text("HHH", (100.0, 20.0), anchor, FONT)).unwrap();
        let [top, bottom, left, right] = inked(&draw(Anchor::Center));
        assert!((top + bottom - 39).abs() <= 3, "rows {top} to {bottom}");
        assert!((left + right - 199).abs() <= 4, "columns {left} to {right}");
        // The height of capitals in DejaVu Sans is 0.73 em.
        assert!((bottom - top + 1 - 15).abs() <= 2, "rows {top} to {bottom}");
        let (after, before) = (inked(&draw(Anchor::Left))[2], inked(&draw(Anchor::Right))[3]);
        assert!((100..104).contains(&after) && (95..100).contains(&before), "from {after}, to {before}");
    }

    #[test]
    fn svg_has_its_size_in_pixels_and_escapes_text() {
        let svg = vector([40, 60], |canvas| canvas.text("a<b&c", (0.0, 20.0), Anchor::Left, FONT)).unwrap();
        assert!(svg.contains(r#"<svg width="60" height="40" viewBox="0 0 180 120""#), "{svg}");
        assert!(svg.contains("a&lt;b&amp;c") && !svg.contains("a<b"), "{svg}");
    }
}
