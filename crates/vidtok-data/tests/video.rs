//! Reading and writing videos with a real ffmpeg.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tch::{Kind, Tensor};
use tempfile::TempDir;
use vidtok_core::{FrameRate, FrameSink, FrameSource, VideoError, VideoInfo};
use vidtok_data::{
    Ffmpeg, Preparation, PreparedVideo, Sampling, Scene, VideoQuality, VideoReader, VideoWriter, fit, video_fault,
};

fn ffmpeg() -> Ffmpeg {
    Ffmpeg::locate().unwrap()
}

fn rate(num: u32, den: u32) -> FrameRate {
    FrameRate::new(num, den).unwrap()
}

/// Moving frames, uint8 `[t, h, w, 3]`.
fn moving(frames: usize, size: [i64; 2]) -> Tensor {
    let times: Vec<f64> = (0..frames).map(|i| i as f64 / 12.0).collect();
    Scene::new(7).frames(&times, size)
}

fn write(path: &Path, frames: &Tensor, rate: FrameRate, quality: VideoQuality) {
    let size = [frames.size()[1], frames.size()[2]];
    let mut writer = VideoWriter::create(&ffmpeg(), path, size, rate, quality).unwrap();
    writer.write(frames).unwrap();
    writer.finish().unwrap();
}

fn open(path: &Path) -> VideoReader {
    VideoReader::open(&ffmpeg(), path).unwrap()
}

/// Reads all frames, a few at a time.
fn read(path: &Path) -> (VideoInfo, Tensor) {
    let mut reader = open(path);
    let mut chunks = Vec::new();
    while let Some(chunk) = reader.next_frames(5).unwrap() {
        assert!((1..=5).contains(&chunk.size()[0]));
        chunks.push(chunk);
    }
    (reader.info().clone(), Tensor::cat(&chunks, 0))
}

/// Runs ffmpeg directly, for files that the writer cannot make.
fn run(arguments: &[&str]) -> bool {
    Command::new(ffmpeg().program()).args(["-v", "error", "-nostdin", "-y"]).args(arguments).status().unwrap().success()
}

fn psnr(a: &Tensor, b: &Tensor) -> f64 {
    let difference = a.to_kind(Kind::Float) - b.to_kind(Kind::Float);
    let mse = difference.square().mean(None).double_value(&[]);
    10.0 * (255.0 * 255.0 / mse).log10()
}

/// Reports a skipped test on the real stderr, which the test harness does not capture.
fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

fn files(folder: &TempDir) -> usize {
    fs::read_dir(folder.path()).unwrap().count()
}

#[test]
fn lossless_videos_come_back_exactly() {
    let folder = TempDir::new().unwrap();
    for (name, size) in [
        ("a.mp4", [32, 48]),
        ("odd.mp4", [33, 47]),
        ("tiny.mp4", [1, 1]),
        ("a.mkv", [33, 48]),
        ("a.mov", [32, 48]),
        ("a.avi", [32, 48]),
        ("a.webm", [33, 47]),
    ] {
        let path = folder.path().join(name);
        let frames = moving(12, size);
        write(&path, &frames, rate(30000, 1001), VideoQuality::Lossless);
        let (info, back) = read(&path);
        assert_eq!((info.height, info.width, info.frames), (size[0], size[1], 12), "{name}");
        assert!((info.frame_rate.as_f64() - 29.97).abs() < 1e-3, "{name}: {}", info.frame_rate);
        assert!(back == frames, "{name}");
    }
}

#[test]
fn lossy_videos_keep_size_count_and_rate() {
    let folder = TempDir::new().unwrap();
    for (name, size, fps) in [
        ("a.mp4", [64, 96], rate(25, 1)),
        ("odd.mp4", [63, 95], rate(30000, 1001)),
        ("a.mkv", [64, 96], rate(24, 1)),
        ("a.avi", [64, 96], rate(12, 1)),
        ("odd.webm", [63, 95], rate(25, 1)),
        ("a.gif", [63, 95], rate(20, 1)),
    ] {
        let path = folder.path().join(name);
        let frames = moving(10, size);
        write(&path, &frames, fps, VideoQuality::default());
        let (info, back) = read(&path);
        assert_eq!(
            info,
            VideoInfo { width: size[1], height: size[0], frame_rate: fps, frames: 10, times: None },
            "{name}"
        );
        assert!(psnr(&frames, &back) > 30.0, "{name}: {}", psnr(&frames, &back));
    }
}

