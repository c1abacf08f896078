//! How the pixels of a file become RGB frames where there is a choice.

use serde::{Deserialize, Serialize};

/// What is done to frames while they are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReadOptions {
    /// What becomes of high dynamic range.
    pub hdr: Hdr,
    /// Whether interlaced frames are deinterlaced, one frame out for each frame in; else their two fields stay woven.
    pub deinterlace: bool,
}

impl ReadOptions {
    /// Whether these are the defaults.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of high dynamic range video (PQ and HLG of BT.2100) in frames of 8 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hdr {
    /// It is tone-mapped to BT.709: the reference white of 203 cd/m2 (BT.2408) becomes nearly the white of 8 bits.
    #[default]
    ToneMap,
    /// Its signal is cut to 8 bits, which looks pale and dark on a screen.
    Keep,
}

/// What [`ReadOptions`] come to with an ffmpeg at hand, in words: frames are read alike where these are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reading {
    /// What becomes of high dynamic range.
    pub hdr: String,
    /// What becomes of interlaced frames.
    pub interlaced: String,
    /// Which matrix stands in for one that a file does not name.
    pub untagged: String,
}
