//! The kinds of files that are written: what goes into each, and how finely it tells times.
//!
//! Colours go out as BT.709, limited range, and are marked so, except in lossless files and GIFs, which hold RGB.

use std::path::Path;

use vidtok_core::PixelAspect;

use crate::ffmpeg::timeline::Pace;
use crate::ffmpeg::writer::VideoQuality;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
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
    /// By the extension.
    pub(super) fn of(path: &Path) -> Result<Self, String> {
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

    /// Seconds between the closest times that it tells apart; `None` if it knows constant rates only.
    pub(super) fn finest(self) -> Option<f64> {
        match self {
            Self::Mp4 | Self::Mov => Some(0.0), // the track's own ticks
            Self::Matroska | Self::WebM => Some(0.001),
            Self::Gif => Some(0.01),
            Self::Avi => None,
        }
    }

    pub(super) fn has_sound(self) -> bool {
        self != Self::Gif
    }

    /// Whether a picture of even size is stored with half of the colour resolution along each side (4:2:0).
    pub(super) fn halves_colours(self, quality: VideoQuality) -> bool {
        self != Self::Gif && quality != VideoQuality::Lossless
    }

    /// Whether audio of this codec (ffmpeg's name) can lie in it as it is.
    pub(super) fn holds(self, audio: &str) -> bool {
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

    /// What audio goes through before it is encoded anew.
    pub(super) fn audio_filter(self) -> Option<&'static str> {
        // Opus refuses some orders of the same channels.
        (self == Self::WebM).then_some("aformat=channel_layouts=7.1|6.1|5.1|5.0|quad|3.0|stereo|mono")
    }

    /// The options of the output: filters, codec and container.
    pub(super) fn options(
        self,
        size: [i64; 2],
        pixel_aspect: PixelAspect,
        pace: &Pace,
        quality: VideoQuality,
    ) -> Result<Vec<String>, String> {
        const TO_YUV: &str = "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_inp";
        // Newer releases take the marks from the frames, older ones from the options of the encoder.
        const MARK: &str = "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709 \
                            -color_range tv -colorspace bt709 -color_primaries bt709 -color_trc bt709";
        // One palette a frame: a palette for all of them would hold the whole video in memory.
        const PALETTES: &str = "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1";

        let (codec, container): (_, &[&str]) = match self {
            // Older releases call some audio codecs in it an experiment.
            Self::Mp4 => (Codec::H264, &["-strict", "-2", "-f", "mp4", "-movflags", "+faststart"]),
            Self::Mov => (Codec::H264, &["-f", "mov", "-movflags", "+faststart"]),
            Self::Matroska => (Codec::H264, &["-f", "matroska"]),
            // AVI has no place for the order of frames that are stored out of order.
            Self::Avi => (Codec::H264, &["-f", "avi", "-bf", "0"]),
            Self::WebM => (Codec::Vp9, &["-f", "webm", "-cpu-used", "4", "-row-mt", "1"]),
            Self::Gif => (Codec::Gif, &["-f", "gif"]),
        };
        let pixels = if size.iter().all(|side| side % 2 == 0) { "yuv420p" } else { "yuv444p" };
        let (wide, high) = pixel_aspect.ratio();
        // Without its second option the filter rounds to numbers up to 100; H.264 holds up to 65535.
        let shape = match pixel_aspect.is_square() {
            true => String::new(),
            false => format!(",setsar=r={wide}/{high}:max=65535"),
        };
        let yuv = format!("{TO_YUV},format={pixels}{shape},{MARK}");
        let worst = if matches!(codec, Codec::Vp9) { 63 } else { 51 };
        let options = match (codec, quality) {
            (_, VideoQuality::Crf(crf)) if crf > worst => {
                return Err(format!("a rate factor of {crf} is too large, {worst} is the worst"));
            }
            (Codec::H264, VideoQuality::Crf(crf)) => format!("-c:v libx264 -crf {crf} -vf {yuv}"),
            (_, VideoQuality::Bitrate(0)) => return Err("a bitrate of 0 holds no video".into()),
            (Codec::H264, VideoQuality::Bitrate(rate)) => format!("-c:v libx264 -b:v {rate}k -vf {yuv}"),
            (Codec::Vp9, VideoQuality::Bitrate(rate)) => format!("-c:v libvpx-vp9 -b:v {rate}k -vf {yuv}"),
            (Codec::H264, VideoQuality::Lossless) => format!("-c:v libx264rgb -qp 0 -vf null{shape}"),
            (Codec::Vp9, VideoQuality::Crf(crf)) => format!("-c:v libvpx-vp9 -b:v 0 -crf {crf} -vf {yuv}"),
            (Codec::Vp9, VideoQuality::Lossless) => format!("-c:v libvpx-vp9 -lossless 1 -vf format=gbrp{shape}"),
            (Codec::Gif, VideoQuality::Lossless) => return Err("a GIF cannot be lossless".into()),
            (Codec::Gif, _) => match pace {
                Pace::Even(rate) if rate.as_f64() > 100.0 => {
                    return Err(format!("a GIF cannot hold {rate} frames per second, only up to 100"));
                }
                _ => format!("-vf {PALETTES}{shape}"),
            },
        };
        Ok(options.split(' ').chain(container.iter().copied()).map(str::to_owned).collect())
    }
}
