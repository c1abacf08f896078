//! The shape, colours and fields of pixels.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use tch::{Kind, Tensor};
use tempfile::TempDir;
use vidtok_core::{FrameSink, FrameSource};
use vidtok_data::{
    Destination, Ffmpeg, Hdr, HdrTransfer, InputOptions, Notice, Preparation, PreparedVideo, ReadOptions, Timeline,
    VideoQuality, VideoReader, VideoWriter, WriteOptions,
};

use super::{run, with_timeline};

fn open(folder: &TempDir, name: &str, options: ReadOptions) -> VideoReader {
    VideoReader::open_with(&Ffmpeg::locate().unwrap(), folder.path().join(name), options).unwrap()
}

/// All frames, uint8 `[t, h, w, 3]`.
fn frames(folder: &TempDir, name: &str, options: ReadOptions) -> Tensor {
    let mut reader = open(folder, name, options);
    let count = reader.info().frames as usize;
    let all = reader.next_frames(count).unwrap().unwrap();
    assert_eq!(all.size()[0] as usize, count, "{name}");
    let last = reader.frames_at(&[count as u64 - 1]).unwrap();
    assert!(last.get(0) == all.get(count as i64 - 1), "{name}: another frame by index than in order");
    all
}

/// Copies a video and tags the copy as rotated by 90 degrees.
fn turn(folder: &TempDir, from: &str, to: &str) {
    let present = vec!["-display_rotation", "90", "-i", from, "-c", "copy", to];
    let before_6 = vec!["-i", from, "-c", "copy", "-metadata:s:v", "rotate=90", to];
    let made = [present, before_6].into_iter().any(|arguments| {
        let mut command = Command::new(Ffmpeg::locate().unwrap().program());
        command.args(["-v", "error", "-nostdin", "-y"]).args(arguments).current_dir(folder.path());
        command.output().unwrap().status.success()
    });
    assert!(made, "{to}");
}

/// The pixel shape that ffmpeg reports, after rotation.
fn aspect(folder: &TempDir, name: &str) -> String {
    let listing = run(folder, &format!("-i {name} -map 0:V:0 -frames:v 1 -f framecrc pipe:1"));
    listing.lines().find_map(|line| line.strip_prefix("#sar 0: ")).unwrap().to_owned()
}

#[test]
fn pixel_shapes_survive_in_every_container_and_under_rotation() {
    let folder = TempDir::new().unwrap();
    let wide = |shape: &str| {
        run(&folder, &format!("-f lavfi -i testsrc=s=64x48:r=25:d=0.12 -vf setsar={shape}:max=65535 in.mp4"));
    };
    // Needs more precision than the filter's default.
    wide("1919/1917");
    with_timeline(&folder, "in.mp4", "a.mp4", 1);
    assert_eq!(aspect(&folder, "a.mp4"), "1919/1917");
    wide("16/11");
    turn(&folder, "in.mp4", "turned.mp4");
    for to in ["a.mp4", "a.mov", "a.avi"] {
        with_timeline(&folder, "in.mp4", to, 1);
        assert_eq!(aspect(&folder, to), "16/11", "{to}");
        with_timeline(&folder, "turned.mp4", to, 1);
        assert_eq!(aspect(&folder, to), "11/16", "{to}, turned");
    }
    // These containers round the displayed width.
    for to in ["a.mkv", "a.webm", "a.gif"] {
        with_timeline(&folder, "in.mp4", to, 1);
        let (wide, high) = open(&folder, to, ReadOptions::default()).timeline().unwrap().pixel_aspect().ratio();
        assert!((f64::from(wide) / f64::from(high) - 16.0 / 11.0).abs() < 0.015, "{to}: {wide}:{high}");
    }
}

