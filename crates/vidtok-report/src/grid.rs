//! Clips beside each other in one picture, such as inputs above reconstructions.

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

/// Clips of one shape that are shown frame below frame, such as an input and what came back.
#[derive(Debug)]
pub struct GridRow<'a> {
    /// A line of text above the frames; none if it is empty.
    pub caption: &'a str,
    /// `[3, t, h, w]` or `[1, 3, t, h, w]` in [-1, 1], from top to bottom.
    pub clips: &'a [&'a Tensor],
}

/// How large a [`grid`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GridSize {
    /// Frames in a row, spread evenly from a clip's first to its last. Clips with fewer show all.
    pub columns: i64,
    /// Frames are enlarged by the greatest whole number that leaves their shorter side at most this, in pixels. Larger
    /// ones stay as they are.
    pub side: i64,
}

impl Default for GridSize {
    /// Six columns of about 160 pixels.
    fn default() -> Self {
        Self { columns: 6, side: 160 }
    }
}

/// One picture, uint8 `[h, w, 3]`, of all rows from top to bottom. Their clips may have different sizes.
///
/// # Errors
/// If a clip has another shape than said at [`GridRow`], or there is none.
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

/// How far two clips of one shape are apart, `gain` times, as a clip that [`grid`] shows: equal pixels are black; with a
/// gain of 1 black against white is white.
///
/// # Errors
/// If they have another shape than said at [`GridRow`], or different ones.
pub fn difference(a: &Tensor, b: &Tensor, gain: f64) -> Result<Tensor, ReportError> {
    let shape = clip_shape(a)?;
    same_shape(b, shape)?;
    let [a, b] = [a, b].map(|clip| clip.to_kind(Kind::Float).reshape(shape));
    let b = b.to_device(a.device());
    Ok(((a - b).abs() * gain - 1.0).clamp(-1.0, 1.0))
}

/// The frames of a row, uint8 `[h, w, 3]`.
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

/// The frames of a clip beside each other, uint8 `[h, w, 3]`.
fn strip(clip: &Tensor, [_, t, h, w]: [i64; 4], size: GridSize) -> Tensor {
    let indices = spread(t, size.columns);
    let chosen = clip.reshape([1, 3, t, h, w]).index_select(2, &Tensor::from_slice(&indices).to_device(clip.device()));
    let frames = to_frames(&chosen).to_device(Device::Cpu);
    let enlarged = (size.side / h.min(w)).max(1);
    let frames = [1, 2].into_iter().fold(frames, |x, axis| x.repeat_interleave_self_int(enlarged, axis, None));
    with_gaps(&frames.unbind(0), 1)
}

/// Pictures of one size in a row along `axis`.
fn with_gaps(pictures: &[Tensor], axis: usize) -> Tensor {
    let Some(size) = pictures.first().map(Tensor::size) else { return white([0, 0]) };
    let mut gap = [size[0], size[1]];
    gap[axis] = GAP;
    let gap = white(gap);
    let parts: Vec<&Tensor> = pictures.iter().flat_map(|picture| [&gap, picture]).skip(1).collect();
    Tensor::cat(&parts, axis as i64)
}

/// Indices of `count` frames from the first of `t` to the last; of one, the middle.
fn spread(t: i64, count: i64) -> Vec<i64> {
    match count.min(t) {
        count @ 2.. => (0..count).map(|i| (2 * i * (t - 1) + count - 1) / (2 * (count - 1))).collect(),
        _ => vec![t / 2],
    }
}

/// `[3, t, h, w]` of a clip.
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
    Err(ReportError::shape(format!("a clip of the shape {expected:?}, as beside it"), clip))
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

    /// A clip `[3, t, h, w]` of the bytes 10 * frame + 3 * row + column + `offset`, in [-1, 1].
    fn clip([t, h, w]: [i64; 3], offset: i64) -> Tensor {
        let axis = |size, scale| Tensor::arange(size, (Kind::Float, Device::Cpu)) * scale;
        let bytes = axis(t, 10.0).view([t, 1, 1]) + axis(h, 3.0).view([h, 1]) + axis(w, 1.0) + offset as f64;
        (bytes / 127.5 - 1.0).expand([3, t, h, w], false)
    }

    fn pixel(picture: &Tensor, y: i64, x: i64) -> i64 {
        picture.int64_value(&[y, x, 0])
    }

    #[test]
    fn each_frame_is_enlarged_at_its_place() {
        let (input, output) = (clip([5, 4, 6], 0), clip([5, 4, 6], 100).unsqueeze(0));
        let rows = [GridRow { caption: "", clips: &[&input, &output] }];
        let picture = grid(&rows, GridSize { columns: 3, side: 11 }).unwrap();
        // Enlarged twice: 8 x 12 pixels a frame.
        assert_eq!(picture.size(), [2 * 8 + 2, 3 * 12 + 2 * 2, 3]);
        for (column, frame) in [(0, 0), (1, 2), (2, 4)] {
            for (strip, offset) in [(0, 0), (1, 100)] {
                for (y, x) in [(0, 0), (1, 1), (5, 2), (7, 11)] {
                    let found = pixel(&picture, strip * 10 + y, column * 14 + x);
                    assert_eq!(found, 10 * frame + 3 * (y / 2) + x / 2 + offset, "{column} {strip} {y} {x}");
                }
            }
        }
        for (y, x) in [(8, 0), (9, 39), (0, 12), (17, 13), (0, 26)] {
            assert_eq!(pixel(&picture, y, x), 255, "{y} {x}");
        }
    }

    #[test]
    fn rows_may_differ_in_size_and_captions_take_their_height() {
        let (large, small) = (clip([1, 6, 8], 0), clip([2, 3, 3], 50));
        let rows = [GridRow { caption: "large", clips: &[&large] }, GridRow { caption: "", clips: &[&small] }];
        let picture = grid(&rows, GridSize { columns: 4, side: 6 }).unwrap();
        assert_eq!(picture.size(), [24 + 6 + 10 + 6, 2 * 6 + 2, 3]);
        assert_eq!(pixel(&picture, 24, 0), 0);
        assert_eq!(pixel(&picture, 24, 8), 255);
        assert_eq!(pixel(&picture, 40, 0), 50);
        assert_eq!(pixel(&picture, 40, 8), 60);
        let caption = picture.narrow(0, 0, 24);
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
    fn differences_are_distances_of_bytes() {
        let (a, b) = (clip([1, 2, 2], 30), clip([1, 2, 2], 50));
        let shown =
            |gain| grid(&[GridRow { caption: "", clips: &[&difference(&a, &b, gain).unwrap()] }], GridSize::default());
        assert_eq!(pixel(&shown(1.0).unwrap(), 0, 0), 20);
        assert_eq!(pixel(&shown(4.0).unwrap(), 5, 5), 80);
        assert_eq!(pixel(&shown(100.0).unwrap(), 0, 0), 255);
    }

    #[test]
    fn wrong_shapes_are_named() {
        let message =
            |clips: &[&Tensor]| grid(&[GridRow { caption: "", clips }], GridSize::default()).unwrap_err().to_string();
        let (good, other) = (clip([2, 3, 4], 0), clip([2, 3, 5], 0));
        assert_eq!(
            message(&[&good, &other]),
            "expected a clip of the shape [3, 2, 3, 4], as beside it, got Float [3, 2, 3, 5]"
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
