//! The properties of a video's pixels in ffmpeg's description: their shape, colours and fields.

use serde::{Deserialize, Serialize};
use vidtok_core::PixelAspect;

use crate::ffmpeg::notice::HdrTransfer;

/// ffmpeg's names of the matrices between YUV and RGB.
const MATRICES: [&str; 16] = [
    "gbr",
    "bt709",
    "fcc",
    "bt470bg",
    "smpte170m",
    "smpte240m",
    "ycgco",
    "ycgco-re",
    "ycgco-ro",
    "bt2020nc",
    "bt2020c",
    "smpte2085",
    "chroma-derived-nc",
    "chroma-derived-c",
    "ictcp",
    "ipt-c2",
];

/// The properties of a video's pixels that need special treatment. The default needs none: square pixels, named colours
/// of standard range, progressive frames.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StreamFormat {
    /// The shape of a pixel as shown, after rotation.
    #[serde(skip_serializing_if = "PixelAspect::is_square")]
    pub(crate) pixel_aspect: PixelAspect,
    /// The number of stored rows, before rotation, if the file names no matrix for its YUV pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) untagged_rows: Option<i64>,
    /// The transfer function, if it is of high dynamic range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hdr: Option<HdrTransfer>,
    /// Whether a file of high dynamic range names no primaries.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) untagged_primaries: bool,
    /// The fields, if frames are interlaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fields: Option<Fields>,
}

/// The order of the two fields of an interlaced frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fields {
    /// Whether the field of the top row comes first in time.
    pub(crate) top_first: bool,
    /// Whether frames are flagged as interlaced one by one, or only the stream is.
    pub(crate) flagged: bool,
    /// Whether frames are rotated before they are shown, so that rows no longer belong to one field.
    pub(crate) turned: bool,
}

impl StreamFormat {
    /// The default, as a constant.
    pub(crate) const PLAIN: Self = Self {
        pixel_aspect: PixelAspect::SQUARE,
        untagged_rows: None,
        hdr: None,
        untagged_primaries: false,
        fields: None,
    };

    /// Parses ffmpeg's description: the lines of the decoded input stream, and the line of the decoded frames, which
    /// are the first video stream of the output.
    pub(crate) fn read(description: &[String]) -> Self {
        let Some((input, output)) = streams(description) else { return Self::default() };
        let format = PixelFormat::read(output);
        let tag = |index: usize| format.colours.get(index).copied().filter(|name| *name != "unknown");
        let is_untagged = format.is_yuv() && tag(0).is_none();
        let hdr = match tag(2) {
            Some("smpte2084") => Some(HdrTransfer::Pq),
            Some("arib-std-b67") => Some(HdrTransfer::Hlg),
            _ => None,
        };
        Self {
            pixel_aspect: pixel_aspect(output).unwrap_or_default(),
            untagged_rows: rows(&input[0]).or_else(|| rows(output)).filter(|_| is_untagged),
            hdr,
            untagged_primaries: hdr.is_some() && tag(1).is_none(),
            fields: Fields::read(input, &format),
        }
    }
}

impl Fields {
    /// Parses the lines of the input stream, and the format of its first frame.
    fn read(input: &[String], frame: &PixelFormat<'_>) -> Option<Self> {
        let of_stream = || PixelFormat::read(&input[0]).top_first;
        let flagged = frame.top_first.is_some();
        let turned = input.iter().filter_map(|line| {
            let (_, angle) = line.split_once("rotation of ")?;
            angle.strip_suffix(" degrees")?.parse::<f64>().ok()
        });
        let turned = turned.into_iter().any(|angle| angle.abs() >= 1.0);
        frame.top_first.or_else(of_stream).map(|top_first| Self { top_first, flagged, turned })
    }
}

/// The lines of the decoded input stream, and the line of the decoder's output.
fn streams(description: &[String]) -> Option<(&[String], &str)> {
    let mapping = description.iter().position(|line| line.trim() == "Stream mapping:")?;
    let (before, after) = description.split_at(mapping);
    let (stream, _) = after.get(1)?.trim().split_once(" -> ")?;
    let first = before.iter().position(|line| {
        // "Stream #0:1" must not match "Stream #0:10".
        line.trim().strip_prefix(stream).is_some_and(|rest| rest.starts_with(['[', '(', ':']))
    })?;
    let is_next = |line: &String| line.trim().starts_with("Stream #");
    let end = before[first + 1..].iter().position(is_next).map_or(before.len(), |next| first + 1 + next);
    let output = after.iter().find(|line| line.contains(": Video: "))?;
    Some((&before[first..end], output))
}

