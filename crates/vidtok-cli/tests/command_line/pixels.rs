//! The shape and colours of pixels and the size of frames, through the commands.

use tch::{Device, Kind, Tensor};
use vidtok_torch::write_tensors;

use super::bench::{Bench, FSQ};

/// Standard error of a successful command.
fn stderr(bench: &Bench, arguments: &[&str]) -> String {
    String::from_utf8(bench.vidtok(arguments).assert().success().get_output().stderr.clone()).unwrap()
}

/// The pixel aspect ratio and the size of a video, after rotation.
fn aspect_and_size(bench: &Bench, name: &str) -> [String; 2] {
    let listing = bench.ffmpeg(&format!("-i {name} -map 0:V:0 -frames:v 1 -f framecrc pipe:1"));
    ["#sar 0: ", "#dimensions 0: "].map(|key| listing.lines().find_map(|line| line.strip_prefix(key)).unwrap().into())
}

#[test]
fn pixels_keep_their_aspect_ratio_through_all_commands() {
    let bench = Bench::new("v1.1", FSQ);
    bench.ffmpeg("-f lavfi -i testsrc=s=32x24:r=25:d=0.2 -vf setsar=16/11 wide.mp4");
    bench.ffmpeg("-display_rotation 90 -i wide.mp4 -c copy turned.mp4");
    let model = ["--model", "model.safetensors", "--threads", "1"];
    let run = |arguments: &[&str]| stderr(&bench, &[&arguments[..1], &model, &arguments[1..]].concat());
    for (input, shape, size) in [("wide.mp4", "16/11", "32x24"), ("turned.mp4", "11/16", "24x32")] {
        run(&["reconstruct", input, "a.mp4"]);
        assert_eq!(aspect_and_size(&bench, "a.mp4"), [shape, size]);
        run(&["encode", input, "a.safetensors"]);
        run(&["decode", "a.safetensors", "b.mp4"]);
        assert_eq!(aspect_and_size(&bench, "b.mp4"), [shape, size]);
    }
    // Cropping, and resizing both sides by the same factor, keep the aspect ratio.
    run(&["reconstruct", "--height", "16", "--width", "16", "wide.mp4", "c.mp4"]);
    assert_eq!(aspect_and_size(&bench, "c.mp4"), ["16/11", "16x16"]);
}

#[test]
fn odd_sizes_are_reported_in_one_line_and_made_even_on_request() {
    let bench = Bench::new("v1.1", FSQ);
    bench.video("in.mkv", 3, [24, 32], "25");
    let model = ["reconstruct", "--model", "model.safetensors", "--threads", "1", "--width", "31", "--height", "24"];
    let run = |rest: &[&str]| stderr(&bench, &[&model, rest].concat());
    let notes = |printed: &str| printed.lines().filter(|line| line.starts_with("note: ")).count();
    let output = run(&["in.mkv", "a.mp4"]);
    assert!(notes(&output) == 1 && output.contains("31x24") && output.contains("--player-friendly"), "{output}");
    // Square pixels are stored without an aspect ratio.
    assert_eq!(aspect_and_size(&bench, "a.mp4"), ["0/1", "31x24"]);
    let output = run(&["--player-friendly", "in.mkv", "b.mp4"]);
    assert_eq!((notes(&output), aspect_and_size(&bench, "b.mp4")), (0, ["0/1", "32x24"].map(String::from)), "{output}");
}

#[test]
fn high_dynamic_range_and_interlacing_are_reported_in_one_line_and_read_as_requested() {
    let bench = Bench::new("v1.1", FSQ);
    std::fs::create_dir(bench.path("videos")).unwrap();
    let tags = "setparams=colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084:range=tv:field_mode=tff";
    for name in ["one", "two"] {
        let white = "color=s=32x24:r=25:d=0.2,format=yuv420p10le,geq=573:512:512";
        bench.ffmpeg(&format!("-f lavfi -i {white} -vf {tags} -c:v ffv1 videos/{name}.mkv"));
    }
    let model = ["--model", "model.safetensors", "--threads", "1"];
    let run = |arguments: &[&str]| stderr(&bench, &[&arguments[..1], &model, &arguments[1..]].concat());
    let notes = |printed: &str| {
        let notes: Vec<&str> = printed.lines().filter(|line| line.starts_with("note: ")).collect();
        assert!(notes.iter().all(|line| line.contains("one.mkv")), "{printed}");
        let about = |what: &str| notes.iter().filter(|line| line.contains(what)).count();
        [about("tone-mapped"), about("interlaced"), notes.len()]
    };
    let (map, keep): (&[&str], &[&str]) = (&[], &["--hdr", "keep", "--deinterlace"]);
    for (read, expected, out) in [(map, [1, 1, 2], "map"), (keep, [0, 0, 0], "keep")] {
        let [encoded, tokens, results] = ["{}.safetensors", "{}-tokens", "{}-eval"].map(|name| name.replace("{}", out));
        assert_eq!(notes(&run(&[&["encode"], read, &["videos/one.mkv", &encoded]].concat())), expected);
        assert_eq!(notes(&run(&[&["tokenize"], read, &["--data", "videos", "--out", &tokens]].concat())), expected);
        let size = ["--height", "24", "--width", "24", "--metrics", "psnr", "--no-players"];
        let evaluate = [&["evaluate"], read, &size, &["--data", "videos", "--out", &results]].concat();
        assert_eq!(
            notes(&stderr(&bench, &[&evaluate[..], &["--compare", "identity", "--threads", "1"]].concat())),
            expected
        );
    }
    assert_ne!(
        std::fs::read(bench.path("map.safetensors")).unwrap(),
        std::fs::read(bench.path("keep.safetensors")).unwrap()
    );
    // A dataset cannot be continued with other settings.
    bench.refuses(
        &["tokenize", "--model", "model.safetensors", "--hdr", "keep", "--data", "videos", "--out", "map-tokens"],
        &["map-tokens", "reading.hdr", "cut to 8 bits"],
    );
}

#[test]
fn an_invalid_pixel_aspect_ratio_is_refused_in_one_line() {
    let bench = Bench::new("v1.1", FSQ);
    let indices = Tensor::zeros([1, 1, 2, 2], (Kind::Int, Device::Cpu));
    let metadata = [("vidtok.fps", "25".to_owned()), ("vidtok.pixel_aspect", "16:0".to_owned())];
    write_tensors(&bench.path("a.safetensors"), [("indices", &indices)], metadata).unwrap();
    bench.refuses(
        &["decode", "--model", "model.safetensors", "a.safetensors", "b.mp4"],
        &["a.safetensors", "vidtok.pixel_aspect"],
    );
}
