//! The filters between a decoder and 8-bit RGB frames.
//!
//! They process frames one by one (deinterlacing also uses the neighbours), so a frame has the same pixels however it
//! is reached.

use crate::ffmpeg::notice::Notice;
use crate::ffmpeg::program::locate::Ffmpeg;
use crate::ffmpeg::program::process::Process;
use crate::ffmpeg::program::tone_mapper::{KNEE, REFERENCE_WHITE, ToneMapper};
use crate::ffmpeg::read::read_options::{Hdr, ReadOptions, Reading};
use crate::ffmpeg::read::stream_format::{Fields, StreamFormat};

/// The number of stored rows from which YUV without a named matrix is taken for BT.709, as players do.
const HD_ROWS: i64 = 720;

/// The filters for a video.
#[derive(Debug)]
pub(crate) struct Conversion {
    /// The filters before frames are selected.
    pub(crate) before: String,
    /// The filters after frames are selected.
    pub(crate) after: String,
}

impl Conversion {
    /// The filters that produce RGB frames of `[width, height]`, or why the video cannot be converted.
    pub(crate) fn new(
        ffmpeg: &Ffmpeg,
        format: &StreamFormat,
        options: ReadOptions,
        size: [i64; 2],
    ) -> Result<Self, &'static str> {
        let fields = format.fields.filter(|_| options.deinterlace);
        let before = fields.map(deinterlace).transpose()?.unwrap_or_default();
        let mapper = format.hdr.filter(|_| options.hdr == Hdr::ToneMap).and_then(|_| ffmpeg.tone_mapper());
        let assumed = assumed_tags(format);
        let mapped = mapper.map(|mapper| format!("{},", mapper.filters())).unwrap_or_default();
        let scaled = format!("scale={}:flags=bicubic+accurate_rnd+full_chroma_int", expected(size));
        // Times are replaced by frame numbers, since outputs refuse times that do not ascend.
        Ok(Self { before, after: format!("{assumed}{scaled},{mapped}format=rgb24,settb=1/1000,setpts=N") })
    }
}

/// The size for the filter `scale`. A frame of an unexpected size shrinks to one pixel, so that the output is too
/// short: the recorded description may be wrong, and frames must not be distorted silently. Only the first frame
/// decides.
fn expected([width, height]: [i64; 2]) -> String {
    let side = |side| format!("'if(eq(iw,{width})*eq(ih,{height}),{side},1)'");
    format!("{}:{}", side(width), side(height))
}

/// The filter that tags frames with colour properties that their file does not name.
fn assumed_tags(format: &StreamFormat) -> String {
    let matrix = match (format.untagged_rows, format.hdr) {
        (Some(_), Some(_)) => Some("colorspace=bt2020nc"),
        (Some(HD_ROWS..), None) => Some("colorspace=bt709"),
        _ => None,
    };
    let primaries = format.untagged_primaries.then_some("color_primaries=bt2020");
    match (matrix, primaries) {
        (None, None) => String::new(),
        (Some(one), None) | (None, Some(one)) => format!("setparams={one},"),
        (Some(matrix), Some(primaries)) => format!("setparams={matrix}:{primaries},"),
    }
}

/// The deinterlacing filter: one frame out per frame in, at the time of the first field.
fn deinterlace(fields: Fields) -> Result<String, &'static str> {
    match fields {
        Fields { turned: true, .. } => {
            Err("interlaced frames that are shown rotated cannot be deinterlaced; rotate the stored frames first")
        }
        // Mixed videos also contain progressive frames, which must stay as they are.
        Fields { flagged: true, .. } => Ok("bwdif=mode=send_frame:deint=interlaced,".to_owned()),
        Fields { top_first, .. } => {
            let parity = if top_first { "tff" } else { "bff" };
            Ok(format!("bwdif=mode=send_frame:parity={parity}:deint=all,"))
        }
    }
}

impl Ffmpeg {
    /// The tone mapper of this ffmpeg, if it has one; tested on first use.
    pub(crate) fn tone_mapper(&self) -> Option<ToneMapper> {
        *self.tone_mapper_cell().get_or_init(|| ToneMapper::ALL.into_iter().find(|mapper| self.can_map(*mapper)))
    }

    /// Whether a frame passes these filters: they may be missing, or need a GPU that is missing.
    fn can_map(&self, mapper: ToneMapper) -> bool {
        let tags = "setparams=colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084:range=tv";
        let mut command = self.command("quiet");
        command.args(["-f", "rawvideo", "-pixel_format", "yuv444p12le", "-video_size", "16x16", "-i", "/dev/zero"]);
        command.args(["-vf", &format!("{tags},{}", mapper.filters()), "-frames:v", "1", "-f", "null", "-"]);
        let ended = Process::start(self, &mut command).map(|mut process| process.end());
        matches!(ended, Ok(Ok((status, _))) if status.success())
    }

    /// What `options` mean with this ffmpeg, for the stamp of results that depend on it.
    #[must_use]
    pub fn reading(&self, options: ReadOptions) -> Reading {
        let mapped = |filters: &str| {
            format!("tone-mapped to BT.709 by {filters}: {REFERENCE_WHITE} cd/m2 to reference white, linear to {KNEE}")
        };
        let hdr = match (options.hdr, (options.hdr == Hdr::ToneMap).then(|| self.tone_mapper()).flatten()) {
            (Hdr::ToneMap, Some(ToneMapper::Zscale)) => mapped("zscale and mobius"),
            (Hdr::ToneMap, Some(ToneMapper::Libplacebo)) => mapped("libplacebo and mobius"),
            (Hdr::ToneMap, None) | (Hdr::Keep, _) => "cut to 8 bits".to_owned(),
        };
        let interlaced = if options.deinterlace { "deinterlaced by bwdif" } else { "fields woven" }.to_owned();
        let untagged = format!("BT.709 from {HD_ROWS} stored rows on, BT.601 below");
        Reading { hdr, interlaced, untagged }
    }

    /// What users should know about frames of `format` that are read with `options`.
    pub(crate) fn notices(&self, format: &StreamFormat, options: ReadOptions) -> Vec<Notice> {
        let hdr = format.hdr.filter(|_| options.hdr == Hdr::ToneMap).map(|transfer| match self.tone_mapper() {
            Some(_) => Notice::ToneMapped(transfer),
            None => Notice::NoToneMapper(transfer),
        });
        let fields = format.fields.filter(|_| !options.deinterlace).map(|_| Notice::Interlaced);
        hdr.into_iter().chain(fields).collect()
    }
}
