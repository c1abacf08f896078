//! Clips side by side in one image, such as inputs above reconstructions.

use plotters::style::RGBColor;
use tch::{Device, Kind, Tensor};
use vidtok_data::to_frames;

use crate::canvas::{Anchor, Font, raster};
use crate::error::ReportError;

/// White pixels between frames.
const GAP: i64 = 2;
/// White pixels between rows without a caption.
const ROW_GAP: i64 = 10;
/// Height of a caption.
const CAPTION: i64 = 24;
const CAPTION_FONT: Font = Font { size: 13.0, color: RGBColor(40, 40, 40) };
const CAPTION_INDENT: f64 = 2.0;

/// Clips of one shape, one above the other, such as an input and its reconstruction.
#[derive(Debug)]
pub struct GridRow<'a> {
    /// A line of text above the frames; an empty one takes no space.
    pub caption: &'a str,
    /// From top to bottom, each `[3, t, h, w]` or `[1, 3, t, h, w]`, floating point in [-1, 1].
    pub clips: &'a [&'a Tensor],
}

/// The size of a [`grid`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GridSize {
    /// Frames per row, spread evenly from a clip's first to its last. Shorter clips show all of theirs.
    pub columns: i64,
    /// The most pixels of an enlarged frame's shorter side. Frames are enlarged by the largest integer within this
    /// limit; larger frames keep their size.
    pub side: i64,
}

impl Default for GridSize {
    /// Six columns of about 160 pixels.
    fn default() -> Self {
        Self { columns: 6, side: 160 }
    }
}

