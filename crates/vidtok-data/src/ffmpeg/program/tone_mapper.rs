//! Tone-mapping high dynamic range to BT.709 with the filters of an ffmpeg.

/// The luminance of HDR reference white, 203 cd/m2 (BT.2408), which is 1.0 in linear light and should become the white
/// of standard range. Light up to [`KNEE`] passes unchanged, as bright as in the same scene graded for standard range.
/// Light up to [`PEAK`], a display of 1,000 cd/m2 (the nominal peak of HLG and of most PQ masters), is compressed into
/// the rest by the Mobius curve; reference white becomes 0.925 in linear light, 247 of 255. The peak is fixed, since a
/// peak from a file's metadata would map equal colours of two files to different ones.
pub(crate) const REFERENCE_WHITE: f64 = 203.0;
pub(crate) const KNEE: f64 = 0.85;
const PEAK: f64 = 1000.0 / REFERENCE_WHITE;

/// A tone mapper of an ffmpeg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ToneMapper {
    Zscale,
    Libplacebo,
}

impl ToneMapper {
    pub(crate) const ALL: [Self; 2] = [Self::Zscale, Self::Libplacebo];

    /// The filters from frames with named colours to RGB of standard range.
    pub(crate) fn filters(self) -> String {
        // swscale's 16-bit RGB is 0.4 % too dark, so YUV stays YUV, with a whole number of chroma rows.
        const DEEP: &str = "format=yuv444p12le|gbrp12le";
        match self {
            Self::Zscale => format!(
                "{DEEP},zscale=t=linear:npl={REFERENCE_WHITE},format=gbrpf32le,zscale=p=bt709,\
                 tonemap=mobius:param={KNEE}:desat=0:peak={PEAK},zscale=t=bt709:r=full,format=gbrp"
            ),
            // libplacebo maps 203 cd/m2 to 1.0 by default. Its peak detection would depend on earlier frames.
            Self::Libplacebo => format!(
                "{DEEP},libplacebo=colorspace=gbr:color_primaries=bt709:color_trc=bt709:range=pc:tonemapping=mobius:\
                 tonemapping_param={KNEE}:peak_detect=0:format=gbrp"
            ),
        }
    }
}
