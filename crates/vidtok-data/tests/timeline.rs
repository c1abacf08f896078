//! Derived videos keep frame times, pixel shape, colours and sound.

#![allow(clippy::unwrap_used)]

mod pixels;

use std::process::Command;

use tempfile::TempDir;
use vidtok_core::{FrameRate, FrameSink, FrameSource};
use vidtok_data::{
    Destination, Ffmpeg, Notice, Preparation, PreparedVideo, Sampling, VideoQuality, VideoReader, VideoWriter,
    to_model_range,
};

/// Runs ffmpeg directly.
fn run(folder: &TempDir, arguments: &str) -> String {
    let mut command = Command::new(Ffmpeg::locate().unwrap().program());
    command.args(["-v", "error", "-nostdin", "-y"]).args(arguments.split(' ')).current_dir(folder.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The stored packets of a stream: seconds from the start of the file, and checksum.
fn packets(folder: &TempDir, name: &str, stream: &str) -> Vec<(f64, String)> {
    let listing = run(folder, &format!("-i {name} -map 0:{stream} -c copy -f framecrc pipe:1"));
    let tick = listing.lines().find_map(|line| line.strip_prefix("#tb 0: ")).unwrap().split_once('/').unwrap();
    let tick = tick.0.parse::<f64>().unwrap() / tick.1.parse::<f64>().unwrap();
    let packet = |line: &str| {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        (fields[2].parse::<f64>().unwrap() * tick, fields[5].to_owned())
    };
    listing.lines().filter(|line| !line.starts_with('#')).map(packet).collect()
}

/// The times of frames, in order.
fn times(folder: &TempDir, name: &str) -> Vec<f64> {
    let mut times: Vec<f64> = packets(folder, name, "V:0").into_iter().map(|(time, _)| time).collect();
    times.sort_by(f64::total_cmp);
    times
}

/// The loudness in each interval of 10 ms.
fn loudness(folder: &TempDir, name: &str, track: usize) -> Vec<f64> {
    let raw = folder.path().join("raw");
    // Gaps, and the time before the track starts, count as silence.
    run(folder, &format!("-i {name} -map 0:a:{track} -af aresample=async=1:first_pts=0 -ac 1 -ar 8000 -f s16le raw"));
    let bytes = std::fs::read(raw).unwrap();
    let samples: Vec<f64> = bytes.chunks_exact(2).map(|b| f64::from(i16::from_le_bytes([b[0], b[1]]))).collect();
    samples.chunks(80).map(|part| (part.iter().map(|x| x * x).sum::<f64>() / part.len() as f64).sqrt()).collect()
}

fn assert_close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: {found:?}");
    let far = found.iter().zip(expected).find(|(a, b)| (**a - **b).abs() > tolerance);
    assert!(far.is_none(), "{what}: {far:?} in {found:?}, expected {expected:?}");
}

/// Writes every `stride`-th frame of one video to another.
fn with_timeline(folder: &TempDir, from: &str, to: &str, stride: usize) {
    let ffmpeg = Ffmpeg::locate().unwrap();
    let mut reader = VideoReader::open(&ffmpeg, folder.path().join(from)).unwrap();
    let taken = Sampling::Every(stride as u64).apply(reader.info(), None).unwrap();
    let timeline = reader.timeline().unwrap().with_frames(&taken);
    let size = [reader.info().height, reader.info().width];
    let destination = Destination::File(folder.path().join(to));
    let mut writer =
        VideoWriter::with_timeline(&ffmpeg, destination, size, &timeline, VideoQuality::default()).unwrap();
    for index in 0.. {
        let Some(frame) = reader.next_frames(1).unwrap() else { break };
        if index % stride == 0 {
            writer.write(&frame).unwrap();
        }
    }
    writer.finish().unwrap();
}

/// Writes frames 40 to 200 ms apart with a pause of 30 s, and a beep in every second.
fn uneven(folder: &TempDir, name: &str, audio: &str) -> Vec<f64> {
    let shown = "settb=1/90000,setpts='(N*40+if(mod(N,3),5,0)+100*floor(N/5)+30000*gte(N,20))/1000/TB'";
    run(
        folder,
        &format!(
            "-f lavfi -i testsrc=size=48x32:rate=25:d=1 -f lavfi -i sine=beep_factor=4:d=3 -vf {shown} {audio} \
             -fps_mode passthrough -enc_time_base:v 1:90000 {name}"
        ),
    );
    let ms = |n: i32| n * 40 + if n % 3 > 0 { 5 } else { 0 } + 100 * (n / 5) + if n >= 20 { 30_000 } else { 0 };
    let asked: Vec<f64> = (0..25).map(|n| f64::from(ms(n)) / 1000.0).collect();
    let made = times(folder, name);
    assert_close(&made, &asked, 1.01 / 90_000.0, "the source");
    made
}

#[test]
fn uneven_frames_keep_their_times_within_the_formats_resolution() {
    let folder = TempDir::new().unwrap();
    let expected = uneven(&folder, "in.mp4", "-an");
    for (name, unit) in [("a.mp4", 1e-9), ("a.mov", 1e-9), ("a.mkv", 0.0006), ("a.webm", 0.0006), ("a.gif", 0.00501)] {
        with_timeline(&folder, "in.mp4", name, 1);
        assert_close(&times(&folder, name), &expected, unit, name);
    }
    with_timeline(&folder, "in.mp4", "second.mp4", 2);
    let every_second: Vec<f64> = expected.iter().copied().step_by(2).collect();
    assert_close(&times(&folder, "second.mp4"), &every_second, 1e-9, "every second frame");
    // A constant rate that ends at the same time.
    with_timeline(&folder, "in.mp4", "a.avi", 1);
    assert_eq!(VideoReader::open(&Ffmpeg::locate().unwrap(), folder.path().join("a.avi")).unwrap().info().frames, 25);
    assert!((times(&folder, "a.avi").last().unwrap() - expected[24]).abs() < 0.01);
}

#[test]
fn constant_rates_survive_rounding_containers() {
    let folder = TempDir::new().unwrap();
    run(&folder, "-f lavfi -i testsrc=size=48x32:rate=30000/1001:d=3 -f lavfi -i sine=d=3 in.mkv");
    for (name, stride, rate) in [("a.mp4", 1, (30000, 1001)), ("b.mp4", 2, (15000, 1001))] {
        with_timeline(&folder, "in.mkv", name, stride);
        let again = VideoReader::open(&Ffmpeg::locate().unwrap(), folder.path().join(name)).unwrap();
        assert!(again.timeline().unwrap().is_even());
        assert_eq!(Some(again.info().frame_rate), FrameRate::new(rate.0, rate.1));
        assert_eq!(again.info().frames as usize, 90_usize.div_ceil(stride));
    }
}

#[test]
fn sound_is_copied_if_the_format_holds_its_codec() {
    let folder = TempDir::new().unwrap();
    uneven(&folder, "in.mp4", "-c:a aac -metadata:s:a language=fin");
    for name in ["a.mp4", "a.mov", "a.mkv"] {
        with_timeline(&folder, "in.mp4", name, 1);
        let (before, after) = (packets(&folder, "in.mp4", "a:0"), packets(&folder, name, "a:0"));
        assert!(before.len() > 100);
        assert!(before.iter().map(|(_, sum)| sum).eq(after.iter().map(|(_, sum)| sum)), "{name}: other packets");
        // Matroska's time starts at AAC's priming samples; frames and sound shift together.
        let moved = times(&folder, name)[0] - times(&folder, "in.mp4")[0];
        let far = before.iter().zip(&after).find(|(a, b)| (b.0 - a.0 - moved).abs() > 0.0011);
        assert!(far.is_none(), "{name}: {far:?}, frames moved by {moved}");
    }
    with_timeline(&folder, "in.mp4", "a.gif", 1);
    assert_eq!(times(&folder, "a.gif").len(), 25);
}

#[test]
fn other_sound_is_transcoded_and_stays_in_sync() {
    let folder = TempDir::new().unwrap();
    run(
        &folder,
        "-f lavfi -i testsrc=size=48x32:rate=25:d=2 -f lavfi -i sine=beep_factor=4:d=2 -f lavfi -i anoisesrc=d=2 \
         -map 0 -map 1 -map 2 -c:a:0 flac -c:a:1 ac3 -filter:a:1 aformat=channel_layouts=5.1(side) in.mkv",
    );
    for name in ["a.mp4", "a.webm", "a.avi", "a.mov", "a.mkv"] {
        with_timeline(&folder, "in.mkv", name, 2);
        for track in [0, 1] {
            let (before, after) = (loudness(&folder, "in.mkv", track), loudness(&folder, name, track));
            assert!(after.len().abs_diff(before.len()) <= 10, "{name}: {} for {}", after.len(), before.len());
            if track == 0 {
                // The beep in the second second is far louder than the tone.
                let onset = |of: &[f64]| (50..120).find(|i| of[*i] > 2.0 * of[60]).unwrap();
                assert!(onset(&after).abs_diff(onset(&before)) <= 4, "{name}: {} {}", onset(&after), onset(&before));
            }
        }
    }
}

/// Seconds from the first packet of sound to the first frame.
fn gap(folder: &TempDir, name: &str) -> f64 {
    let listing = run(folder, &format!("-i {name} -map 0:V:0 -map 0:a:0 -c copy -f framecrc pipe:1"));
    let first = |stream: &str| {
        let tick = listing.lines().find_map(|line| line.strip_prefix(&format!("#tb {stream}: "))).unwrap();
        let (seconds, ticks) = tick.split_once('/').unwrap();
        let of_stream = listing.lines().filter_map(|line| line.strip_prefix(&format!("{stream}, ")));
        let first = of_stream.filter_map(|line| line.split(',').nth(1)?.trim().parse::<f64>().ok()).reduce(f64::min);
        first.unwrap() * seconds.parse::<f64>().unwrap() / ticks.parse::<f64>().unwrap()
    };
    first("0") - first("1")
}

#[test]
fn the_offset_between_sound_and_frames_is_kept() {
    let folder = TempDir::new().unwrap();
    let make = |video: &str, sound: &str, name: &str| {
        run(
            &folder,
            &format!(
                "-f lavfi -i testsrc=size=48x32:rate=25:d=1 -f lavfi -i sine=d=2 -vf settb=1/1000,setpts=PTS+{video} \
                 -af asetpts=PTS+{sound}/TB -c:a mp2 -fps_mode passthrough -enc_time_base:v 1:1000 {name}"
            ),
        );
        // For such a file ffmpeg derives the start time from the mapped streams.
        run(&folder, &format!("-i {name} -c copy -bsf:v h264_mp4toannexb {name}.ts"));
    };
    make("510", "0", "sound-first.mkv");
    make("0", "0.3", "frames-first.mkv");
    for (source, about) in [("sound-first.mkv", 0.51), ("frames-first.mkv", -0.3)] {
        for source in [source, &format!("{source}.ts")] {
            let before = gap(&folder, source);
            assert!((before - about).abs() < 0.03, "{source}: {before}");
            // AAC, which QuickTime gets, starts with 1024 priming samples.
            for (name, unit) in [("a.mkv", 0.0015), ("a.mov", 0.024)] {
                with_timeline(&folder, source, name, 1);
                let after = gap(&folder, name);
                assert!((after - before).abs() < unit, "{name} of {source}: {after} for {before}");
                let step: Vec<f64> = times(&folder, name).windows(2).map(|pair| pair[1] - pair[0]).collect();
                assert_close(&step, &[0.04; 24], 0.0011, name);
            }
        }
    }
    // AVI repeats the first frame until the second.
    with_timeline(&folder, "sound-first.mkv", "a.avi", 1);
    assert!((times(&folder, "a.avi")[1] - 0.55).abs() < 0.04);
}

/// All pixels of a video as ffmpeg decodes them, every frame once.
fn decoded(folder: &TempDir, name: &str) -> Vec<u8> {
    let convert = "scale=flags=bicubic+accurate_rnd+full_chroma_int,format=rgb24";
    let mut command = Command::new(Ffmpeg::locate().unwrap().program());
    // ffmpeg reports times that do not ascend, but writes the frames.
    command.args(["-v", "quiet", "-nostdin", "-i", name, "-map", "0:V:0", "-fps_mode", "passthrough"]);
    command.args(["-vf", convert, "-f", "rawvideo", "pipe:1"]).current_dir(folder.path());
    command.output().unwrap().stdout
}

/// Opens a video and checks that its frames are those that ffmpeg decodes.
fn opened(folder: &TempDir, name: &str) -> VideoReader {
    let ffmpeg = Ffmpeg::locate().unwrap();
    let mut reader = VideoReader::open(&ffmpeg, folder.path().join(name)).unwrap_or_else(|error| panic!("{error}"));
    let frames = reader.next_frames(1000).unwrap().unwrap();
    let mut pixels = vec![0; frames.numel()];
    frames.copy_data_u8(&mut pixels, frames.numel());
    assert!(pixels == decoded(folder, name), "{name}: other pixels");
    let last = frames.size()[0] as u64 - 1;
    assert!(
        reader.frames_at(&[0, last]).unwrap() == frames.index_select(0, &tch::Tensor::from_slice(&[0, last as i64]))
    );
    reader
}

const SCENE: &str = "-f lavfi -i testsrc2=s=64x48:r=30";

#[test]
fn a_late_frame_is_not_damage_and_keeps_its_time() {
    let folder = TempDir::new().unwrap();
    let late = "settb=1/90000,setpts='N*3000+if(eq(mod(N,40),20),1800,0)'";
    let timed = "-fps_mode passthrough -enc_time_base:v 1:90000 -c:v libx264 -pix_fmt yuv420p";
    run(&folder, &format!("{SCENE}:d=3 -vf {late} {timed} late.mkv"));
    let reader = opened(&folder, "late.mkv");
    let times = reader.info().times.clone().unwrap();
    assert_eq!((reader.info().frames, times.frames()), (90, 90));
    for (frame, seconds) in [(19, 19.0 / 30.0), (20, 20.6 / 30.0), (21, 21.0 / 30.0), (60, 60.6 / 30.0)] {
        assert!((times.seconds(frame) - seconds).abs() < 0.0011, "{frame}: {}", times.seconds(frame));
    }
}

#[test]
fn two_frames_with_one_time_are_both_kept() {
    let folder = TempDir::new().unwrap();
    run(&folder, &format!("{SCENE}:d=1 -c:v libx264 -bf 0 -pix_fmt yuv420p base.mp4"));
    let earlier = |what: &str| format!("{what}='if(eq(N,10),{}-512,{})'", what.to_uppercase(), what.to_uppercase());
    let shifted = format!("setts={}:{}", earlier("pts"), earlier("dts"));
    run(&folder, &format!("-i base.mp4 -c copy -bsf:v {shifted} equal.mp4"));
    let reader = opened(&folder, "equal.mp4");
    // The format separates them by one tick.
    let times = reader.info().times.clone().unwrap();
    assert_eq!((reader.info().frames, reader.info().frame_rate), (30, FrameRate::new(30, 1).unwrap()));
    assert_eq!([9, 10, 11].map(|frame| times.ticks(frame)), [9 * 512, 9 * 512 + 1, 11 * 512].map(Some));
    // Matroska stores equal times: the later frame moves half-way to the next, where it was.
    run(&folder, "-i equal.mp4 -c copy equal.mkv");
    let reader = opened(&folder, "equal.mkv");
    assert_eq!((reader.info().frames, reader.info().frame_rate), (30, FrameRate::new(30, 1).unwrap()));
    assert_eq!(reader.info().times, None);
}

#[test]
fn a_video_with_two_rates_is_sampled_by_time() {
    let folder = TempDir::new().unwrap();
    let paces = "setpts='if(lt(N,30),N,30+(N-30)*6)/30/TB'";
    run(&folder, &format!("{SCENE}:d=2 -vf {paces} -fps_mode vfr -c:v libx264 -pix_fmt yuv420p paces.mp4"));
    let reader = opened(&folder, "paces.mp4");
    let preparation = Preparation { sample_fps: Some(5.0), ..Preparation::default() };
    let path = folder.path().join("paces.mp4");
    let mut video = PreparedVideo::open(&Ffmpeg::locate().unwrap(), &path, &preparation).unwrap();
    assert_eq!((video.frames(), video.frame_rate(), video.times()), (35, FrameRate::new(5, 1).unwrap(), None));
    let expected: Vec<u64> = (0..5).map(|i| i * 6).chain(30..60).collect();
    let frames = video.next(100).unwrap().unwrap();
    assert!(frames.equal(&to_model_range(&reader.frames_at(&expected).unwrap())));
}

/// The byte range of each frame in a transport stream of 188-byte packets.
fn frames_of(stream: &[u8]) -> Vec<std::ops::Range<usize>> {
    let video = |packet: &[u8]| (u16::from(packet[1] & 0x1f) << 8 | u16::from(packet[2])) == 0x100;
    let starts: Vec<usize> = (0..stream.len() / 188)
        .filter(|&i| video(&stream[i * 188..]) && stream[i * 188 + 1] & 0x40 > 0)
        .map(|i| i * 188)
        .collect();
    starts.windows(2).map(|pair| pair[0]..pair[1]).collect()
}

#[test]
fn joined_recordings_are_intact_but_a_missing_frame_is_damage() {
    let folder = TempDir::new().unwrap();
    let part = |name: &str, more: &str| {
        run(&folder, &format!("{SCENE}:d=0.5 -c:v libx264 -bf 0 -pix_fmt yuv420p{more} -f mpegts {name}"));
        std::fs::read(folder.path().join(name)).unwrap()
    };
    let (first, second) = (part("first.ts", ""), part("second.ts", " -output_ts_offset 0.5"));
    std::fs::write(folder.path().join("joined.ts"), [&first[..], &second].concat()).unwrap();
    let reader = opened(&folder, "joined.ts");
    assert_eq!(reader.info().frames, 30);
    let notices = reader.notices();
    assert!(matches!(&notices[..], [Notice::DoubtfulLoss(doubt)] if doubt.contains("orrupt")), "{notices:?}");
    assert_eq!(opened(&folder, "first.ts").notices(), []);

    let lost = frames_of(&first)[7].clone();
    std::fs::write(folder.path().join("cut.ts"), [&first[..lost.start], &first[lost.end..]].concat()).unwrap();
    let message = VideoReader::open(&Ffmpeg::locate().unwrap(), folder.path().join("cut.ts")).unwrap_err().to_string();
    assert!(message.contains("cut.ts: cannot decode"), "{message}");
}