/// Draws all rows from top to bottom as one image, uint8 `[h, w, 3]`. Rows may have clips of different sizes.
///
/// # Errors
/// If a clip's shape does not match [`GridRow::clips`], the clips of a row differ in shape, or there are no clips.
pub fn grid(rows: &[GridRow<'_>], size: GridSize) -> Result<Tensor, ReportError> {
    let blocks = rows.iter().map(|row| block(row, size)).collect::<Result<Vec<_>, _>>()?;
    let width = blocks.iter().map(|block| block.size()[1]).max().unwrap_or(0);
    let mut parts = Vec::new();
    for (index, (row, block)) in rows.iter().zip(&blocks).enumerate() {
        if !row.caption.is_empty() {
            parts.push(caption(row.caption, width)?);
        } else if index > 0 {
            parts.push(white([ROW_GAP, width]));
        }
        let missing = width - block.size()[1];
        parts.push(Tensor::cat(&[block, &white([block.size()[0], missing])], 1));
    }
    if parts.is_empty() {
        return Err(ReportError::Shape { expected: "at least one row of clips".into(), found: "none".into() });
    }
    Ok(Tensor::cat(&parts, 0))
}

/// The absolute difference of two clips of one shape, times `gain`, as a clip in [-1, 1] for a [`grid`]: equal pixels
/// are black; with a gain of 1, black against white is white.
///
/// # Errors
/// If a clip's shape does not match [`GridRow::clips`], or the shapes differ.
pub fn difference(a: &Tensor, b: &Tensor, gain: f64) -> Result<Tensor, ReportError> {
    let shape = clip_shape(a)?;
    same_shape(b, shape)?;
    let [a, b] = [a, b].map(|clip| clip.to_kind(Kind::Float).reshape(shape));
    let b = b.to_device(a.device());
    Ok(((a - b).abs() * gain - 1.0).clamp(-1.0, 1.0))
}

/// The frames of all clips of a row, uint8 `[h, w, 3]`.
fn block(row: &GridRow<'_>, size: GridSize) -> Result<Tensor, ReportError> {
    let mut strips = Vec::new();
    let mut first = None;
    for &clip in row.clips {
        let shape = *first.get_or_insert(clip_shape(clip)?);
        same_shape(clip, shape)?;
        strips.push(strip(clip, shape, size));
    }
    if strips.is_empty() {
        return Err(ReportError::Shape { expected: "at least one clip in a row".into(), found: "none".into() });
    }
    Ok(with_gaps(&strips, 0))
}

/// The frames of a clip side by side, uint8 `[h, w, 3]`.
fn strip(clip: &Tensor, [_, t, h, w]: [i64; 4], size: GridSize) -> Tensor {
    let indices = spread(t, size.columns);
    let chosen = clip.reshape([1, 3, t, h, w]).index_select(2, &Tensor::from_slice(&indices).to_device(clip.device()));
    let frames = to_frames(&chosen).to_device(Device::Cpu);
    let enlarged = (size.side / h.min(w)).max(1);
    let frames = [1, 2].into_iter().fold(frames, |x, axis| x.repeat_interleave_self_int(enlarged, axis, None));
    with_gaps(&frames.unbind(0), 1)
}

/// Joins images of one size along `axis`, with gaps between them.
fn with_gaps(images: &[Tensor], axis: usize) -> Tensor {
    let Some(size) = images.first().map(Tensor::size) else { return white([0, 0]) };
    let mut gap = [size[0], size[1]];
    gap[axis] = GAP;
    let gap = white(gap);
    let parts: Vec<&Tensor> = images.iter().flat_map(|image| [&gap, image]).skip(1).collect();
    Tensor::cat(&parts, axis as i64)
}

/// `count` indices spread from the first of `t` frames to the last; for one, the middle.
fn spread(t: i64, count: i64) -> Vec<i64> {
    match count.min(t) {
        count @ 2.. => (0..count).map(|i| (2 * i * (t - 1) + count - 1) / (2 * (count - 1))).collect(),
        _ => vec![t / 2],
    }
}

/// The shape `[3, t, h, w]` of a clip.
fn clip_shape(clip: &Tensor) -> Result<[i64; 4], ReportError> {
    match clip.size()[..] {
        [3, t, h, w] | [1, 3, t, h, w] if clip.numel() > 0 && clip.is_floating_point() => Ok([3, t, h, w]),
        _ => Err(ReportError::shape("a clip, floating point [3, t, h, w] or [1, 3, t, h, w]", clip)),
    }
}

fn same_shape(clip: &Tensor, expected: [i64; 4]) -> Result<(), ReportError> {
    if clip_shape(clip)? == expected {
        return Ok(());
    }
    Err(ReportError::shape(format!("a clip of shape {expected:?}, as the others in its row"), clip))
}

fn caption(text: &str, width: i64) -> Result<Tensor, ReportError> {
    let middle = CAPTION as f64 / 2.0;
    raster([CAPTION as u32, width as u32], |canvas| {
        canvas.text(text, (CAPTION_INDENT, middle), Anchor::Left, CAPTION_FONT)
    })
}

fn white([h, w]: [i64; 2]) -> Tensor {
    Tensor::full([h, w, 3], 255, (Kind::Uint8, Device::Cpu))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clip `[3, t, h, w]` in [-1, 1] whose bytes are 10 * frame + 3 * row + column + `offset`.
    fn clip([t, h, w]: [i64; 3], offset: i64) -> Tensor {
        let axis = |size, scale| Tensor::arange(size, (Kind::Float, Device::Cpu)) * scale;
        let bytes = axis(t, 10.0).view([t, 1, 1]) + axis(h, 3.0).view([h, 1]) + axis(w, 1.0) + offset as f64;
        (bytes / 127.5 - 1.0).expand([3, t, h, w], false)
    }

    fn pixel(image: &Tensor, y: i64, x: i64) -> i64 {
        image.int64_value(&[y, x, 0])
    }

    #[test]
    fn each_frame_is_enlarged_at_its_position() {
        let (input, output) = (clip([5, 4, 6], 0), clip([5, 4, 6], 100).unsqueeze(0));
        let rows = [GridRow { caption: "", clips: &[&input, &output] }];
        let image = grid(&rows, GridSize { columns: 3, side: 11 }).unwrap();
        // Enlarged twice: each frame has 8 x 12 pixels.
        assert_eq!(image.size(), [2 * 8 + 2, 3 * 12 + 2 * 2, 3]);
        for (column, frame) in [(0, 0), (1, 2), (2, 4)] {
            for (strip, offset) in [(0, 0), (1, 100)] {
                for (y, x) in [(0, 0), (1, 1), (5, 2), (7, 11)] {
                    let found = pixel(&image, strip * 10 + y, column * 14 + x);
                    assert_eq!(found, 10 * frame + 3 * (y / 2) + x / 2 + offset, "{column} {strip} {y} {x}");
                }
            }
        }
        for (y, x) in [(8, 0), (9, 39), (0, 12), (17, 13), (0, 26)] {
            assert_eq!(pixel(&image, y, x), 255, "{y} {x}");
        }
    }

    #[test]
    fn rows_may_differ_in_size_and_captions_add_height() {
        let (large, small) = (clip([1, 6, 8], 0), clip([2, 3, 3], 50));
        let rows = [GridRow { caption: "large", clips: &[&large] }, GridRow { caption: "", clips: &[&small] }];
        let image = grid(&rows, GridSize { columns: 4, side: 6 }).unwrap();
        assert_eq!(image.size(), [24 + 6 + 10 + 6, 2 * 6 + 2, 3]);
        assert_eq!(pixel(&image, 24, 0), 0);
        assert_eq!(pixel(&image, 24, 8), 255);
        assert_eq!(pixel(&image, 40, 0), 50);
        assert_eq!(pixel(&image, 40, 8), 60);
        let caption = image.narrow(0, 0, 24);
        assert!(caption.min().int64_value(&[]) < 128 && caption.max().int64_value(&[]) == 255);
    }

    #[test]
    fn frames_are_spread_from_the_first_to_the_last() {
        assert_eq!(spread(17, 5), [0, 4, 8, 12, 16]);
        assert_eq!(spread(17, 6), [0, 3, 6, 10, 13, 16]);
        assert_eq!(spread(3, 6), [0, 1, 2]);
        assert_eq!(spread(9, 1), [4]);
        assert_eq!(spread(1, 6), [0]);
    }

    #[test]
    fn differences_are_absolute_differences_of_bytes() {
        let (a, b) = (clip([1, 2, 2], 30), clip([1, 2, 2], 50));
        let shown =
            |gain| grid(&[GridRow { caption: "", clips: &[&difference(&a, &b, gain).unwrap()] }], GridSize::default());
        assert_eq!(pixel(&shown(1.0).unwrap(), 0, 0), 20);
        assert_eq!(pixel(&shown(4.0).unwrap(), 5, 5), 80);
        assert_eq!(pixel(&shown(100.0).unwrap(), 0, 0), 255);
    }

    #[test]
    fn wrong_shapes_are_named_in_errors() {
        let message =
            |clips: &[&Tensor]| grid(&[GridRow { caption: "", clips }], GridSize::default()).unwrap_err().to_string();
        let (good, other) = (clip([2, 3, 4], 0), clip([2, 3, 5], 0));
        assert_eq!(
            message(&[&good, &other]),
            "expected a clip of shape [3, 2, 3, 4], as the others in its row, got Float [3, 2, 3, 5]"
        );
        assert!(difference(&good, &other, 1.0).is_err());
        let expected = "expected a clip, floating point [3, t, h, w] or [1, 3, t, h, w], got";
        assert_eq!(message(&[&good.get(0)]), format!("{expected} Float [2, 3, 4]"));
        assert_eq!(message(&[&good.narrow(1, 0, 0)]), format!("{expected} Float [3, 0, 3, 4]"));
        assert_eq!(message(&[&good.to_kind(Kind::Uint8)]), format!("{expected} Uint8 [3, 2, 3, 4]"));
        assert_eq!(message(&[]), "expected at least one clip in a row, got none");
        assert!(grid(&[], GridSize::default()).is_err());
    }
}