#[test]
fn colours_survive_the_round_trip() {
    // A wrong matrix or range would change these by 10 or more.
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.mp4");
    let colors = [[255u8, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [90, 160, 200]];
    for color in colors {
        let frames = Tensor::from_slice(&color).view([1, 1, 1, 3]).repeat([2, 32, 32, 1]);
        write(&path, &frames, rate(25, 1), VideoQuality::Crf(10));
        let back = Vec::<u8>::try_from(read(&path).1.get(1).get(16).get(16)).unwrap();
        assert!(back.iter().zip(color).all(|(a, b)| a.abs_diff(b) <= 3), "{color:?} came back as {back:?}");
    }
}

#[test]
fn sample_clips_are_described_correctly() {
    let clips = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.deps/clips");
    if !clips.exists() {
        skipped("set-up could not fetch the sample clips");
        return;
    }
    for (name, width, height, frame_rate, frames) in [
        ("cockatoo.mp4", 1280, 720, rate(20, 1), 280),
        ("realshort.mp4", 320, 240, rate(45000, 1499), 36),
        ("bikes.mp4", 640, 272, rate(25, 1), 250),
        ("carphone_pristine.mp4", 176, 144, rate(30000, 1001), 120),
        ("bigbuckbunny.mp4", 1280, 720, rate(25, 1), 132),
    ] {
        let clip = open(&clips.join(name));
        assert_eq!(clip.info(), &VideoInfo { width, height, frame_rate, frames, times: None }, "{name}");
        assert!(clip.timeline().unwrap().is_even(), "{name}");
    }
    // Releases of ffmpeg state different rates for a GIF with uneven frames.
    let gif = open(&clips.join("newtonscradle.gif")).info().clone();
    assert_eq!((gif.width, gif.height, gif.frames), (200, 150, 36));
    assert!(gif.frame_rate.as_f64() > 0.0);
}

#[test]
fn frames_by_index_equal_frames_in_order() {
    let folder = TempDir::new().unwrap();
    // H.264 with B-frames, which are stored out of order.
    let path = folder.path().join("a.mp4");
    write(&path, &moving(60, [48, 64]), rate(25, 1), VideoQuality::Crf(28));
    let (_, all) = read(&path);
    let mut reader = open(&path);
    reader.next_frames(3).unwrap();
    for indices in [vec![0], vec![59], vec![1, 2, 3], vec![4, 4, 9, 30, 31, 59, 59], (0..60).collect(), vec![40, 7]] {
        let expected: Vec<Tensor> = indices.iter().map(|&index| all.get(index)).collect();
        let indices: Vec<u64> = indices.into_iter().map(|index| index as u64).collect();
        assert!(reader.frames_at(&indices).unwrap() == Tensor::stack(&expected, 0), "{indices:?}");
    }
    assert_eq!(reader.frames_at(&[]).unwrap().size(), [0, 48, 64, 3]);
    assert!(reader.next_frames(1).unwrap().unwrap().get(0) == all.get(3), "the position has moved");
    let message = reader.frames_at(&[3, 60]).unwrap_err().to_string();
    assert!(message.contains("a.mp4") && message.contains("frame 60") && message.contains("60"), "{message}");
}

#[test]
fn hundreds_of_scattered_frames_are_found() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.mkv");
    let frames = moving(700, [8, 8]);
    write(&path, &frames, rate(25, 1), VideoQuality::Lossless);
    let indices: Vec<u64> = (0..700).filter(|i| i % 2 == 0 || i % 7 == 0).collect();
    let positions: Vec<i64> = indices.iter().map(|&index| index as i64).collect();
    assert!(open(&path).frames_at(&indices).unwrap() == frames.index_select(0, &Tensor::from_slice(&positions)));
}

#[test]
fn gif_frames_that_repeat_are_counted() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.gif");
    let still = moving(1, [24, 32]);
    let frames = Tensor::cat(&[&still, &still, &moving(5, [24, 32]), &still], 0);
    write(&path, &frames, rate(25, 1), VideoQuality::default());
    let (info, all) = read(&path);
    assert_eq!((info.frames, info.frame_rate), (8, rate(25, 1)));
    assert!(open(&path).frames_at(&[1, 5, 7]).unwrap() == Tensor::stack(&[all.get(1), all.get(5), all.get(7)], 0));
}

