//! What the commands preserve of many kinds of video.

use std::fs;

use tch::{Kind, Tensor};
use vidtok_torch::TensorFile;

use crate::bench::{Bench, KL};

#[test]
fn videos_keep_their_frames_rate_and_size() {
    let bench = Bench::new("v1.1", KL);
    bench.video("in.mp4", 13, [34, 50], "30000/1001");
    bench.vidtok(&["reconstruct", "--model", "model.safetensors", "in.mp4", "out.mp4"]).assert().success();
    assert_eq!(bench.info("out.mp4"), bench.info("in.mp4"));
    bench.vidtok(&["encode", "--model", "model.safetensors", "in.mp4", "z.safetensors"]).assert().success();
    bench.vidtok(&["decode", "--model", "model.safetensors", "z.safetensors", "again.mp4"]).assert().success();
    assert_eq!(bench.info("again.mp4"), bench.info("in.mp4"));
}

#[test]
fn size_rate_and_side_by_side_are_as_requested() {
    let bench = Bench::new("v1.0", KL);
    bench.video("in.mp4", 20, [48, 64], "30");
    let wanted = ["--height", "24", "--width", "20", "--fps", "10", "--side-by-side"];
    let arguments = [&["reconstruct", "--model", "model.safetensors"][..], &wanted, &["in.mp4", "out.mp4"]].concat();
    bench.vidtok(&arguments).assert().success();
    let info = bench.info("out.mp4");
    assert_eq!((info.width, info.height, info.frames), (40, 24, 7));
    assert_eq!(info.frame_rate.as_f64(), 10.0);
}

#[test]
fn a_reconstruction_keeps_sound_and_uneven_frame_times() {
    let bench = Bench::new("v1.1", KL);
    bench.uneven("in.mp4");
    let source = bench.times("in.mp4");
    assert_eq!(source[..4], [0, 60, 100, 160]);
    let reconstruct = |arguments: &[&str]| {
        let all = [&["reconstruct", "--model", "model.safetensors"][..], arguments].concat();
        bench.vidtok(&all).assert().success();
    };
    reconstruct(&["in.mp4", "out.mp4"]);
    assert_eq!(bench.times("out.mp4"), source);
    assert_eq!(bench.packets("out.mp4", "a"), bench.packets("in.mp4", "a"));
    // Every second frame keeps its time, and the sound is unchanged.
    reconstruct(&["--fps", "10", "in.mp4", "half.mp4"]);
    assert_eq!(bench.times("half.mp4"), source.iter().copied().step_by(2).collect::<Vec<_>>());
    assert_eq!(bench.packets("half.mp4", "a"), bench.packets("in.mp4", "a"));
    // WebM cannot hold AAC.
    reconstruct(&["in.mp4", "out.webm"]);
    assert_eq!(bench.times("out.webm").len(), source.len());
    let loud = |name: &str| {
        bench.ffmpeg(&format!("-i {name} -map 0:a -ac 1 -ar 1000 -f s16le raw"));
        let bytes = fs::read(bench.path("raw")).unwrap();
        bytes.chunks_exact(2).map(|two| f32::from(i16::from_le_bytes([two[0], two[1]]))).collect::<Vec<_>>()
    };
    let [before, after] = ["in.mp4", "out.webm"].map(loud);
    let length = before.len().min(after.len());
    let [x, y] = [&before, &after].map(|samples| Tensor::from_slice(&samples[..length]));
    let alike = (&x * &y).sum(Kind::Float) / (x.norm() * y.norm());
    assert!(length > 1900 && alike.double_value(&[]) > 0.95, "{length} samples, {alike:?}");
    reconstruct(&["in.mp4", "out.gif"]);
    assert_eq!(bench.times("out.gif"), source);
}

#[test]
fn encoded_clips_and_token_datasets_keep_their_frame_times() {
    let bench = Bench::new("v1.1", KL);
    fs::create_dir(bench.path("videos")).unwrap();
    bench.uneven("videos/in.mp4");
    let (model, source) = (["--model", "model.safetensors"], "videos/in.mp4");
    let run = |command: &[&str], rest: &[&str]| bench.vidtok(&[command, &model, rest].concat()).assert().success();
    run(&["encode"], &[source, "z.safetensors"]);
    run(&["decode"], &["z.safetensors", "out.mp4"]);
    run(&["tokenize"], &["--data", "videos", "--out", "tokens"]);
    run(&["detokenize"], &["--data", "tokens", "--out", "back"]);
    for name in ["out.mp4", "back/in.mp4"] {
        assert_eq!(bench.times(name), bench.times(source), "{name}");
    }
    let metadata = |key: &str| TensorFile::open(&bench.path("z.safetensors")).unwrap().metadata(key).map(str::to_owned);
    assert!(metadata("vidtok.frame_times").is_some_and(|times| times.contains("\"steps\":[[")));
    run(&["decode", "--fps", "20"], &["z.safetensors", "out.mp4"]);
    assert_eq!(bench.times("out.mp4"), (0..40).map(|n| n * 50).collect::<Vec<_>>());

    // Every second frame is shown after 100 ms.
    run(&["encode", "--fps", "10"], &[source, "z.safetensors"]);
    assert_eq!((metadata("vidtok.frame_times"), metadata("vidtok.fps")), (None, Some("10".to_owned())));
    assert_eq!(metadata("vidtok.frames"), Some("20".to_owned()));
    run(&["tokenize", "--fps", "10"], &["--data", "videos", "--out", "sampled"]);
    run(&["detokenize"], &["--data", "sampled", "--out", "back"]);
    assert_eq!(bench.times("back/in.mp4"), (0..20).map(|n| n * 100).collect::<Vec<_>>());
}

