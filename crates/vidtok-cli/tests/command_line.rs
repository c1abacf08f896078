//! The `vidtok` program from outside.

#![allow(clippy::unwrap_used)] // a failure here is what the test is for

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};
use vidtok_torch::{TensorFile, write_tensors};

mod bench;

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
    for (more, word) in
        [(&["--compare", "jpeg:0"][..], "1 to 100"), (&[], "nothing to evaluate"), (&["--compare", "x"], "no codec")]
    {
        let output = evaluate(more).assert().failure().get_output().clone();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(word), "{error}");
    }
}

/// Puts what is no number into a weight of the decoder.
fn spoil_decoder(bench: &Bench) {
    let path = bench.path("model.safetensors");
    let file = TensorFile::open(&path).unwrap();
    let tensors = file.tensors().unwrap();
    let _ = tensors["decoder.conv_out.conv.bias"].get(1).fill_(f64::NAN);
    let texts = ["config", "version", "origin", "weights_sha256"].map(|name| format!("vidtok.{name}"));
    let texts = texts.iter().map(|key| (key.as_str(), file.metadata(key).unwrap().to_owned()));
    write_tensors(&path, tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)), texts).unwrap();
}

#[test]
fn a_decoder_that_gives_no_numbers_fails_every_command_in_one_line_and_leaves_no_result() {
    let bench = Bench::new("v1.0", KL);
    spoil_decoder(&bench);
    let model = ["--model", "model.safetensors"];
    fs::create_dir(bench.path("data")).unwrap();
    bench.video("data/x.mp4", 9, [16, 16], "30");
    bench.vidtok(&[&["encode"], &model[..], &["data/x.mp4", "z.safetensors"]].concat()).assert().success();
    bench.vidtok(&[&["tokenize"], &model[..], &["--data", "data", "--out", "tokens"]].concat()).assert().success();
    let word = "the decoder's output is not finite";
    for output in ["y.mp4", "y.safetensors"] {
        bench.refuses(&[&["decode"], &model[..], &["z.safetensors", output]].concat(), &[word]);
        bench.refuses(&[&["reconstruct"], &model[..], &["data/x.mp4", output]].concat(), &[word]);
    }
    let evaluate = ["--data", "data", "--height", "16", "--width", "16", "--metrics", "psnr", "--out", "evaluation"];
    let detokenize = ["--data", "tokens", "--out", "back"];
    for (command, arguments) in [("evaluate", &evaluate[..]), ("detokenize", &detokenize)] {
        let output = bench.vidtok(&[&[command], &model[..], arguments].concat()).assert().code(1).get_output().clone();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with("error: ") && said.lines().count() == 1 && said.contains(word), "{command}: {said}");
    }
    assert!(!bench.path("evaluation/evaluation.json").exists());
    assert_eq!(fs::read_dir(bench.path("back")).unwrap().count(), 0);
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