#[test]
fn uneven_times_neither_drop_nor_repeat_frames() {
    let folder = TempDir::new().unwrap();
    let (even, uneven) = (folder.path().join("even.mkv"), folder.path().join("uneven.mp4"));
    let frames = moving(20, [16, 24]);
    write(&even, &frames, rate(25, 1), VideoQuality::Lossless);
    let copy = |mode: [&str; 2]| {
        let (from, to) = (even.to_str().unwrap(), uneven.to_str().unwrap());
        run(&[
            "-i",
            from,
            "-vf",
            "setpts='(N+4*floor(N/3))/25/TB'",
            mode[0],
            mode[1],
            "-c:v",
            "libx264rgb",
            "-qp",
            "0",
            to,
        ])
    };
    assert!(copy(["-fps_mode", "passthrough"]) || copy(["-vsync", "0"]));
    let (info, back) = read(&uneven);
    assert_eq!(info.frames, 20);
    assert!((8.0..20.0).contains(&info.frame_rate.as_f64()), "{}", info.frame_rate);
    assert!(back == frames);
    assert!(
        open(&uneven).frames_at(&[2, 3, 19]).unwrap() == frames.index_select(0, &Tensor::from_slice(&[2i64, 3, 19]))
    );
}

#[test]
fn rotated_videos_are_read_as_shown() {
    let folder = TempDir::new().unwrap();
    let (plain, turned) = (folder.path().join("plain.mp4"), folder.path().join("turned.mp4"));
    let frames = moving(4, [16, 24]);
    write(&plain, &frames, rate(25, 1), VideoQuality::Lossless);
    let (from, to) = (plain.to_str().unwrap(), turned.to_str().unwrap());
    let made = run(&["-display_rotation", "90", "-i", from, "-c", "copy", to])
        || run(&["-i", from, "-c", "copy", "-metadata:s:v", "rotate=90", to]);
    assert!(made);
    let (info, back) = read(&turned);
    assert_eq!((info.width, info.height), (16, 24));
    assert!(back == frames.rot90(1, [1, 2]), "turned the other way");
    assert!(open(&turned).frames_at(&[3]).unwrap().get(0) == back.get(3));
}

#[test]
fn a_change_of_size_drops_no_frame() {
    let folder = TempDir::new().unwrap();
    let stream = folder.path().join("a.h264");
    let mut bytes = Vec::new();
    for size in [[32, 48], [64, 96]] {
        let path = folder.path().join("part.mkv");
        write(&path, &moving(10, size), rate(25, 1), VideoQuality::Crf(20));
        let part = folder.path().join("part.h264");
        assert!(run(&["-i", path.to_str().unwrap(), "-c", "copy", part.to_str().unwrap()]));
        bytes.extend(fs::read(part).unwrap());
    }
    fs::write(&stream, bytes).unwrap();
    let (info, all) = read(&stream);
    assert_eq!((info.frames, info.height, info.width), (20, 32, 48));
    assert!(open(&stream).frames_at(&[2, 13]).unwrap() == Tensor::stack(&[all.get(2), all.get(13)], 0));
}

