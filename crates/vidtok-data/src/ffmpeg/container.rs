//! The containers that can be written: codecs, options and resolution of time.
//!
//! Colours are stored as BT.709 in limited range and tagged so, except in lossless files and GIFs, which hold RGB.

use std::path::Path;

use vidtok_core::PixelAspect;

use crate::ffmpeg::pace::Pace;
use crate::ffmpeg::write_options::VideoQuality;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    Mp4,
    Mov,
    Matroska,
    Avi,
    WebM,
    Gif,
}

enum Codec {
    H264,
    Vp9,
    Gif,
}

impl Container {
    /// The container that a path's extension names.
    pub(crate) fn of(path: &Path) -> Result<Self, String> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "mp4" | "m4v" => Ok(Self::Mp4),
            "mov" => Ok(Self::Mov),
            "mkv" => Ok(Self::Matroska),
            "avi" => Ok(Self::Avi),
            "webm" => Ok(Self::WebM),
            "gif" => Ok(Self::Gif),
            other => Err(format!("unknown format {other:?}: expected .mp4, .m4v, .mov, .mkv, .avi, .webm or .gif")),
        }
    }

    /// The finest resolution of frame times, in seconds; `None` if the container only knows constant rates.
    pub(crate) fn finest(self) -> Option<f64> {
        match self {
            Self::Mp4 | Self::Mov => Some(0.0), // the track's own ticks
            Self::Matroska | Self::WebM => Some(0.001),
            Self::Gif => Some(0.01),
            Self::Avi => None,
        }
    }

    pub(crate) fn has_sound(self) -> bool {
        self != Self::Gif
    }

    /// Whether an image of even size is stored with half the colour resolution along each side (4:2:0).
    pub(crate) fn halves_colours(self, quality: VideoQuality) -> bool {
        self != Self::Gif && quality != VideoQuality::Lossless
    }

    /// Whether audio of this codec (ffmpeg's name) can be copied into the container.
    pub(crate) fn holds(self, audio: &str) -> bool {
        match self {
            Self::Mp4 => matches!(audio, "aac" | "mp3" | "ac3" | "eac3" | "alac" | "flac" | "opus"),
            Self::Mov => matches!(audio, "aac" | "mp3" | "ac3" | "alac" | "pcm_s16le" | "pcm_s16be" | "pcm_s24le"),
            Self::Matroska => matches!(
                audio,
                "aac"
                    | "mp2"
                    | "mp3"
                    | "ac3"
                    | "eac3"
                    | "dts"
                    | "truehd"
                    | "alac"
                    | "flac"
                    | "opus"
                    | "vorbis"
                    | "pcm_s16le"
                    | "pcm_s24le"
                    | "pcm_s32le"
                    | "pcm_f32le"
                    | "pcm_u8"
            ),
            Self::Avi => matches!(audio, "mp2" | "mp3" | "ac3" | "pcm_s16le" | "pcm_u8"),
            Self::WebM => matches!(audio, "opus" | "vorbis"),
            Self::Gif => false,
        }
    }

    /// The filter for audio that is transcoded.
    pub(crate) fn audio_filter(self) -> Option<&'static str> {
        // Opus refuses some channel orders.
        (self == Self::WebM).then_some("aformat=channel_layouts=7.1|6.1|5.1|5.0|quad|3.0|stereo|mono")
    }

    /// The output options: filters, codec and container.
    pub(crate) fn options(
        self,
        size: [i64; 2],
        pixel_aspect: PixelAspect,
        pace: &Pace,
        quality: VideoQuality,
    ) -> Result<Vec<String>, String> {
        const TO_YUV: &str = "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_inp";
        // Newer releases read the tags from the frames, older ones from the encoder's options.
        const MARK: &str = "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709 \
                            -color_range tv -colorspace bt709 -color_primaries bt709 -color_trc bt709";
        // One palette per frame: a palette for all frames would hold the whole video in memory.
        const PALETTES: &str = "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1";

        let (codec, container): (_, &[&str]) = match self {
            // Older releases call some audio codecs in MP4 experimental.
            Self::Mp4 => (Codec::H264, &["-strict", "-2", "-f", "mp4", "-movflags", "+faststart"]),
            Self::Mov => (Codec::H264, &["-f", "mov", "-movflags", "+faststart"]),
            Self::Matroska => (Codec::H264, &["-f", "matroska"]),
            // AVI cannot store frames out of order, so there must be no B-frames.
            Self::Avi => (Codec::H264, &["-f", "avi", "-bf", "0"]),
            Self::WebM => (Codec::Vp9, &["-f", "webm", "-cpu-used", "4", "-row-mt", "1"]),
            Self::Gif => (Codec::Gif, &["-f", "gif"]),
        };
        let pixels = if size.iter().all(|side| side % 2 == 0) { "yuv420p" } else { "yuv444p" };
        let (wide, high) = pixel_aspect.ratio();
        // Without "max" the filter rounds the ratio to numbers up to 100; H.264 holds up to 65535.
        let shape = match pixel_aspect.is_square() {
            true => String::new(),
            false => format!(",setsar=r={wide}/{high}:max=65535"),
        };
        let yuv = format!("{TO_YUV},format={pixels}{shape},{MARK}");
        let worst = if matches!(codec, Codec::Vp9) { 63 } else { 51 };
        let options = match (codec, quality) {
            (_, VideoQuality::Crf(crf)) if crf > worst => {
                return Err(format!("rate factor {crf} is out of range: expected 0 to {worst}"));
            }
            (Codec::H264, VideoQuality::Crf(crf)) => format!("-c:v libx264 -crf {crf} -vf {yuv}"),
            (_, VideoQuality::Bitrate(0)) => return Err("bitrate 0 is out of range: expected at least 1".into()),
            (Codec::H264, VideoQuality::Bitrate(rate)) => format!("-c:v libx264 -b:v {rate}k -vf {yuv}"),
            (Codec::Vp9, VideoQuality::Bitrate(rate)) => format!("-c:v libvpx-vp9 -b:v {rate}k -vf {yuv}"),
            (Codec::H264, VideoQuality::Lossless) => format!("-c:v libx264rgb -qp 0 -vf null{shape}"),
            (Codec::Vp9, VideoQuality::Crf(crf)) => format!("-c:v libvpx-vp9 -b:v 0 -crf {crf} -vf {yuv}"),
            (Codec::Vp9, VideoQuality::Lossless) => format!("-c:v libvpx-vp9 -lossless 1 -vf format=gbrp{shape}"),
            (Codec::Gif, VideoQuality::Lossless) => return Err("a GIF cannot be lossless".into()),
            (Codec::Gif, _) => match pace {
                Pace::Even(rate) if rate.as_f64() > 100.0 => {
                    return Err(format!("a GIF holds at most 100 frames per second, not {rate}"));
                }
                _ => format!("-vf {PALETTES}{shape}"),
            },
        };
        Ok(options.split(' ').chain(container.iter().copied()).map(str::to_owned).collect())
    }
}
