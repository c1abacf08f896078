//! The `vidtok` program from outside.

#![allow(clippy::unwrap_used)] // a failure here is what the test is for

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};
use vidtok_data::Ffmpeg;
use vidtok_torch::{TensorFile, write_tensors};

mod bench;
mod picture;

use bench::{Bench, FSQ, KL, random_video, repository, vidtok};

#[test]
fn info_counts_the_published_models_parameters() {
    let config = repository("configs/vidtok_kl_causal_488_4chn.toml");
    let output = vidtok(&["info", "--config", &config]).assert().success().get_output().clone();
    assert!(String::from_utf8(output.stdout).unwrap().contains("157,451,663"));
}

#[test]
fn tensors_are_encoded_and_decoded_to_their_own_shape() {
    for (causality, quantizer, tensor) in
        [("v1.0", KL, "latent"), ("v1.1", FSQ, "indices"), ("noncausal", FSQ, "indices")]
    {
        let bench = Bench::new(causality, quantizer);
        let video = random_video([2, 3, 18, 9, 12]);
        write_tensors(&bench.path("x.safetensors"), [("video", &video)], []).unwrap();
        bench.vidtok(&["encode", "--model", "model.safetensors", "x.safetensors", "z.safetensors"]).assert().success();
        bench.vidtok(&["decode", "--model", "model.safetensors", "z.safetensors", "y.safetensors"]).assert().success();
        let encoded = TensorFile::open(&bench.path("z.safetensors")).unwrap();
        assert!(encoded.contains(tensor), "{:?}", encoded.names());
        assert_eq!(encoded.metadata("vidtok.frames"), Some("18"));
        assert_eq!(encoded.metadata("vidtok.size"), Some("12x9"));
        let decoded = TensorFile::open(&bench.path("y.safetensors")).unwrap().tensor("video").unwrap();
        assert_eq!(decoded.size(), video.size());
        bench
            .vidtok(&["reconstruct", "--model", "model.safetensors", "x.safetensors", "r.safetensors"])
            .assert()
            .success();
        let reconstructed = TensorFile::open(&bench.path("r.safetensors")).unwrap().tensor("video").unwrap();
        assert!(reconstructed.allclose(&decoded, 1e-5, 1e-5, false), "{causality}");
    }
}

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
fn size_rate_and_side_by_side_are_as_asked_for() {
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
fn a_converted_model_says_where_it_came_from_and_gives_the_same_numbers() {
    let bench = Bench::new("v1.0", KL);
    bench.vidtok(&["convert", "model.safetensors", "half.safetensors", "--dtype", "f16"]).assert().success();
    let output = bench.vidtok(&["info", "--model", "half.safetensors"]).assert().success().get_output().clone();
    assert!(String::from_utf8(output.stdout).unwrap().contains("converted from model.safetensors"));
    write_tensors(&bench.path("x.safetensors"), [("video", &random_video([1, 3, 3, 8, 8]))], []).unwrap();
    let latent = |model: &str| {
        bench.vidtok(&["encode", "--model", model, "x.safetensors", "z.safetensors"]).assert().success();
        TensorFile::open(&bench.path("z.safetensors")).unwrap().tensor("latent").unwrap()
    };
    assert!(latent("half.safetensors").allclose(&latent("model.safetensors"), 1e-2, 1e-2, false));
}

#[test]
fn training_leaves_a_model_a_log_and_pictures() {
    let bench = Bench::new("v1.0", KL);
    bench.vidtok(&["train", "--config", "tiny.toml"]).assert().success();
    let run = bench.path("runs/tiny_kl");
    // 3 steps, and a validation before and after.
    assert_eq!(fs::read_to_string(run.join("log.jsonl")).unwrap().lines().count(), 5);
    let files = ["config.toml", "summary.json", "curves.svg", "curves.png", "validation/step-00000003.png"];
    for file in files {
        assert!(fs::metadata(run.join(file)).unwrap().len() > 0, "{file}");
    }
    assert_eq!(bench.info("runs/tiny_kl/side_by_side.mp4").frames, 75);
    bench.vidtok(&["info", "--model", "runs/tiny_kl/model.safetensors"]).assert().success();
}

#[test]
fn damaged_and_foreign_model_files_are_refused_in_one_line() {
    let bench = Bench::new("v1.0", KL);
    let whole = fs::read(bench.path("model.safetensors")).unwrap();
    fs::write(bench.path("cut.safetensors"), &whole[..whole.len() / 2]).unwrap();
    fs::write(bench.path("empty.safetensors"), "").unwrap();
    fs::write(bench.path("empty.ckpt"), "").unwrap();
    fs::write(bench.path("text.pt"), "no model").unwrap();
    fs::write(bench.path("text.safetensors"), "no model").unwrap();
    write_tensors(&bench.path("other.safetensors"), [("x", &random_video([1, 3, 1, 1, 1]))], []).unwrap();
    fs::copy(repository("crates/vidtok/src/checkpoint/testdata/hostile.ckpt"), bench.path("hostile.ckpt")).unwrap();

    let weights = |file| vec!["convert", "--config", "tiny.toml", file, "out.safetensors"];
    for file in ["cut.safetensors", "empty.safetensors", "empty.ckpt", "text.pt", "text.safetensors", "absent.ckpt"] {
        bench.refuses(&weights(file), &[file]);
    }
    bench.refuses(&weights("other.safetensors"), &["missing", "unexpected", "encoder"]);
    bench.refuses(&weights("hostile.ckpt"), &["hostile.ckpt", "posix.system"]);
    bench.refuses(&["info", "--model", "other.safetensors"], &["other.safetensors", "convert"]);
    bench.refuses(&["convert", "model.safetensors", "out.bin"], &["out.bin", ".safetensors"]);
}

#[test]
fn damaged_and_foreign_inputs_are_refused_in_one_line() {
    let bench = Bench::new("v1.0", KL);
    let video = bench.video("whole.mp4", 12, [32, 32], "10");
    let whole = fs::read(video).unwrap();
    fs::write(bench.path("cut.mp4"), &whole[..whole.len() * 2 / 3]).unwrap();
    fs::write(bench.path("text.mp4"), "This is no video.\n").unwrap();
    fs::write(bench.path("empty.mp4"), "").unwrap();
    write_tensors(&bench.path("other.safetensors"), [("x", &random_video([1, 3, 1, 1, 1]))], []).unwrap();
    write_tensors(&bench.path("flat.safetensors"), [("video", &Tensor::from(1.0_f32))], []).unwrap();
    for file in ["cut.mp4", "text.mp4", "empty.mp4", "absent.mp4", "other.safetensors", "flat.safetensors"] {
        bench.refuses(&["encode", "--model", "model.safetensors", file, "z.safetensors"], &[file]);
        bench.refuses(&["reconstruct", "--model", "model.safetensors", file, "y.safetensors"], &[file]);
    }
    bench.refuses(&["decode", "--model", "model.safetensors", "other.safetensors", "y.mp4"], &["other.safetensors"]);
    bench.refuses(&["decode", "--model", "model.safetensors", "model.safetensors", "y.mp4"], &["no encoded clip"]);
}

#[test]
fn encoded_clips_that_make_no_sense_are_refused_in_one_line() {
    let bench = Bench::new("v1.0", FSQ);
    let int = |value: i64, shape: &[i64]| Tensor::full(shape, value, (Kind::Int, Device::Cpu));
    let wrong = [
        ("rank", "indices", int(0, &[4]), ""),
        ("none", "indices", int(0, &[1, 0, 4, 4]), ""),
        ("code", "indices", int(512, &[1, 2, 4, 4]), ""),
        ("kind", "indices", random_video([1, 3, 2, 4, 4]), ""),
        ("other", "latent", random_video([1, 3, 2, 4, 4]), ""),
        ("padding", "indices", int(0, &[1, 2, 4, 4]), "front=1000 bottom=0 right=0"),
        ("text", "indices", int(0, &[1, 2, 4, 4]), "much"),
    ];
    for (name, tensor, value, padding) in wrong {
        let file = format!("{name}.safetensors");
        let metadata = (!padding.is_empty()).then(|| ("vidtok.padding", padding.to_owned()));
        write_tensors(&bench.path(&file), [(tensor, &value)], metadata).unwrap();
        bench.refuses(&["decode", "--model", "model.safetensors", &file, "y.safetensors"], &[&file]);
    }
}

#[test]
fn outputs_that_cannot_be_written_are_refused_before_the_work() {
    let bench = Bench::new("v1.0", KL);
    write_tensors(&bench.path("x.safetensors"), [("video", &random_video([1, 3, 3, 8, 8]))], []).unwrap();
    for command in ["encode", "reconstruct"] {
        bench.refuses(&[command, "--model", "model.safetensors", "x.safetensors", "no/y.safetensors"], &["no/y"]);
    }
    bench.refuses(&["reconstruct", "--model", "model.safetensors", "x.safetensors", "y.mp4"], &["--fps"]);
    bench.refuses(&["reconstruct", "--model", "model.safetensors", "--fps", "5", "x.safetensors", "y.doc"], &["y.doc"]);
}

#[test]
fn a_tensor_becomes_a_video_of_the_rate_asked_for() {
    let bench = Bench::new("v1.0", KL);
    write_tensors(&bench.path("x.safetensors"), [("video", &random_video([1, 3, 5, 16, 16]))], []).unwrap();
    let arguments = ["reconstruct", "--model", "model.safetensors", "--fps", "5", "x.safetensors", "y.mp4"];
    bench.vidtok(&arguments).assert().success();
    let info = bench.info("y.mp4");
    assert_eq!((info.frames, info.frame_rate.as_f64()), (5, 5.0));
}

#[test]
fn wrong_configurations_are_refused_in_one_line() {
    let bench = Bench::new("v1.0", KL);
    let good = fs::read_to_string(bench.path("tiny.toml")).unwrap();
    fs::write(bench.path("unknown.toml"), good.replace("ch = 8", "ch = 8\nchannels = 8")).unwrap();
    fs::write(bench.path("none.toml"), good.replace("ch = 8", "ch = 0")).unwrap();
    fs::write(bench.path("text.toml"), "no toml").unwrap();
    fs::write(bench.path("files.csv"), "files\na.mp4\n").unwrap();
    let table = "folder = \".\"\ntable = \"files.csv\"\nscenes = 1";
    fs::write(bench.path("table.toml"), good.replace("scenes = 1", table)).unwrap();

    bench.refuses(&["info", "--config", "unknown.toml"], &["unknown.toml", "channels"]);
    bench.refuses(&["info", "--config", "none.toml"], &["model.ch"]);
    bench.refuses(&["info", "--config", "text.toml"], &["text.toml"]);
    bench.refuses(&["info", "--config", "absent.toml"], &["absent.toml"]);
    bench.refuses(&["info", "--config", "tiny.toml", "--set", "model.depth=1"], &["depth"]);
    bench.refuses(&["train", "--config", "table.toml"], &["files.csv", "videos"]);
    bench.refuses(&["train", "--config", "tiny.toml", "--set", "train.optimizer.lr=0"], &["optimizer.lr"]);
}

#[test]
fn wrong_usage_ends_with_status_two() {
    for arguments in [&["encode"][..], &["encode", "--device", "gpu", "a", "b"], &["fly"], &["info"]] {
        vidtok(arguments).assert().code(2);
    }
}

#[test]
fn pixels_of_another_range_are_refused_or_doubted_in_one_line() {
    let bench = Bench::new("v1.0", KL);
    let unit = Tensor::rand([1, 3, 3, 8, 8], (Kind::Float, Device::Cpu));
    for (name, video) in [("unit", &unit), ("bytes", &(&unit * 255.0)), ("nan", &(&unit * f64::NAN))] {
        write_tensors(&bench.path(&format!("{name}.safetensors")), [("video", video)], []).unwrap();
    }
    let bytes = ["bytes.safetensors", "expected pixels in [-1, 1], found values from 0.", "x / 127.5 - 1"];
    bench.refuses(&["reconstruct", "--model", "model.safetensors", "bytes.safetensors", "z.safetensors"], &bytes);
    let nan = ["nan.safetensors", "found NaN or infinity"];
    bench.refuses(&["encode", "--model", "model.safetensors", "nan.safetensors", "z.safetensors"], &nan);
    let mut doubted = bench.vidtok(&["encode", "--model", "model.safetensors", "unit.safetensors", "z.safetensors"]);
    let said = String::from_utf8(doubted.assert().success().get_output().stderr.clone()).unwrap();
    assert!(said.starts_with("warning: unit.safetensors: all values are in [0, 1]"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn wrapped_checkpoints_are_converted_and_a_nan_in_one_is_named() {
    let bench = Bench::new("v1.0", KL);
    let tensors = TensorFile::open(&bench.path("model.safetensors")).unwrap().tensors().unwrap();
    let names: Vec<String> = tensors.keys().map(|key| format!("module._orig_mod.{key}")).collect();
    let write = |file: &str, values: &[&Tensor]| {
        let named = names.iter().map(String::as_str).zip(values.iter().copied());
        write_tensors(&bench.path(file), named, []).unwrap();
    };
    let mut values: Vec<&Tensor> = tensors.values().collect();
    write("wrapped.safetensors", &values);
    let convert = |file| ["convert", "--config", "tiny.toml", file, "out.safetensors"];
    let output = bench.vidtok(&convert("wrapped.safetensors")).assert().success().get_output().clone();
    let said = String::from_utf8(output.stderr).unwrap();
    let expected = format!("was left out of {} keys", names.len());
    assert!(said.starts_with("wrapped.safetensors: \"module.\"") && said.contains(&expected), "{said}");
    let converted = TensorFile::open(&bench.path("out.safetensors")).unwrap().tensors().unwrap();
    assert!(tensors.keys().eq(converted.keys()) && tensors.iter().all(|(key, value)| converted[key].equal(value)));

    fs::remove_file(bench.path("out.safetensors")).unwrap();
    let faulty = values[0] * f64::NAN;
    values[0] = &faulty;
    // Without the wrappers, of which a line would be said.
    let named = tensors.keys().map(String::as_str).zip(values.iter().copied());
    write_tensors(&bench.path("nan.safetensors"), named, []).unwrap();
    let first = tensors.keys().next().unwrap();
    bench.refuses(&convert("nan.safetensors"), &["nan.safetensors: 1 of the model's parameters hold NaN", first]);
}

#[test]
fn two_videos_and_two_folders_are_measured() {
    let bench = Bench::new("v1.0", KL);
    for folder in ["a", "b"] {
        fs::create_dir(bench.path(folder)).unwrap();
        bench.video(&format!("{folder}/x.mp4"), 20, [32, 48], "25");
    }
    bench.video("small.mp4", 4, [8, 48], "25");
    bench.video("short.mp4", 19, [32, 48], "25");
    for pair in [["a/x.mp4", "b/x.mp4"], ["a", "b"]] {
        let said = bench.vidtok(&["metrics", pair[0], pair[1], "--metrics", "psnr,ssim,seam"]).assert().success();
        let said = String::from_utf8(said.get_output().stdout.clone()).unwrap();
        let values: Vec<&str> = said.split_whitespace().collect();
        assert_eq!(values, ["PSNR", "80.000000", "SSIM", "1.000000", "Seam", "1.000000"]);
    }
    bench.refuses(&["metrics", "a/x.mp4", "short.mp4"], &["20 frames of 48x32", "19 frames of 48x32"]);
    bench.refuses(&["metrics", "small.mp4", "small.mp4"], &["ssim", "at least 11"]);
    bench.refuses(&["metrics", "a", "short.mp4"], &["a is a folder"]);
    bench.refuses(&["metrics", "a", "b", "--metrics", "beauty"], &["metric: expected psnr", "\"beauty\""]);
    fs::rename(bench.path("b/x.mp4"), bench.path("b/y.mp4")).unwrap();
    bench.refuses(&["metrics", "a", "b"], &["x.mp4 is in a but not in b"]);
    fs::create_dir(bench.path("empty")).unwrap();
    bench.refuses(&["metrics", "a", "empty"], &["empty: no videos"]);
}

#[test]
fn a_folder_of_frames_is_an_input_wherever_a_video_is() {
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
        let said = bench.vidtok(&[&metrics[..], &pair[..]].concat()).assert().success().get_output().clone();
        assert!(String::from_utf8(said.stdout).unwrap().contains("80.000000"), "{pair:?}");
    }
    let evaluate = ["evaluate", "--compare", "identity", "--data", "data", "--height", "32", "--width", "32"];
    let said = bench.vidtok(&[&evaluate[..], &["--metrics", "psnr", "--no-players"]].concat()).assert().success();
    let said = String::from_utf8(said.get_output().stdout.clone()).unwrap();
    assert!(said.contains("left out: 1 file (.txt 1)") && said.contains("80.00"), "{said}");
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

#[test]
fn a_model_is_evaluated_beside_baselines() {
    let bench = Bench::new("v1.0", FSQ);
    fs::create_dir(bench.path("data")).unwrap();
    bench.video("data/x.mp4", 20, [32, 48], "30");
    let evaluate = |more: &[&str]| {
        let fixed = ["evaluate", "--data", "data", "--height", "32", "--width", "32", "--metrics", "psnr,flicker,seam"];
        bench.vidtok(&[&fixed[..], more].concat())
    };
    let said = evaluate(&["--model", "model.safetensors", "--compare", "jpeg:50"]).assert().success();
    let said = String::from_utf8(said.get_output().stdout.clone()).unwrap();
    assert!(said.contains("tiny_fsq") && said.contains("jpeg:50") && said.contains("codes in"), "{said}");
    for file in ["evaluation.json", "videos.csv", "report.html"] {
        assert!(bench.path("evaluation").join(file).is_file(), "{file}");
    }
    let json = fs::read_to_string(bench.path("evaluation/evaluation.json")).unwrap();
    assert!(json.contains("weights_sha256") && json.contains("\"window\": 17"));
    // One that cannot be read, whose name would clear the screen.
    fs::write(bench.path("data/bad\u{1b}[2J.mp4"), "no video").unwrap();
    let output =
        evaluate(&["--model", "model.safetensors", "--compare", "jpeg:50"]).assert().code(3).get_output().clone();
    let [said, complained] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(
        said.contains("only 1 of 2 videos were measured") && said.contains("not measured: bad\\u{1b}[2J.mp4: "),
        "{said}"
    );
    assert!(complained.ends_with("warning: all numbers are of 1 videos, not of the 2 asked for\n"), "{complained}");
    assert!(!said.contains('\u{1b}') && !complained.contains('\u{1b}'), "{complained}");
    let json = fs::read_to_string(bench.path("evaluation/evaluation.json")).unwrap();
    assert!(json.contains("\"asked\": 2") && json.contains("\"measured\": 1"), "{json}");
    for (more, word) in
        [(&["--compare", "jpeg:0"][..], "1 to 100"), (&[], "nothing to evaluate"), (&["--compare", "x"], "no codec")]
    {
        let output = evaluate(more).assert().failure().get_output().clone();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(word), "{error}");
    }
}

/// A program that answers as ffmpeg does, and otherwise does this.
fn false_ffmpeg(bench: &Bench, script: &str) -> PathBuf {
    let path = bench.path("ffmpeg.sh");
    let program = Ffmpeg::locate().unwrap().program().display().to_string();
    let script = format!("#!/bin/sh\nreal='{program}'\n[ \"$1\" = -version ] && exec \"$real\" -version\n{script}\n");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_killed_decoder_ends_an_evaluation_without_results_and_the_same_command_goes_on() {
    let bench = Bench::new("v1.0", FSQ);
    fs::create_dir(bench.path("data")).unwrap();
    for name in ["data/a.mp4", "data/b.mp4"] {
        bench.video(name, 5, [32, 32], "30");
    }
    let ffmpeg = false_ffmpeg(&bench, "case \"$*\" in *b.mp4*) kill -9 $$;; esac; exec \"$real\" \"$@\"");
    let evaluate = || {
        let arguments = ["evaluate", "--data", "data", "--compare", "identity", "--metrics", "psnr", "--no-players"];
        bench.vidtok(&[&arguments[..], &["--height", "32", "--width", "32"]].concat())
    };
    let output = evaluate().env("VIDTOK_FFMPEG", ffmpeg).assert().code(1).get_output().clone();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("error: ") && said.contains("killed") && said.lines().count() == 1, "{said}");
    assert!(!bench.path("evaluation/evaluation.json").exists());
    evaluate().assert().success();
    let json = fs::read_to_string(bench.path("evaluation/evaluation.json")).unwrap();
    assert!(json.contains("\"measured\": 2"), "{json}");
}

fn signal(name: &str, child: &Child) {
    assert!(std::process::Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// Waits until something holds, which fails if it does not for long.
fn wait_until(holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_signal_ends_commands_that_wait_for_ffmpeg_with_a_status_and_a_line_and_leaves_nothing() {
    let bench = Bench::new("v1.0", FSQ);
    fs::create_dir(bench.path("data")).unwrap();
    bench.video("data/a.mp4", 5, [32, 32], "30");
    // Each stalls under a number of its own.
    let ffmpeg = false_ffmpeg(&bench, "echo $$ > \"$STARTED\"; exec sleep 600");
    let model = ["--model", "model.safetensors"];
    let commands: [(&[&str], &str); 4] = [
        (&["encode", model[0], model[1], "data/a.mp4", "z.safetensors"], "starts anew"),
        (&["reconstruct", model[0], model[1], "data/a.mp4", "-"], "starts anew"),
        (&["evaluate", "--compare", "identity", "--metrics", "psnr", "--data", "data"], "goes on"),
        (&["tokenize", model[0], model[1], "--data", "data", "--out", "tokens"], "goes on"),
    ];
    let before = bench.files();
    for (place, (arguments, go_on)) in commands.into_iter().enumerate() {
        let (name, status) = [("INT", 130), ("TERM", 143)][place % 2];
        let started = bench.path(&format!("started{place}"));
        let child = std::process::Command::new(env!("CARGO_BIN_EXE_vidtok"))
            .args(arguments)
            .current_dir(bench.folder.path())
            .env("VIDTOK_FFMPEG", &ffmpeg)
            .env("STARTED", &started)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stalled = || fs::read_to_string(&started).ok().and_then(|text| text.trim().parse::<u32>().ok());
        wait_until(|| stalled().is_some());
        signal(&format!("-{name}"), &child);
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
        assert!(said.starts_with(&format!("stopped by SIG{name}; ")) && said.contains(go_on), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        wait_until(|| !Path::new(&format!("/proc/{}", stalled().unwrap())).exists());
        fs::remove_file(started).unwrap();
    }
    for (folder, result) in [("evaluation", "evaluation.json"), ("tokens", "manifest.json")] {
        assert!(!bench.path(folder).join(result).exists());
        fs::remove_dir_all(bench.path(folder)).unwrap();
    }
    assert_eq!(
        bench.files(),
        [before, vec!["ffmpeg.sh".to_owned()]]
            .concat()
            .into_iter()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
    );
}

#[test]
fn a_signal_ends_a_command_that_cannot_be_interrupted() {
    let bench = Bench::new("v1.0", KL);
    fs::create_dir(bench.path("tmp")).unwrap();
    write_tensors(&bench.path("x.safetensors"), [("video", &random_video([1, 3, 9, 96, 96]))], []).unwrap();
    // Nobody takes what it writes, which is more than a pipe holds.
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_vidtok"))
        .args(["encode", "--model", "model.safetensors", "x.safetensors", "-"])
        .current_dir(bench.folder.path())
        .env("TMPDIR", bench.path("tmp"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    signal("-TERM", &child);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.starts_with("stopped by SIGTERM; nothing was written") && said.lines().count() == 1, "{said}");
    assert_eq!(fs::read_dir(bench.path("tmp")).unwrap().count(), 0);
}

#[test]
fn audio_and_uneven_times_stay_with_a_reconstruction() {
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
    // Every second frame at its time; the sound is untouched.
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
fn encoded_clips_and_token_datasets_play_back_at_their_own_pace() {
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

    // Every second frame comes after 100 ms.
    run(&["encode", "--fps", "10"], &[source, "z.safetensors"]);
    assert_eq!((metadata("vidtok.frame_times"), metadata("vidtok.fps")), (None, Some("10".to_owned())));
    assert_eq!(metadata("vidtok.frames"), Some("20".to_owned()));
    run(&["tokenize", "--fps", "10"], &["--data", "videos", "--out", "sampled"]);
    run(&["detokenize"], &["--data", "sampled", "--out", "back"]);
    assert_eq!(bench.times("back/in.mp4"), (0..20).map(|n| n * 100).collect::<Vec<_>>());
}

#[test]
fn turned_and_odd_sized_videos_are_reconstructed_as_they_are_shown() {
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
fn everything_goes_through_standard_input_and_output() {
    let bench = Bench::new("v1.0", FSQ);
    bench.uneven("in.mp4");
    let pipe = |arguments: &[&str], input: &str| {
        let arguments = [&arguments[..1], &["--model", "model.safetensors"], &arguments[1..]].concat();
        let mut command = bench.vidtok(&arguments);
        let output = command.write_stdin(fs::read(bench.path(input)).unwrap()).assert().success().get_output().clone();
        (output.stdout, String::from_utf8(output.stderr).unwrap())
    };
    let file = |arguments: &[&str], output: &str| {
        let all = [&arguments[..1], &["--model", "model.safetensors"], &arguments[1..], &[output]].concat();
        bench.vidtok(&all).assert().success();
        fs::read(bench.path(output)).unwrap()
    };
    let save = |name: &str, bytes: &[u8]| fs::write(bench.path(name), bytes).unwrap();
    let tensor = |name: &str, tensor: &str| TensorFile::open(&bench.path(name)).unwrap().tensor(tensor).unwrap();

    let (encoded, said) = pipe(&["encode", "-", "-"], "in.mp4");
    assert_eq!(said, "");
    save("piped.safetensors", &encoded);
    file(&["encode", "in.mp4"], "z.safetensors");
    assert!(tensor("piped.safetensors", "indices").equal(&tensor("z.safetensors", "indices")));

    let (decoded, _) = pipe(&["decode", "-", "-"], "z.safetensors");
    save("piped.mkv", &decoded);
    file(&["decode", "z.safetensors"], "y.mkv");
    assert!(bench.frames("piped.mkv").equal(&bench.frames("y.mkv")));

    let (reconstructed, said) = pipe(&["reconstruct", "-", "-"], "in.mp4");
    assert!(said.starts_with("40 frames of 48x32, PSNR") && said.lines().count() == 1, "{said}");
    save("piped.mkv", &reconstructed);
    file(&["reconstruct", "in.mp4"], "r.mkv");
    assert!(bench.frames("piped.mkv").equal(&bench.frames("r.mkv")));
    for stream in ["V:0", "a"] {
        assert_eq!(bench.packets("piped.mkv", stream), bench.packets("r.mkv", stream));
    }

    write_tensors(&bench.path("x.safetensors"), [("video", &random_video([2, 3, 5, 8, 8]))], []).unwrap();
    let (reconstructed, _) = pipe(&["reconstruct", "-", "-"], "x.safetensors");
    save("piped.safetensors", &reconstructed);
    file(&["reconstruct", "x.safetensors"], "r.safetensors");
    assert!(tensor("piped.safetensors", "video").equal(&tensor("r.safetensors", "video")));
}

#[test]
fn what_is_wrong_with_standard_input_is_said_of_standard_input() {
    let bench = Bench::new("v1.0", KL);
    for (command, input, word) in [
        ("encode", "This is no video.\n", "cannot decode"),
        ("reconstruct", "", "empty"),
        ("decode", "This is no clip.\n", "safetensors"),
    ] {
        let arguments = [command, "--model", "model.safetensors", "-", "-"];
        let output = bench.vidtok(&arguments).write_stdin(input).assert().code(1).get_output().clone();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with("error: standard input: ") && said.contains(word), "{said}");
        assert!(said.lines().count() == 1 && !said.contains("/proc/") && output.stdout.is_empty(), "{said}");
    }
}

#[test]
fn a_closed_pipe_ends_the_work_in_one_line() {
    let bench = Bench::new("v1.0", KL);
    bench.video("in.mp4", 60, [48, 64], "25");
    bench.vidtok(&["encode", "--model", "model.safetensors", "in.mp4", "z.safetensors"]).assert().success();
    for (command, input) in [("encode", "in.mp4"), ("reconstruct", "in.mp4"), ("decode", "z.safetensors")] {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_vidtok"))
            .args([command, "--model", "model.safetensors", input, "-"])
            .current_dir(bench.folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{command}: {said}");
        assert!(said.starts_with("error: standard output: ") && said.lines().count() == 1, "{command}: {said}");
    }
}

#[test]
fn a_killed_run_leaves_nothing_under_the_final_name() {
    let bench = Bench::new("v1.0", KL);
    bench.video("in.mp4", 200, [96, 128], "25");
    let before = bench.files();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_vidtok"))
        .args(["reconstruct", "--model", "model.safetensors", "in.mp4", "out.mp4"])
        .current_dir(bench.folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let partial = |name: &String| name.starts_with(".partial-");
    // Empty until the encoder has written: then the work is in full swing.
    let writing = || {
        bench
            .files()
            .iter()
            .any(|name| partial(name) && fs::metadata(bench.path(name)).is_ok_and(|file| file.len() > 0))
    };
    let begin = Instant::now();
    while !writing() && child.try_wait().unwrap().is_none() && begin.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
    child.kill().unwrap();
    child.wait().unwrap();
    let left: Vec<String> = bench.files().into_iter().filter(|name| !partial(name)).collect();
    assert_eq!(left, before);
}