#[test]
fn unreadable_files_are_named_on_one_line() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let bytes_of = |name: &str| {
        let path = folder.path().join(name);
        write(&path, &moving(50, [64, 96]), rate(25, 1), VideoQuality::Crf(20));
        fs::read(path).unwrap()
    };
    let (mp4, mkv, gif) = (bytes_of("whole.mp4"), bytes_of("whole.mkv"), bytes_of("whole.gif"));
    let cut = |bytes: &[u8]| bytes[..bytes.len() * 6 / 10].to_vec();
    let scrambled = |bytes: &[u8]| {
        let middle = bytes.len() / 2;
        [&bytes[..middle], &[0x5a; 400], &bytes[middle + 400..]].concat()
    };
    let sound = folder.path().join("sound.mp4");
    assert!(run(&["-f", "lavfi", "-i", "sine=duration=0.2", sound.to_str().unwrap()]));

    let cases: [(PathBuf, &str); 12] = [
        (file("cut.mp4", &cut(&mp4)), "cannot decode"),
        (file("cut.mkv", &cut(&mkv)), "cannot decode"),
        (file("no index.mp4", &mp4[..40]), "cannot decode"),
        (file("scrambled.mkv", &scrambled(&mkv)), "cannot decode"),
        (file("scrambled.gif", &scrambled(&gif)), "cannot decode"),
        (file("text.mp4", b"not a video at all\n"), "cannot decode"),
        (file("list.m3u8", b"#EXTM3U\n#EXTINF:1,\nhttp://example.org/a.ts\n#EXT-X-ENDLIST\n"), "cannot decode"),
        (file("empty.mp4", b""), "empty"),
        (file("none.y4m", b"YUV4MPEG2 W16 H16 F25:1 Ip A1:1 C420jpeg\n"), "no frames"),
        (sound, "no video stream"),
        (folder.path().join("missing.mp4"), "No such file"),
        (folder.path().to_owned(), "is a directory"),
    ];
    for (path, telling) in cases {
        let message = VideoReader::open(&ffmpeg(), &path).unwrap_err().to_string();
        assert!(message.contains(path.to_str().unwrap()) && message.contains(telling), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
}

/// A fake ffmpeg: it answers `-version` correctly and otherwise runs this script.
fn fake_ffmpeg(folder: &TempDir, script: &str) -> Ffmpeg {
    use std::os::unix::fs::PermissionsExt;

    let path = folder.path().join("ffmpeg");
    let version = "if [ \"$1\" = -version ]; then echo 'ffmpeg version 9.0'; exit 0; fi";
    fs::write(&path, format!("#!/bin/sh\n{version}\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    Ffmpeg::at(path).unwrap()
}

#[test]
fn only_messages_about_the_input_blame_the_video() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.mp4");
    fs::write(&path, "a video").unwrap();
    let listing =
        "echo '#tb 0: 1/25'; echo '#dimensions 0: 2x2'; echo '0, 0, 0, 1, 4, 0x0'; echo 'Stream mapping:' >&2";
    for (script, telling, blames) in [
        ("kill -9 $$", "signal: 9", false),
        ("kill -15 $$", "signal: 15", false),
        ("kill -11 $$", "crashed", true),
        ("exit 1", "exit status: 1", false),
        (
            "echo '[h264 @ 0x1] [error] get_buffer() failed: Cannot allocate memory' >&2",
            "Cannot allocate memory",
            false,
        ),
        ("echo '[out#0/null @ 0x1] [error] Error submitting a packet to the muxer' >&2; exit 1", "to the muxer", false),
        ("echo '[Parsed_scale_0 @ 0x1] [error] Failed to configure' >&2; exit 1", "Failed to configure", true),
        ("echo '[h264 @ 0x1] [error] no frame!' >&2", "no frame!", true),
        ("echo '[h264 @ 0x1] [error] no frame!' >&2; exit 1", "no frame!", true),
    ] {
        let ffmpeg = fake_ffmpeg(&folder, &format!("{listing}; {script}"));
        let error = VideoReader::open(&ffmpeg, &path).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(telling) && message.contains("a.mp4") && !message.contains('\n'), "{message}");
        assert_eq!(video_fault(&error).is_some(), blames, "{script}: {message}");
    }
    let muxer =
        "echo '[rawvideo @ 0x1] [error] invalid, non monotonically increasing dts to muxer in stream 0: 1 >= 1' >&2";
    assert_eq!(
        VideoReader::open(&fake_ffmpeg(&folder, &format!("{listing}; {muxer}")), &path).unwrap().info().frames,
        1
    );
}

#[test]
fn a_file_that_has_changed_since_opening_is_an_error() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.mkv");
    write(&path, &moving(10, [16, 16]), rate(25, 1), VideoQuality::Lossless);
    let info = open(&path).info().clone();
    for (frames, telling) in [(12, "ended after 10 frames"), (7, "more frames")] {
        let mut reader = VideoReader::with_info(&ffmpeg(), &path, VideoInfo { frames, ..info.clone() });
        reader.next_frames(4).unwrap();
        let message = reader.next_frames(20).unwrap_err().to_string();
        assert!(message.contains(telling) && message.contains("a.mkv"), "{message}");
        assert!(reader.next_frames(20).is_err(), "reading went on after an error");
    }
    let reader = VideoReader::with_info(&ffmpeg(), &path, VideoInfo { frames: 12, ..info });
    assert!(reader.frames_at(&[0, 11]).unwrap_err().to_string().contains("ended after 1 frames"));
}

