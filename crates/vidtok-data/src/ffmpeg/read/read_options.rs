//! Choices in converting the pixels of a video to RGB frames.

use serde::{Deserialize, Serialize};

/// How the pixels of videos are converted while they are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReadOptions {
    /// The treatment of high dynamic range.
    pub hdr: Hdr,
    /// Whether interlaced frames are deinterlaced, one frame out per frame in. Otherwise their fields stay interleaved.
    pub deinterlace: bool,
}

impl ReadOptions {
    /// Whether these are the defaults.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The treatment of high dynamic range video (PQ and HLG of BT.2100) in 8-bit frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hdr {
    /// Tone-map to BT.709: the reference white of 203 cd/m2 (BT.2408) becomes nearly 8-bit white.
    #[default]
    ToneMap,
    /// Cut the signal to 8 bits, which looks pale and dark on a screen.
    Keep,
}

/// The meaning of [`ReadOptions`] with a given ffmpeg, in words. Where these are equal, frames are read alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reading {
    /// The treatment of high dynamic range.
    pub hdr: String,
    /// The treatment of interlaced frames.
    pub interlaced: String,
    /// The matrix assumed for files that name none.
    pub untagged: String,
}