#[test]
fn pixel_shapes_survive_in_lossless_videos() {
    let folder = TempDir::new().unwrap();
    let timeline = Timeline::even("25".parse().unwrap()).with_pixel_aspect("11:16".parse().unwrap());
    for name in ["a.mp4", "a.webm"] {
        let (ffmpeg, file) = (Ffmpeg::locate().unwrap(), Destination::File(folder.path().join(name)));
        let mut writer =
            VideoWriter::with_timeline(&ffmpeg, file, [48, 176], &timeline, VideoQuality::Lossless).unwrap();
        writer.write(&Tensor::zeros([1, 48, 176, 3], (Kind::Uint8, tch::Device::Cpu))).unwrap();
        writer.finish().unwrap();
        assert_eq!(aspect(&folder, name), "11/16", "{name}");
    }
}

/// Writes a video of one frame of 8x8 patches, each of one colour: 10-bit Y, Cb, Cr in limited range with these `tags`.
fn fields(folder: &TempDir, name: &str, colours: &[[u16; 3]], tags: &str) {
    let row = |channel: usize| colours.iter().flat_map(move |colour| [colour[channel]; 8]).flat_map(u16::to_le_bytes);
    let pixels: Vec<u8> = (0..3).flat_map(|channel| (0..8).flat_map(move |_| row(channel))).collect();
    fs::write(folder.path().join("raw"), pixels).unwrap();
    let size = format!("-f rawvideo -pixel_format yuv444p10le -video_size {}x8", 8 * colours.len());
    run(folder, &format!("{size} -i raw -vf setparams=range=tv:{tags} -c:v ffv1 {name}"));
}

const BT2100: &str = "colorspace=bt2020nc:color_primaries=bt2020:color_trc";

/// The colours at the centres of the patches.
fn middles(frame: &Tensor) -> Vec<[u8; 3]> {
    let row = frame.get(4).slice(0, 4, None, 8);
    Vec::<u8>::try_from(row.contiguous().flatten(0, -1)).unwrap().as_chunks::<3>().0.to_vec()
}

/// The light of a PQ signal from 0 to 1, with 1,000 cd/m2 as 1 (SMPTE ST 2084).
fn pq(signal: f64) -> f64 {
    let (m1, m2) = (2610.0 / 16384.0, 2523.0 / 32.0);
    let (c1, c2, c3) = (3424.0 / 4096.0, 2413.0 / 128.0, 2392.0 / 128.0);
    let root = signal.powf(1.0 / m2);
    10.0 * ((root - c1).max(0.0) / (c2 - c3 * root)).powf(1.0 / m1)
}

/// The light of a grey HLG signal on a display of 1,000 cd/m2, as 1 (BT.2100).
fn hlg(signal: f64) -> f64 {
    let a: f64 = 0.17883277;
    let (b, c) = (1.0 - 4.0 * a, 0.5 - a * (4.0 * a).ln());
    let scene = if signal <= 0.5 { signal * signal / 3.0 } else { (((signal - c) / a).exp() + b) / 12.0 };
    scene.powf(1.2)
}

/// The byte for light (1,000 cd/m2 as 1): with reference white of 203 cd/m2 as 1, the Mobius curve from 0.85 on
/// to the peak at 1, and the inverse of BT.1886.
fn shown(light: f64) -> f64 {
    let (x, knee, peak) = (light / 0.203, 0.85, 1.0 / 0.203);
    let a = -knee * knee * (peak - 1.0) / (knee * knee - 2.0 * knee + peak);
    let b = (knee * knee - 2.0 * knee * peak + peak) / (peak - 1.0);
    let bent = (b * b + 2.0 * b * knee + knee * knee) / (b - a) * (x + a) / (x + b);
    255.0 * (if x <= knee { x } else { bent }).min(1.0).powf(1.0 / 2.4)
}

fn assert_near(found: &[[u8; 3]], expected: &[[f64; 3]], what: &str) {
    let near = |(found, expected): (&u8, &f64)| (f64::from(*found) - expected).abs() <= 1.01;
    let all = found.iter().flatten().zip(expected.iter().flatten());
    assert!(found.len() == expected.len() && all.clone().all(near), "{what}: {found:?}, expected {expected:?}");
}