#[test]
fn rotated_and_odd_sized_videos_are_reconstructed_as_they_are_shown() {
    let bench = Bench::new("v1.0", KL);
    bench.video("plain.mp4", 6, [34, 50], "25");
    bench.ffmpeg("-display_rotation 90 -i plain.mp4 -c copy turned.mp4");
    bench.video("odd.mp4", 5, [33, 47], "25");
    for (name, size) in [("turned.mp4", [50, 34]), ("odd.mp4", [33, 47])] {
        let arguments = ["reconstruct", "--model", "model.safetensors", "--side-by-side", name, "out.mp4"];
        bench.vidtok(&arguments).assert().success();
        let (source, both) = (bench.frames(name), bench.frames("out.mp4"));
        assert_eq!(both.size(), [source.size()[0], size[0], 2 * size[1], 3], "{name}");
        let left = both.narrow(2, 0, size[1]);
        let far = (left.to_kind(Kind::Float) - source.to_kind(Kind::Float)).abs().mean(None).double_value(&[]);
        assert!(far < 6.0, "{name}: the input is {far} levels away on average");
    }
}

#[test]
fn a_folder_of_frames_is_accepted_wherever_a_video_is() {
    let bench = Bench::new("v1.0", KL);
    fs::create_dir_all(bench.path("data/frames")).unwrap();
    bench.ffmpeg("-f lavfi -i testsrc2=s=48x32:r=10:d=0.9 -c:v ffv1 -pix_fmt gbrp video.mkv");
    bench.ffmpeg("-i video.mkv data/frames/%06d.png");
    bench.ffmpeg("-i video.mkv -frames:v 1 first.png");
    fs::write(bench.path("data/notes.txt"), "").unwrap();
    let encoded = |input: &str, more: &[&str]| {
        let fixed = ["encode", "--model", "model.safetensors", input, "latent.safetensors"];
        bench.vidtok(&[&fixed[..], more].concat()).assert().success();
        let file = TensorFile::open(&bench.path("latent.safetensors")).unwrap();
        (file.tensor("latent").unwrap(), file.metadata("vidtok.fps").unwrap().to_owned())
    };
    let (video, rate) = encoded("video.mkv", &[]);
    for input in ["data/frames", "data/frames/%06d.png"] {
        let (images, same) = encoded(input, &["--frame-rate", "10"]);
        assert!(images.equal(&video) && same == rate, "{input}: {same} {rate}");
    }
    let every_second = encoded("video.mkv", &["--fps", "5"]).0;
    assert!(encoded("data/frames", &["--frame-rate", "10", "--fps", "5"]).0.equal(&every_second));
    assert_eq!(encoded("first.png", &[]).0.size()[2], 1);
    let reconstruct = ["reconstruct", "--model", "model.safetensors", "--frame-rate", "12", "data/frames", "again.mp4"];
    bench.vidtok(&reconstruct).assert().success();
    let info = bench.info("again.mp4");
    assert_eq!((info.frames, info.width, info.frame_rate.to_string()), (9, 48, "12".to_owned()));
    let metrics = ["metrics", "--metrics", "psnr"];
    for pair in
        [["data/frames", "video.mkv"], ["data/frames", "data/frames"], ["data", "data"], ["first.png", "first.png"]]
    {
        let printed = bench.vidtok(&[&metrics[..], &pair[..]].concat()).assert().success().get_output().clone();
        assert!(String::from_utf8(printed.stdout).unwrap().contains("80.000000"), "{pair:?}");
    }
    let evaluate = ["evaluate", "--compare", "identity", "--data", "data", "--height", "32", "--width", "32"];
    let printed = bench.vidtok(&[&evaluate[..], &["--metrics", "psnr", "--no-players"]].concat()).assert().success();
    let printed = String::from_utf8(printed.get_output().stdout.clone()).unwrap();
    assert!(printed.contains("left out: 1 file (.txt 1)") && printed.contains("80.00"), "{printed}");
    fs::write(bench.path("data/frames/000004.png"), "no image").unwrap();
    bench.ffmpeg("-i video.mkv -vf scale=24:16 -frames:v 1 data/small.png");
    bench.refuses(
        &["encode", "--model", "model.safetensors", "data/frames", "x.safetensors"],
        &["frames", "000004.png"],
    );
    fs::rename(bench.path("data/small.png"), bench.path("data/frames/000004.png")).unwrap();
    bench.refuses(
        &["encode", "--model", "model.safetensors", "data/frames", "x.safetensors"],
        &["000004.png: 24x16, but 000001.png is 48x32"],
    );
}
