//! The filters between a decoder and frames of 8 bit RGB.
//!
//! They look at one frame at a time (deinterlacing at its neighbours too), so that a frame has the same pixels however it
//! is reached.

use crate::ffmpeg::locate::Ffmpeg;
use crate::ffmpeg::picture::{Fields, Picture};
use crate::ffmpeg::process::Process;
use crate::input::notice::Notice;
use crate::input::read_options::{Hdr, ReadOptions, Reading};

/// From these stored rows on, YUV without the name of its matrix is taken for BT.709, as players do.
const HD_ROWS: i64 = 720;

/// Linear light 1.0 is HDR reference white, 203 cd/m2 (BT.2408), which is to meet the white of standard range. Light up
/// to the knee passes unchanged: it is then as bright as in the same scene graded for standard range. What lies above,
/// up to a display of 1,000 cd/m2 (the nominal peak of HLG, and of most PQ masters), goes into the rest by the mobius
/// curve, and reference white to 0.925 of linear light, 247 of 255. The peak is fixed, since one that is taken from a
/// file's metadata would map equal colours of two files to different ones.
const REFERENCE_WHITE: f64 = 203.0;
const KNEE: f64 = 0.85;
const PEAK: f64 = 1000.0 / REFERENCE_WHITE;

/// A way to map tones that an ffmpeg has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ToneMapper {
    Zscale,
    Libplacebo,
}

/// The filters for a video.
#[derive(Debug)]
pub(super) struct Conversion {
    /// Before frames are chosen.
    pub(super) before: String,
    /// After that.
    pub(super) after: String,
}

impl Conversion {
    /// The filters that make RGB frames of `[width, height]`; an error says what cannot be done with such a video.
    pub(super) fn new(
        ffmpeg: &Ffmpeg,
        picture: &Picture,
        options: ReadOptions,
        size: [i64; 2],
    ) -> Result<Self, &'static str> {
        let fields = picture.fields.filter(|_| options.deinterlace);
        let before = fields.map(deinterlace).transpose()?.unwrap_or_default();
        let mapper = picture.hdr.filter(|_| options.hdr == Hdr::ToneMap).and_then(|_| ffmpeg.tone_mapper());
        let assumed = assumed_tags(picture);
        let mapped = mapper.map(|mapper| format!("{},", mapper.filters())).unwrap_or_default();
        let scaled = format!("scale={}:flags=bicubic+accurate_rnd+full_chroma_int", expected(size));
        // Frames are counted, whatever their times: outputs complain of times that do not ascend.
        Ok(Self { before, after: format!("{assumed}{scaled},{mapped}format=rgb24,settb=1/1000,setpts=N") })
    }
}

/// The size as the filter `scale` takes it. Frames of another size become a pixel each, which are too few bytes: what is
/// known of a video may be wrong, and it must not be read distorted. Only the first frame decides.
fn expected([width, height]: [i64; 2]) -> String {
    let side = |side| format!("'if(eq(iw,{width})*eq(ih,{height}),{side},1)'");
    format!("{}:{}", side(width), side(height))
}

/// Names to frames what their file does not.
fn assumed_tags(picture: &Picture) -> String {
    let matrix = match (picture.untagged_rows, picture.hdr) {
        (Some(_), Some(_)) => Some("colorspace=bt2020nc"),
        (Some(HD_ROWS..), None) => Some("colorspace=bt709"),
        _ => None,
    };
    let primaries = picture.untagged_primaries.then_some("color_primaries=bt2020");
    match (matrix, primaries) {
        (None, None) => String::new(),
        (Some(one), None) | (None, Some(one)) => format!("setparams={one},"),
        (Some(matrix), Some(primaries)) => format!("setparams={matrix}:{primaries},"),
    }
}

/// Both fields of a frame from the first one in time, with the help of the frames around it.
fn deinterlace(fields: Fields) -> Result<String, &'static str> {
    match fields {
        Fields { turned: true, .. } => {
            Err("it is interlaced and shown turned, so that it cannot be deinterlaced here; turn its frames before")
        }
        // Mixed videos have whole frames between.
        Fields { flagged: true, .. } => Ok("bwdif=mode=send_frame:deint=interlaced,".to_owned()),
        Fields { top_first, .. } => {
            let parity = if top_first { "tff" } else { "bff" };
            Ok(format!("bwdif=mode=send_frame:parity={parity}:deint=all,"))
        }
    }
}

impl ToneMapper {
    const ALL: [Self; 2] = [Self::Zscale, Self::Libplacebo];

    /// From frames whose colours are named to RGB of standard range.
    fn filters(self) -> String {
        // swscale's own RGB of 16 bits is 0.4 % too dark, so YUV goes on as it is, with a whole number of chroma rows.
        const DEEP: &str = "format=yuv444p12le|gbrp12le";
        match self {
            Self::Zscale => format!(
                "{DEEP},zscale=t=linear:npl={REFERENCE_WHITE},format=gbrpf32le,zscale=p=bt709,\
                 tonemap=mobius:param={KNEE}:desat=0:peak={PEAK},zscale=t=bt709:r=full,format=gbrp"
            ),
            // It puts 203 cd/m2 to 1.0 by itself. Its peak detection would look at frames before.
            Self::Libplacebo => format!(
                "{DEEP},libplacebo=colorspace=gbr:color_primaries=bt709:color_trc=bt709:range=pc:tonemapping=mobius:\
                 tonemapping_param={KNEE}:peak_detect=0:format=gbrp"
            ),
        }
    }
}

impl Ffmpeg {
    /// How this program maps tones, if it can; found out when it is first asked for.
    pub(super) fn tone_mapper(&self) -> Option<ToneMapper> {
        *self.tone_mapper_cell().get_or_init(|| ToneMapper::ALL.into_iter().find(|mapper| self.can_map(*mapper)))
    }

    /// Whether a frame comes through these filters: they may be missing, or need a GPU that is.
    fn can_map(&self, mapper: ToneMapper) -> bool {
        let tags = "setparams=colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084:range=tv";
        let mut command = self.command("quiet");
        command.args(["-f", "rawvideo", "-pixel_format", "yuv444p12le", "-video_size", "16x16", "-i", "/dev/zero"]);
        command.args(["-vf", &format!("{tags},{}", mapper.filters()), "-frames:v", "1", "-f", "null", "-"]);
        let ended = Process::start(self, &mut command).map(|mut process| process.end());
        matches!(ended, Ok(Ok((status, _))) if status.success())
    }

    /// What `options` come to with this program, for the stamp of results that depend on it.
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

    /// What a user should know of frames of `picture` that are read with `options`.
    pub(crate) fn notices(&self, picture: &Picture, options: ReadOptions) -> Vec<Notice> {
        let hdr = picture.hdr.filter(|_| options.hdr == Hdr::ToneMap).map(|transfer| match self.tone_mapper() {
            Some(_) => Notice::ToneMapped(transfer),
            None => Notice::NoToneMapper(transfer),
        });
        let fields = picture.fields.filter(|_| !options.deinterlace).map(|_| Notice::Interlaced);
        hdr.into_iter().chain(fields).collect()
    }
}