#[test]
fn high_dynamic_range_is_mapped_by_the_standards() {
    let folder = TempDir::new().unwrap();
    // PQ for about 0, 5, 50, 100, 203, 400, 1,000 and 4,000 cd/m2; HLG for 0, 30, 50, 75 and 100 %.
    type Curve = (HdrTransfer, &'static str, fn(f64) -> f64, &'static [u16]);
    let curves: [Curve; 2] = [
        (HdrTransfer::Pq, "smpte2084", pq, &[64, 303, 449, 509, 573, 636, 723, 855]),
        (HdrTransfer::Hlg, "arib-std-b67", hlg, &[64, 327, 502, 721, 940]),
    ];
    for (transfer, name, light, codes) in curves {
        let colours: Vec<_> = codes.iter().map(|&code| [code, 512, 512]).collect();
        fields(&folder, "in.mkv", &colours, &format!("{BT2100}={name}"));
        let expected: Vec<_> = codes.iter().map(|&code| [shown(light((f64::from(code) - 64.0) / 876.0)); 3]).collect();
        let reader = open(&folder, "in.mkv", ReadOptions::default());
        assert_eq!(reader.notices(), [Notice::ToneMapped(transfer)]);
        let mapped = frames(&folder, "in.mkv", ReadOptions::default());
        assert_near(&middles(&mapped.get(0)), &expected, name);

        let keep = ReadOptions { hdr: Hdr::Keep, ..ReadOptions::default() };
        assert_eq!(open(&folder, "in.mkv", keep).notices(), []);
        let cut: Vec<_> = codes.iter().map(|&code| [(f64::from(code) - 64.0) / 876.0 * 255.0; 3]).collect();
        assert_near(&middles(&frames(&folder, "in.mkv", keep).get(0)), &cut, name);
    }
    // Reference white: 203 cd/m2 in PQ, 75 % in HLG.
    for light in [pq(509.0 / 876.0), hlg(0.75)] {
        assert!((light - 0.203).abs() < 0.002 && (245.0..=255.0).contains(&shown(light)), "{light}");
    }
}

#[test]
fn wide_gamut_colours_are_converted_to_bt709() {
    let folder = TempDir::new().unwrap();
    // Linear BT.709 light, in units of reference white, below the knee of the curve.
    let light = [[0.5, 0.1, 0.1], [0.1, 0.5, 0.2], [0.05, 0.1, 0.6]];
    // From BT.709 to BT.2020 (BT.2087).
    let wide = [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]];
    let signal = |light: f64| {
        let (m1, m2) = (2610.0 / 16384.0, 2523.0 / 32.0);
        let (c1, c2, c3) = (3424.0 / 4096.0, 2413.0 / 128.0, 2392.0 / 128.0);
        let power = (light * 0.0203_f64).powf(m1);
        ((c1 + c2 * power) / (1.0 + c3 * power)).powf(m2)
    };
    let codes: Vec<_> = light
        .iter()
        .map(|colour| {
            let [r, g, b] = wide.map(|row| signal((0..3).map(|i| row[i] * colour[i]).sum::<f64>()));
            let y = 0.2627 * r + 0.6780 * g + 0.0593 * b;
            let [u, v] = [(b - y) / 1.8814, (r - y) / 1.4746];
            [64.0 + 876.0 * y, 512.0 + 896.0 * u, 512.0 + 896.0 * v].map(|code| code.round() as u16)
        })
        .collect();
    let expected = light.map(|colour| colour.map(|light| 255.0 * light.powf(1.0 / 2.4)));
    // Matrix and primaries may be untagged.
    for tags in [format!("{BT2100}=smpte2084"), "color_trc=smpte2084".to_owned()] {
        fields(&folder, "in.mkv", &codes, &tags);
        let found = middles(&frames(&folder, "in.mkv", ReadOptions::default()).get(0));
        let near = |(found, expected): (&u8, &f64)| (f64::from(*found) - expected).abs() <= 3.0;
        assert!(found.iter().flatten().zip(expected.iter().flatten()).all(near), "{found:?}, expected {expected:?}");
    }
}