/// The parsed pixel format of a stream, such as "yuv420p10le(tv, bt2020nc/bt2020/smpte2084, top first)".
#[derive(Debug, Default)]
struct PixelFormat<'a> {
    name: &'a str,
    /// Matrix, primaries and transfer function; empty if unknown.
    colours: Vec<&'a str>,
    /// For interlaced frames, whether the field of the top row comes first.
    top_first: Option<bool>,
}

impl<'a> PixelFormat<'a> {
    fn read(line: &'a str) -> Self {
        // The codec precedes it: "Video: h264 (High) (avc1 / 0x31637661), yuv420p(tv, bt709, progressive), 64x48".
        let format = line.split_once(": Video: ").and_then(|(_, video)| video.split_once(", ")).map(|(_, rest)| rest);
        let Some(format) = format else { return Self::default() };
        let end = format.find(['(', ',']).unwrap_or(format.len());
        let (name, rest) = format.split_at(end);
        let mut read = Self { name, ..Self::default() };
        let Some(rest) = rest.strip_prefix('(') else { return read };
        // Brackets may be nested: "top coded first (swapped)".
        for part in rest.split("), ").next().unwrap_or_default().split(", ") {
            match part {
                _ if part.starts_with("top ") => read.top_first = Some(true),
                _ if part.starts_with("bottom ") => read.top_first = Some(false),
                _ if part.contains('/') => read.colours = part.trim_end_matches(')').split('/').collect(),
                // A single name stands for all three.
                _ if MATRICES.contains(&part.trim_end_matches(')')) => {
                    read.colours = vec![part.trim_end_matches(')'); 3]
                }
                _ => {}
            }
        }
        read
    }

    /// Whether the pixels are YUV, which a matrix converts to RGB.
    fn is_yuv(&self) -> bool {
        const RGB: [&str; 3] = ["rgb", "bgr", "gbr"];
        const OTHERS: [&str; 7] = ["gray", "mono", "pal", "bayer", "xyz", "ya8", "ya16"];
        let is_other =
            RGB.iter().any(|rgb| self.name.contains(rgb)) || OTHERS.iter().any(|other| self.name.starts_with(other));
        !self.name.is_empty() && !is_other
    }
}

/// The rows in the size of a stream: "64x48" or "64x48 [SAR 16:11 DAR 64:33]".
fn rows(line: &str) -> Option<i64> {
    line.split(", ").find_map(|field| {
        let (width, height) = field.split(' ').next()?.split_once('x')?;
        width.parse::<i64>().ok()?;
        height.parse().ok()
    })
}