#[test]
fn unusual_file_names_are_read_and_written() {
    let folder = TempDir::new().unwrap();
    let frames = moving(3, [16, 16]);
    for name in ["-i.mkv", "a%03d.mkv", "http:x.mkv", "sp ace 'q\" [1],;.mkv", "\u{fc}\u{4e2d}.mkv", "con\ncat.mkv"] {
        let path = folder.path().join(name);
        write(&path, &frames, rate(25, 1), VideoQuality::Lossless);
        assert!(read(&path).1 == frames, "{name}");
        assert!(open(&path).frames_at(&[2]).unwrap().get(0) == frames.get(2), "{name}");
    }
}

#[test]
fn writers_refuse_invalid_settings_and_leave_no_files() {
    let folder = TempDir::new().unwrap();
    let create =
        |name: &str, size, fps, quality| VideoWriter::create(&ffmpeg(), folder.path().join(name), size, fps, quality);
    let fps = rate(25, 1);
    let crf = VideoQuality::default();
    for (result, telling) in [
        (create("a.xyz", [16, 16], fps, crf), "unknown format \"xyz\""),
        (create("a", [16, 16], fps, crf), "unknown format"),
        (create("a.gif", [16, 16], fps, VideoQuality::Lossless), "lossless"),
        (create("a.gif", [16, 16], rate(120, 1), crf), "120"),
        (create("a.mp4", [16, 16], fps, VideoQuality::Crf(52)), "52"),
        (create("a.mp4", [0, 16], fps, crf), "empty"),
        (create("no/a.mp4", [16, 16], fps, crf), "No such file"),
    ] {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(telling) && message.contains("/a"), "{message}");
    }
    let mut writer = create("a.mp4", [16, 16], fps, crf).unwrap();
    let message = writer.write(&moving(1, [16, 18])).unwrap_err().to_string();
    assert!(message.contains("[1, 16, 18, 3]") && message.contains("[t, 16, 16, 3]"), "{message}");
    let message = writer.finish().unwrap_err().to_string();
    assert!(message.contains("no frame"), "{message}");
    // Wider than the format allows.
    let refused = create("a.gif", [1, 70000], fps, crf).unwrap();
    let message = write_many(refused).unwrap_err().to_string();
    assert!(message.contains("a.gif: cannot encode") && !message.contains('\n'), "{message}");
    assert_eq!(files(&folder), 0);
}

fn write_many(mut writer: VideoWriter) -> Result<(), VideoError> {
    let frame = Tensor::zeros([1, 1, 70000, 3], (Kind::Uint8, tch::Device::Cpu));
    for _ in 0..50 {
        writer.write(&frame)?;
    }
    writer.finish()
}

#[test]
fn prepared_windows_match_frames_read_by_index() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mkv");
    write(&path, &moving(41, [20, 30]), rate(60, 1), VideoQuality::Lossless);
    let reader = open(&path);
    for (sample_fps, max_frames) in [(Some(30.0), None), (None, None), (Some(20.0), Some(11))] {
        let rule = Preparation { sample_fps, max_frames, ..Preparation::fit([16, 16]) };
        let mut video = PreparedVideo::open(&ffmpeg(), &path, &rule).unwrap();
        let stride = sample_fps.map_or(1.0, |fps| 60.0 / fps);
        assert!((video.frame_rate().as_f64() - 60.0 / stride).abs() < 1e-9);
        let taken = max_frames.map_or(41, |frames| (frames as f64 * stride) as u64);
        let sampled = Sampling::of(reader.info(), sample_fps).within(0..taken);
        for chunk in sampled.chunks(17) {
            let mut indices: Vec<u64> = chunk.iter().map(|&index| index as u64).collect();
            indices.resize(17, indices[indices.len() - 1]);
            let (window, real) = video.next_window(17).unwrap().unwrap();
            assert_eq!(real, chunk.len());
            assert!(window.equal(&fit(&reader.frames_at(&indices).unwrap(), [16, 16])), "{sample_fps:?} {indices:?}");
        }
        assert!(video.next_window(17).unwrap().is_none());
    }
}