#[test]
fn reading_in_order_and_by_index_map_tones_alike() {
    let folder = TempDir::new().unwrap();
    fields(&folder, "in.mkv", &[[573, 512, 512], [449, 480, 530]], &format!("{BT2100}=smpte2084"));
    for (hdr, white) in [(Hdr::ToneMap, 247.0), (Hdr::Keep, 148.0)] {
        let input = InputOptions { read: ReadOptions { hdr, ..ReadOptions::default() }, ..InputOptions::default() };
        let preparation = Preparation { input, ..Preparation::default() };
        let path = folder.path().join("in.mkv");
        let mut video = PreparedVideo::open(&Ffmpeg::locate().unwrap(), &path, &preparation).unwrap();
        let clip = (video.next(1).unwrap().unwrap() + 1.0) * 127.5;
        let expected = frames(&folder, "in.mkv", preparation.input.read).permute([3, 0, 1, 2]).unsqueeze(0);
        assert!((&clip - expected).abs().max().double_value(&[]) < 1e-3);
        assert!((clip.double_value(&[0, 0, 0, 4, 4]) - white).abs() <= 1.0);
        assert_eq!(video.notices().is_empty(), hdr == Hdr::Keep);
    }
}

#[test]
fn high_dynamic_range_of_odd_size_or_in_rgb_is_mapped() {
    let folder = TempDir::new().unwrap();
    let white = "-f lavfi -i color=white:s=33x25:d=0.04:r=25 -vf format=gbrpf32le,zscale=tin=linear:pin=bt709:min=gbr:\
                 t=smpte2084:p=bt2020:npl=203";
    let half = "zscale=m=bt2020nc:r=tv:w=34:h=26,format=yuv420p10le,crop=33:25:exact=1 -c:v ffv1 half.mkv";
    run(&folder, &format!("{white},{half}"));
    run(&folder, &format!("{white}:r=full,format=gbrp10le -c:v ffv1 rgb.mkv"));
    for name in ["half.mkv", "rgb.mkv"] {
        assert!(!open(&folder, name, ReadOptions::default()).notices().is_empty(), "{name}");
        let found = frames(&folder, name, ReadOptions::default()).to_kind(Kind::Float);
        let far = (found - shown(0.203)).abs().max().double_value(&[]);
        assert!(far <= 2.0, "{name}: off by {far}");
    }
}

