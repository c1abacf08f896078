//! Intact videos of random kinds: codec, container, frame times, size, pixel format, rotation, shape of pixels, audio.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vidtok_data::Ffmpeg;

/// The streams that a container holds.
struct Container {
    extension: &'static str,
    /// Codec with its options, and pixel formats.
    codecs: &'static [Codec],
    audio: Option<&'static str>,
    /// Whether it stores a time for each frame.
    has_times: bool,
    /// Whether it stores a rotation.
    has_rotation: bool,
}

type Codec = (&'static str, &'static [&'static str]);

const H264: Codec = ("libx264 -preset ultrafast -bf 2", &["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "gray"]);
const H264_BASELINE: Codec = ("libx264 -preset ultrafast -bf 0", &["yuv420p"]);
const H264_RGB: Codec = ("libx264rgb -preset ultrafast -qp 0", &["rgb24"]);
const H265: Codec = ("libx265 -preset ultrafast -x265-params log-level=none", &["yuv420p", "yuv444p", "yuv420p10le"]);
const VP8: Codec = ("libvpx -cpu-used 8 -auto-alt-ref 1 -lag-in-frames 8", &["yuv420p"]);
const VP9: Codec = ("libvpx-vp9 -cpu-used 8", &["yuv420p", "yuv444p", "gbrp"]);
const AV1: Codec = ("libsvtav1 -preset 12 -svtav1-params lp=1", &["yuv420p", "yuv420p10le"]);
const MPEG4: Codec = ("mpeg4 -bf 2", &["yuv420p"]);
const MPEG2: Codec = ("mpeg2video -bf 2", &["yuv420p", "yuv422p"]);
const MJPEG: Codec = ("mjpeg", &["yuvj420p", "yuvj422p", "yuvj444p"]);
const FFV1: Codec = ("ffv1", &["yuv420p", "gbrp", "gray", "yuv422p10le", "bgr0"]);
const HUFFYUV: Codec = ("huffyuv", &["yuv422p", "rgb24", "bgra"]);
const PRORES: Codec = ("prores_ks", &["yuv422p10le"]);
const PNG: Codec = ("png", &["rgb24", "rgba", "gray"]);
const WMV: Codec = ("wmv2", &["yuv420p"]);
const FLV1: Codec = ("flv", &["yuv420p"]);
const THEORA: Codec = ("libtheora", &["yuv420p", "yuv444p"]);
const RAW: Codec = ("rawvideo", &["yuv420p", "bgr24"]);

const fn container(
    extension: &'static str,
    codecs: &'static [Codec],
    audio: Option<&'static str>,
    has_times: bool,
    has_rotation: bool,
) -> Container {
    Container { extension, codecs, audio, has_times, has_rotation }
}

const CONTAINERS: [Container; 13] = [
    container("mp4", &[H264, H264_RGB, H265, VP9, AV1, MPEG4, MJPEG, PNG], Some("aac"), true, true),
    container("mov", &[H264, H265, MPEG4, MJPEG, PRORES, PNG], Some("aac"), true, true),
    container("m4v", &[H264, MPEG4], Some("aac"), true, true),
    container(
        "mkv",
        &[H264, H265, VP8, VP9, AV1, MPEG4, MPEG2, MJPEG, FFV1, HUFFYUV, THEORA],
        Some("flac"),
        true,
        true,
    ),
    container("webm", &[VP8, VP9, AV1], Some("libopus"), true, false),
    container(
        "avi",
        &[H264_BASELINE, ("mpeg4", &["yuv420p"]), MJPEG, FFV1, HUFFYUV, RAW],
        Some("pcm_s16le"),
        false,
        false,
    ),
    container("ts", &[H264, H265, MPEG2], Some("aac"), true, false),
    container("MTS", &[H264, MPEG2], Some("ac3"), true, false),
    container("mpg", &[MPEG2], Some("mp2"), false, false),
    container("wmv", &[WMV], Some("wmav2"), true, false),
    container("flv", &[FLV1, H264_BASELINE], Some("aac"), true, false),
    container("3gp", &[H264_BASELINE, MPEG4], Some("aac"), true, true),
    container("ogv", &[THEORA], Some("flac"), false, false),
];

/// The times of frames.
const PACES: [&str; 4] = ["constant", "jittered", "two paces", "equal times"];

/// A random video in a folder.
pub(crate) struct RandomVideo {
    pub(crate) path: PathBuf,
    /// A description for messages.
    pub(crate) kind: String,
}

impl RandomVideo {
    /// The video of a seed, the same on every machine with the same ffmpeg.
    pub(crate) fn make(folder: &Path, seed: u64) -> Result<Self, String> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // Cycles through all containers, so that few videos cover them.
        let container = &CONTAINERS[seed as usize % CONTAINERS.len()];
        let (codec, formats) = container.codecs.choose(&mut rng).unwrap();
        let format = formats.choose(&mut rng).unwrap();
        // MPEG-2 only knows constant rates.
        let has_times = container.has_times && !codec.starts_with("mpeg2");
        let pace = if has_times { PACES[rng.random_range(0..4)] } else { PACES[0] };
        // x265 writes out of bounds if frames are smaller than its 64-pixel blocks.
        let least = if codec.starts_with("libx265") { 32 } else { 16 };
        let [width, height] = [(); 2].map(|()| 2 * rng.random_range(least..40));
        let frames = rng.random_range(2..24);
        let rate = ["25", "30", "30000/1001", "24000/1001", "50"].choose(&mut rng).unwrap();
        let shape = ["1", "16/11", "4/3", "64/45"].choose(&mut rng).unwrap();
        let audio = container.audio.filter(|_| rng.random());
        let turned = (container.has_rotation && rng.random()).then(|| *["90", "180", "270"].choose(&mut rng).unwrap());
        let kind = format!(
            "{seed}: {} of {codec}, {format}, {frames} frames of {width}x{height} at {rate} a second, {pace}, \
             pixels {shape}, audio {audio:?}, turned by {turned:?}",
            container.extension
        );

        let name = format!("{seed:03}.{}", container.extension);
        let made = folder.join(&name);
        let times = match pace {
            "jittered" => "settb=1/60000,setpts='(N+0.3*mod(N*7,3)/3)/FR/TB'",
            "two paces" => "settb=1/60000,setpts='if(lt(N,6),N,6+(N-6)*5)/FR/TB'",
            _ => "null",
        }
        .replace("FR", &format!("({rate})"));
        let filters = format!("{times},setsar={shape}");
        let source = format!("testsrc2=s={width}x{height}:r={rate}:d=9");
        let mut arguments = vec!["-f", "lavfi", "-i", &source];
        if audio.is_some() {
            arguments.extend(["-f", "lavfi", "-i", "sine=d=0.4"]);
        }
        let count = frames.to_string();
        arguments.extend(["-vf", &filters, "-frames:v", &count, "-fps_mode", "passthrough", "-pix_fmt", format]);
        if !matches!(pace, "constant" | "equal times") {
            arguments.extend(["-enc_time_base:v", "1:60000"]);
        }
        arguments.extend("-c:v".split(' ').chain(codec.split(' ')));
        arguments.extend(audio.iter().flat_map(|audio| ["-c:a", audio, "-strict", "-2"]));
        let format = match container.extension {
            "MTS" => Some("mpegts"),
            "3gp" if codec.starts_with("libx264") || codec.starts_with("mpeg4") => Some("3gp"),
            "m4v" => Some("mp4"),
            _ => None,
        };
        arguments.extend(format.iter().flat_map(|format| ["-f", format]));
        run(&kind, folder, &arguments, &name)?;
        // Properties that no encoder writes are added by a copy.
        let mut edits: Vec<String> = Vec::new();
        if pace == "equal times" && frames > 4 {
            let same = |what: &str| {
                let upper = what.to_uppercase();
                format!("{what}='if(eq(N,3),PREV_IN{upper},{upper})'")
            };
            edits = ["-bsf:v".to_owned(), format!("setts={}:{}", same("pts"), same("dts"))].into();
        }
        if let Some(turned) = turned {
            remuxed(&kind, folder, &made, &["-display_rotation", turned], &edits, format)?;
        } else if !edits.is_empty() {
            remuxed(&kind, folder, &made, &[], &edits, format)?;
        }
        Ok(Self { path: made, kind })
    }

    /// The pixels as ffmpeg decodes them, every frame once.
    pub(crate) fn decoded(&self) -> Vec<u8> {
        let mut command = Command::new(Ffmpeg::locate().unwrap().program());
        // ffmpeg reports times that do not ascend, but writes the frames.
        command.args(["-v", "quiet", "-nostdin", "-i"]).arg(&self.path);
        command.args(["-map", "0:V:0", "-fps_mode", "passthrough"]);
        command.args([
            "-vf",
            "scale=flags=bicubic+accurate_rnd+full_chroma_int,format=rgb24",
            "-f",
            "rawvideo",
            "pipe:1",
        ]);
        command.output().unwrap().stdout
    }
}

/// Copies the streams of a file with changes.
fn remuxed(
    kind: &str,
    folder: &Path,
    made: &Path,
    before: &[&str],
    edits: &[String],
    format: Option<&str>,
) -> Result<(), String> {
    let old = folder.join("old");
    fs::rename(made, &old).unwrap();
    let mut arguments = before.to_vec();
    arguments.extend(["-i", "old", "-map", "0", "-c", "copy"]);
    arguments.extend(edits.iter().map(String::as_str));
    arguments.extend(format.iter().flat_map(|format| ["-f", format]));
    run(kind, folder, &arguments, made.file_name().unwrap().to_str().unwrap())?;
    fs::remove_file(old).unwrap();
    Ok(())
}

fn run(kind: &str, folder: &Path, arguments: &[&str], name: &str) -> Result<(), String> {
    let mut command = Command::new(Ffmpeg::locate().unwrap().program());
    command.args(["-v", "error", "-nostdin", "-y"]).args(arguments).arg(name).current_dir(folder);
    let output = command.output().unwrap();
    let said = || format!("{kind}: {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.status.success().then_some(()).ok_or_else(said)
}