fn pixel_aspect(line: &str) -> Option<PixelAspect> {
    let (_, aspect) = line.split_once("SAR ")?;
    aspect.split([' ', ']', ',']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> StreamFormat {
        StreamFormat::read(&lines.iter().map(|&line| line.to_owned()).collect::<Vec<_>>())
    }

    /// The format of a stream whose frames are decoded as they are stored.
    fn plain(format: &str) -> StreamFormat {
        read(&[
            &format!("  Stream #0:0[0x1](und): Video: h264 (High) (avc1 / 0x31637661), {format}, 25 fps"),
            "Stream mapping:",
            "  Stream #0:0 -> #0:0 (h264 (native) -> wrapped_avframe (native))",
            &format!("  Stream #0:0(und): Video: wrapped_avframe, {format}, q=2-31, 25 fps"),
        ])
    }

    #[test]
    fn rotation_turns_pixel_shapes_but_not_the_number_of_stored_rows() {
        let turned = read(&[
            "  Stream #0:10: Video: mjpeg, yuvj420p(pc, bt470bg/unknown/unknown), 9x9",
            "  Stream #0:1[0x1](und): Video: h264 (High) (avc1 / 0x31637661), yuv420p(top first), 64x720 [SAR 16:11 DAR 64:33]",
            "    Side data:",
            "      Display Matrix: rotation of 90.00 degrees",
            "  Stream #0:2: Audio: aac",
            "Stream mapping:",
            "  Stream #0:1 -> #0:0 (h264 (native) -> wrapped_avframe (native))",
            "Output #0, framecrc, to 'pipe:1':",
            "  Stream #0:0(und): Video: wrapped_avframe, yuv420p(top coded first (swapped)), 720x64 [SAR 11:16 DAR 1:1]",
            "    Side data:",
            "      displaymatrix: rotation of -0.00 degrees",
        ]);
        assert_eq!(turned.pixel_aspect, "11:16".parse().unwrap());
        assert_eq!(turned.untagged_rows, Some(720));
        assert_eq!(turned.fields, Some(Fields { top_first: true, flagged: true, turned: true }));
    }

    #[test]
    fn named_colours_need_no_assumptions() {
        for named in [
            "yuv420p(tv, bt709, progressive), 64x720 [SAR 1:1 DAR 4:3]",
            "yuv420p(tv, smpte170m), 64x720",
            "yuv420p(tv, bt709/unknown/unknown), 64x720, SAR 1:1 DAR 4:3",
            "yuvj420p(pc, bt470bg/unknown/unknown, progressive), 64x720",
            "gbrp(pc, gbr/unknown/unknown, progressive), 64x720",
            "rgb24(pc), 64x720",
            "0bgr, 64x720",
            "x2rgb10le, 64x720",
            "xyz12le, 64x720",
            "pal8, 64x720",
            "gray(progressive), 64x720",
            "yuv420p10le(tv, bt2020nc/bt2020/bt2020-10, left), 64x720",
        ] {
            assert_eq!(plain(named), StreamFormat::default(), "{named}");
        }
    }

    #[test]
    fn untagged_yuv_is_recorded_with_its_rows() {
        for untagged in
            ["yuv420p, 64x576", "yuv422p10le(tv), 64x576 [SAR 1:1 DAR 4:3]", "nv12(unknown/bt709/bt709), 64x576"]
        {
            assert_eq!(
                plain(untagged),
                StreamFormat { untagged_rows: Some(576), ..StreamFormat::default() },
                "{untagged}"
            );
        }
    }

    #[test]
    fn high_dynamic_range_is_recognised_by_its_transfer_function() {
        let hdr = plain("yuv420p10le(tv, bt2020nc/bt2020/smpte2084, progressive), 64x48");
        assert_eq!(hdr, StreamFormat { hdr: Some(HdrTransfer::Pq), ..StreamFormat::default() });
        let hlg = plain("yuv420p10le(10 bpc, tv, unknown/unknown/arib-std-b67), 64x48");
        let expected = StreamFormat { untagged_rows: Some(48), untagged_primaries: true, ..StreamFormat::default() };
        assert_eq!(hlg, StreamFormat { hdr: Some(HdrTransfer::Hlg), ..expected });
    }

    #[test]
    fn fields_are_recognised_by_frames_or_else_by_the_stream() {
        let fields = |stream: &str, frame: &str| {
            let [stream, frame] = [stream, frame].map(|order| format!("Video: x, yuv420p(tv, bt709{order}), 64x48"));
            let (stream, frame) = (format!("Stream #0:0: {stream}"), format!("Stream #0:0: {frame}"));
            read(&[&stream, "Stream mapping:", "Stream #0:0 -> #0:0 (x -> y)", &frame]).fields
        };
        let known = |top_first, flagged| Some(Fields { top_first, flagged, turned: false });
        assert_eq!(fields(", top first", ", top coded first (swapped)"), known(true, true));
        assert_eq!(fields("", ", bottom coded first (swapped)"), known(false, true));
        assert_eq!(fields(", bottom first", ", progressive"), known(false, false));
        assert_eq!(fields(", progressive", ""), None);
    }

    #[test]
    fn an_unknown_description_yields_the_default() {
        for lines in
            [&[][..], &["Stream mapping:"], &["Stream #0:0: Video: x", "Stream mapping:", "Stream #0:0 -> #0:0", "x"]]
        {
            assert_eq!(read(lines), StreamFormat::default());
        }
    }
}