#[test]
fn without_a_tone_mapper_the_signal_is_cut_with_a_notice() {
    let folder = TempDir::new().unwrap();
    fields(&folder, "in.mkv", &[[573, 512, 512]], &format!("{BT2100}=smpte2084"));
    let real = Ffmpeg::locate().unwrap();
    let program = folder.path().join("plain-ffmpeg");
    let refuse = "case \"$*\" in *zscale*|*libplacebo*) exit 1;; esac";
    fs::write(&program, format!("#!/bin/sh\n{refuse}\nexec '{}' \"$@\"\n", real.program().display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    // Children of other tests may hold the file open for writing between fork and exec.
    let plain = (0..1000).find_map(|_| Ffmpeg::at(&program).ok()).unwrap();

    let mut reader = VideoReader::open(&plain, folder.path().join("in.mkv")).unwrap();
    assert_eq!(reader.notices(), [Notice::NoToneMapper(HdrTransfer::Pq)]);
    assert_near(&middles(&reader.next_frames(1).unwrap().unwrap().get(0)), &[[148.2; 3]], "cut");
    let keep = ReadOptions { hdr: Hdr::Keep, ..ReadOptions::default() };
    assert_eq!(plain.reading(ReadOptions::default()), real.reading(keep));
    assert_ne!(real.reading(ReadOptions::default()), real.reading(keep));
}

/// Writes a 32x32 video at 25 frames per second in which each field is 8 grey levels brighter than the one before.
fn interlaced(folder: &TempDir, name: &str, count: usize, top_first: bool, options: &str) {
    let grey = |field: usize| 20 + 8 * field as u8;
    let frame =
        |frame: usize| (0..32).flat_map(move |row| [grey(2 * frame + usize::from((row % 2 == 0) != top_first)); 32]);
    let pixels: Vec<u8> = (0..count).flat_map(frame).collect();
    fs::write(folder.path().join("raw"), pixels).unwrap();
    let input = "-f rawvideo -pixel_format gray -video_size 32x32 -framerate 25 -i raw";
    run(folder, &format!("{input} {options} {name}"));
}

#[test]
fn deinterlacing_is_optional_and_drops_no_frame() {
    let folder = TempDir::new().unwrap();
    let apart = ReadOptions { deinterlace: true, ..ReadOptions::default() };
    // The order of fields is flagged by frames, or by the container alone.
    let h264 = |order: &str| {
        format!("-vf format=yuv420p,setfield={order} -c:v libx264 -qp 0 -flags +ildct+ilme -x264-params {order}=1")
    };
    let container = |order: &str| format!("-vf format=yuv420p,setfield={order} -c:v utvideo");
    for (name, count, top_first, options) in [
        ("top.mkv", 10, true, h264("tff")),
        ("bottom.mkv", 10, false, h264("bff")),
        ("top-stream.mkv", 10, true, container("tff")),
        ("bottom-stream.mkv", 10, false, container("bff")),
        ("two.mkv", 2, true, h264("tff")),
        ("one.mkv", 1, true, h264("tff")),
    ] {
        interlaced(&folder, name, count, top_first, &options);
        assert_eq!(open(&folder, name, ReadOptions::default()).notices(), [Notice::Interlaced], "{name}");
        assert_eq!(open(&folder, name, apart).notices(), [], "{name}");
        // The difference between neighbouring rows.
        let combed = |frames: &Tensor| {
            let rows = frames.to_kind(Kind::Float).narrow(1, 8, 16);
            (rows.amax([1], false) - rows.amin([1], false)).amax([1, 2], false)
        };
        let woven = frames(&folder, name, ReadOptions::default());
        assert!(combed(&woven).min().double_value(&[]) >= 6.0, "{name}");
        let whole = frames(&folder, name, apart);
        assert_eq!(whole.size(), woven.size(), "{name}");
        if count == 10 {
            let inner = |frames: &Tensor| frames.narrow(0, 1, 8);
            assert!(combed(&inner(&whole)).max().double_value(&[]) <= 1.0, "{name}: {:?}", whole.select(2, 0));
            // The first field in time remains.
            let first = inner(&woven).slice(1, i64::from(!top_first), None, 2);
            let kept = inner(&whole).slice(1, i64::from(!top_first), None, 2);
            assert!(first == kept, "{name}");
        }
        let reader = open(&folder, name, apart);
        let all: Vec<u64> = (0..count as u64).step_by(3).collect();
        let positions: Vec<i64> = all.iter().map(|&frame| frame as i64).collect();
        assert!(reader.frames_at(&all).unwrap() == whole.index_select(0, &Tensor::from_slice(&positions)), "{name}");
    }
    interlaced(&folder, "progressive.mkv", 2, true, "-vf format=yuv420p,setfield=prog -c:v libx264 -qp 0");
    assert_eq!(open(&folder, "progressive.mkv", ReadOptions::default()).notices(), []);
    let whole = frames(&folder, "progressive.mkv", apart);
    assert!(whole == frames(&folder, "progressive.mkv", ReadOptions::default()), "whole frames were changed");
}

#[test]
fn rotated_interlaced_video_is_not_deinterlaced() {
    let folder = TempDir::new().unwrap();
    let options = "-vf format=yuv420p,setfield=tff -c:v libx264 -qp 0 -flags +ildct+ilme -x264-params tff=1";
    interlaced(&folder, "in.mp4", 3, true, options);
    turn(&folder, "in.mp4", "turned.mp4");
    assert_eq!(frames(&folder, "turned.mp4", ReadOptions::default()).size()[0], 3);
    let mut reader = open(&folder, "turned.mp4", ReadOptions { deinterlace: true, ..ReadOptions::default() });
    let message = reader.next_frames(1).unwrap_err().to_string();
    assert!(message.contains("turned.mp4") && message.contains("deinterlace"), "{message}");
}

#[test]
fn untagged_videos_are_bt709_or_bt601_by_their_stored_rows() {
    let folder = TempDir::new().unwrap();
    // 1 is BT.709, 6 BT.601.
    for (size, turned, matrix, other) in
        [("32x720", false, 1, 6), ("32x718", false, 6, 1), ("720x32", true, 6, 1), ("32x720", true, 1, 6)]
    {
        run(&folder, &format!("-f lavfi -i testsrc2=s={size}:r=25:d=0.04 -c:v libx264 -pix_fmt yuv420p flat.mp4"));
        let read = |name: &str, tag: &str| {
            run(&folder, &format!("-i flat.mp4 -c copy {tag} tagged.mp4"));
            if turned {
                turn(&folder, "tagged.mp4", name);
            } else {
                fs::rename(folder.path().join("tagged.mp4"), folder.path().join(name)).unwrap();
            }
            open(&folder, name, ReadOptions::default()).next_frames(1).unwrap().unwrap()
        };
        let tag = |matrix: i32| format!("-bsf:v h264_metadata=matrix_coefficients={matrix}");
        let (untagged, right) = (read("untagged.mp4", "-map 0"), read("right.mp4", &tag(matrix)));
        let wrong = read("wrong.mp4", &tag(other));
        assert!(untagged == right && untagged != wrong, "{size}, turned: {turned}");
    }
}

#[test]
fn odd_sizes_give_a_notice_or_are_made_even_for_players() {
    let folder = TempDir::new().unwrap();
    let ffmpeg = Ffmpeg::locate().unwrap();
    let source = vidtok_data::Scene::new(3).frames(&[0.0, 0.1], [33, 47]);
    let rate = "25".parse().unwrap();
    let stored = |name: &str| run(&folder, &format!("-i {name} -f framecrc -c:v rawvideo pipe:1"));
    for (name, friendly) in [("a.mp4", true), ("b.mp4", false), ("a.webm", true), ("b.webm", false)] {
        let options = WriteOptions { player_friendly: friendly, ..WriteOptions::default() };
        let mut writer = VideoWriter::create(&ffmpeg, folder.path().join(name), [33, 47], rate, options).unwrap();
        let notices = if friendly { vec![] } else { vec![Notice::FullChroma([33, 47])] };
        assert_eq!(writer.notices(), notices, "{name}");
        writer.write(&source).unwrap();
        writer.finish().unwrap();
        let listing = stored(name);
        // Bytes per frame: 4:2:0 takes half of 4:4:4.
        let bytes = if friendly { 34 * 48 * 3 / 2 } else { 33 * 47 * 3 };
        assert!(listing.contains(&format!(" {bytes}, 0x")), "{name}: {listing}");
        let back = frames(&folder, name, ReadOptions::default()).to_kind(Kind::Float);
        let cut = back.narrow(1, 0, 33).narrow(2, 0, 47);
        assert!((cut - source.to_kind(Kind::Float)).abs().mean(Kind::Float).double_value(&[]) < 6.0, "{name}");
        if friendly {
            assert_eq!(back.size(), [2, 34, 48, 3]);
            let doubled = (back.narrow(1, 33, 1) - back.narrow(1, 32, 1)).abs().mean(Kind::Float).double_value(&[]);
            assert!(doubled < 6.0, "{name}: the last row is another by {doubled}");
        }
    }
    // Even sizes and lossless videos give no notice.
    for (name, size, options) in [
        ("c.mp4", [32, 48], WriteOptions::default()),
        ("c.gif", [33, 47], WriteOptions::default()),
        ("d.mp4", [33, 47], WriteOptions::from(VideoQuality::Lossless)),
    ] {
        let writer = VideoWriter::create(&ffmpeg, folder.path().join(name), size, rate, options).unwrap();
        assert_eq!(writer.notices(), [], "{name}");
    }
}
