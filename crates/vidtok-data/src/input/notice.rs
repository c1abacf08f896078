//! What a user should know of a video that was read or written, although nothing went wrong.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Something that is lost or changed on the way through 8 bit frames. Its text is one line without the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// High dynamic range was tone-mapped.
    ToneMapped(HdrTransfer),
    /// High dynamic range was cut to 8 bits, since this ffmpeg cannot map tones.
    NoToneMapper(HdrTransfer),
    /// Frames hold two fields of different times, which were left woven.
    Interlaced,
    /// The file's format warns of a loss, in these words, although every frame is there.
    DoubtfulLoss(String),
    /// Frames of odd size (`[height, width]`) were stored with full colour resolution.
    FullChroma([i64; 2]),
}

/// A transfer function of high dynamic range (BT.2100).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HdrTransfer {
    /// Perceptual quantizer (SMPTE ST 2084): absolute luminances.
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
                "high dynamic range ({transfer}) is cut to 8 bits as it is: this ffmpeg has neither zscale nor a working \
                 libplacebo to map tones with"
            ),
            Self::Interlaced => write!(f, "it is interlaced; the two fields of each frame are read woven"),
            Self::DoubtfulLoss(doubt) => write!(f, "every frame is there, although ffmpeg warns: {doubt}"),
            Self::FullChroma([height, width]) => write!(
                f,
                "the odd size of {width}x{height} is stored with full colour resolution (4:4:4), which many players \
                 cannot show"
            ),
        }
    }
}
