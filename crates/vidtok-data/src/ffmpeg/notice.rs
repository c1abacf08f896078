//! What users should know about a video that was read or written without an error.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Something that is lost or changed on the way through 8-bit frames. Its text is one line without the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// High dynamic range was tone-mapped.
    ToneMapped(HdrTransfer),
    /// High dynamic range was cut to 8 bits, since this ffmpeg has no tone mapper.
    NoToneMapper(HdrTransfer),
    /// The two fields of interlaced frames, which show different times, were left interleaved.
    Interlaced,
    /// ffmpeg warns of lost data with this message, although every frame is present.
    DoubtfulLoss(String),
    /// Frames of this odd size (`[height, width]`) were stored with full colour resolution.
    FullChroma([i64; 2]),
}

/// A transfer function of high dynamic range (BT.2100).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HdrTransfer {
    /// Perceptual quantizer (SMPTE ST 2084): absolute luminance.
    Pq,
    /// Hybrid log-gamma (ARIB STD-B67): relative to the display, here one of 1,000 cd/m2.
    Hlg,
}

impl fmt::Display for HdrTransfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pq => "PQ",
            Self::Hlg => "HLG",
        })
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ToneMapped(transfer) => write!(f, "high dynamic range ({transfer}) is tone-mapped to BT.709"),
            Self::NoToneMapper(transfer) => write!(
                f,
                "high dynamic range ({transfer}) is cut to 8 bits without tone mapping: this ffmpeg has neither zscale nor \
                 a working libplacebo"
            ),
            Self::Interlaced => write!(f, "interlaced; the two fields of each frame stay interleaved"),
            Self::DoubtfulLoss(doubt) => write!(f, "every frame is present, although ffmpeg warns: {doubt}"),
            Self::FullChroma([height, width]) => write!(
                f,
                "the odd size of {width}x{height} is stored with full colour resolution (4:4:4), which many players \
                 cannot show"
            ),
        }
    }
}
