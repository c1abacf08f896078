//! How a video is stored.

/// The quality of a written video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoQuality {
    /// The encoder's constant rate factor: 0 is best, 51 worst (63 in WebM), 18 is visually lossless. GIFs ignore it.
    Crf(u8),
    /// The approximate bitrate of the video, in kilobits per second. GIFs ignore it.
    Bitrate(u32),
    /// Lossless compression. GIFs do not support it.
    Lossless,
}

impl Default for VideoQuality {
    fn default() -> Self {
        Self::Crf(18)
    }
}

/// How a video is stored. Converts from a [`VideoQuality`], with defaults for the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// The quality.
    pub quality: VideoQuality,
    /// Whether frames of odd size repeat their last row or column, so that they can be stored with half the colour
    /// resolution (4:2:0), which all players show. Does not apply to GIFs and lossless videos.
    pub player_friendly: bool,
}

impl From<VideoQuality> for WriteOptions {
    fn from(quality: VideoQuality) -> Self {
        Self { quality, ..Self::default() }
    }
}
