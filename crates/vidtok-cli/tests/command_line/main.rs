//! The `vidtok` program as its users run it.

#![allow(clippy::unwrap_used)] // a failure here is what the test is for

use std::fs;

use tch::{Device, Kind, Tensor};
use vidtok_torch::{TensorFile, write_tensors};

#[path = "../bench/mod.rs"]
mod bench;
mod built_in;
mod pixels;
mod statistics;
mod stops;
mod videos;

use bench::{Bench, FSQ, KL, random_video, repository, vidtok};

#[test]
fn info_counts_the_parameters_of_a_published_model() {
    let config = repository("configs/vidtok_kl_causal_488_4chn.toml");
    let output = vidtok(&["info", "--config", &config]).assert().success().get_output().clone();
    assert!(String::from_utf8(output.stdout).unwrap().contains("157,451,663"));
}

#[test]
fn a_decoded_tensor_has_the_shape_of_the_input() {
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
fn a_converted_model_records_its_origin_and_computes_the_same_latent() {
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
fn training_writes_a_model_a_log_and_images() {
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
    let config = fs::read_to_string(bench.path("tiny.toml")).unwrap();
    let config = config.replace("kind = \"kl\"\nz_channels = 4", "kind = \"custom\"\nname = \"vq\"");
    let tensors = [("x", &random_video([1, 3, 1, 1, 1]))];
    write_tensors(&bench.path("custom.safetensors"), tensors, [("vidtok.config", config)]).unwrap();
    fs::copy(repository("crates/vidtok/src/files/checkpoint/testdata/hostile.ckpt"), bench.path("hostile.ckpt"))
        .unwrap();

    let weights = |file| vec!["convert", "--config", "tiny.toml", file, "out.safetensors"];
    for file in ["cut.safetensors", "empty.safetensors", "empty.ckpt", "text.pt", "text.safetensors", "absent.ckpt"] {
        bench.refuses(&weights(file), &[file]);
    }
    bench.refuses(&weights("other.safetensors"), &["missing", "unexpected", "encoder"]);
    bench.refuses(&weights("hostile.ckpt"), &["hostile.ckpt", "posix.system"]);
    bench.refuses(&["info", "--model", "other.safetensors"], &["other.safetensors", "convert"]);
    bench.refuses(&["info", "--model", "custom.safetensors"], &["custom.safetensors", "\"vq\" is not built in"]);
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
    bench.refuses(&["decode", "--model", "model.safetensors", "model.safetensors", "y.mp4"], &["not an encoded clip"]);
}

#[test]
fn invalid_encoded_clips_are_refused_in_one_line() {
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
fn outputs_that_cannot_be_written_are_refused_before_any_work() {
    let bench = Bench::new("v1.0", KL);
    write_tensors(&bench.path("x.safetensors"), [("video", &random_video([1, 3, 3, 8, 8]))], []).unwrap();
    for command in ["encode", "reconstruct"] {
        bench.refuses(&[command, "--model", "model.safetensors", "x.safetensors", "no/y.safetensors"], &["no/y"]);
    }
    bench.refuses(&["reconstruct", "--model", "model.safetensors", "x.safetensors", "y.mp4"], &["--fps"]);
    bench.refuses(&["reconstruct", "--model", "model.safetensors", "--fps", "5", "x.safetensors", "y.doc"], &["y.doc"]);
}

#[test]
fn a_tensor_is_written_as_a_video_with_the_requested_rate() {
    let bench = Bench::new("v1.0", KL);
    write_tensors(&bench.path("x.safetensors"), [("video", &random_video([1, 3, 5, 16, 16]))], []).unwrap();
    let arguments = ["reconstruct", "--model", "model.safetensors", "--fps", "5", "x.safetensors", "y.mp4"];
    bench.vidtok(&arguments).assert().success();
    let info = bench.info("y.mp4");
    assert_eq!((info.frames, info.frame_rate.as_f64()), (5, 5.0));
}

#[test]
fn invalid_configurations_are_refused_in_one_line() {
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
fn wrong_usage_exits_with_status_two() {
    for arguments in [&["encode"][..], &["encode", "--device", "gpu", "a", "b"], &["fly"], &["info", "--ema"]] {
        vidtok(arguments).assert().code(2);
    }
}

#[test]
fn pixels_outside_the_expected_range_are_refused_or_warned_about_in_one_line() {
    let bench = Bench::new("v1.0", KL);
    let unit = Tensor::rand([1, 3, 3, 8, 8], (Kind::Float, Device::Cpu));
    for (name, video) in [("unit", &unit), ("bytes", &(&unit * 255.0)), ("nan", &(&unit * f64::NAN))] {
        write_tensors(&bench.path(&format!("{name}.safetensors")), [("video", video)], []).unwrap();
    }
    let bytes = ["bytes.safetensors", "expected pixels in [-1, 1], found values from 0.", "x / 127.5 - 1"];
    bench.refuses(&["reconstruct", "--model", "model.safetensors", "bytes.safetensors", "z.safetensors"], &bytes);
    let nan = ["nan.safetensors", "found NaN or infinity"];
    bench.refuses(&["encode", "--model", "model.safetensors", "nan.safetensors", "z.safetensors"], &nan);
    let mut warned = bench.vidtok(&["encode", "--model", "model.safetensors", "unit.safetensors", "z.safetensors"]);
    let printed = String::from_utf8(warned.assert().success().get_output().stderr.clone()).unwrap();
    assert!(printed.starts_with("warning: unit.safetensors: all values are in [0, 1]"), "{printed}");
    assert_eq!(printed.lines().count(), 1, "{printed}");
}

#[test]
fn wrapper_prefixes_are_removed_from_checkpoints_and_nan_parameters_are_named() {
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
    let printed = String::from_utf8(output.stderr).unwrap();
    let expected = format!("from {} keys", names.len());
    assert!(
        printed.starts_with("wrapped.safetensors: removed the prefix \"module.\"") && printed.contains(&expected),
        "{printed}"
    );
    let converted = TensorFile::open(&bench.path("out.safetensors")).unwrap().tensors().unwrap();
    assert!(tensors.keys().eq(converted.keys()) && tensors.iter().all(|(key, value)| converted[key].equal(value)));

    fs::remove_file(bench.path("out.safetensors")).unwrap();
    let faulty = values[0] * f64::NAN;
    values[0] = &faulty;
    // Without the prefixes, so that no line reports them.
    let named = tensors.keys().map(String::as_str).zip(values.iter().copied());
    write_tensors(&bench.path("nan.safetensors"), named, []).unwrap();
    let first = tensors.keys().next().unwrap();
    bench.refuses(&convert("nan.safetensors"), &["nan.safetensors: 1 of the model's parameters contain NaN", first]);
}

#[test]
fn metrics_compare_two_videos_or_two_folders() {
    let bench = Bench::new("v1.0", KL);
    for folder in ["a", "b"] {
        fs::create_dir(bench.path(folder)).unwrap();
        bench.video(&format!("{folder}/x.mp4"), 20, [32, 48], "25");
    }
    bench.video("small.mp4", 4, [8, 48], "25");
    bench.video("short.mp4", 19, [32, 48], "25");
    for pair in [["a/x.mp4", "b/x.mp4"], ["a", "b"]] {
        let printed = bench.vidtok(&["metrics", pair[0], pair[1], "--metrics", "psnr,ssim,seam"]).assert().success();
        let printed = String::from_utf8(printed.get_output().stdout.clone()).unwrap();
        let values: Vec<&str> = printed.split_whitespace().collect();
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
fn an_evaluation_compares_a_model_with_baselines_and_reports_unreadable_videos() {
    let bench = Bench::new("v1.0", FSQ);
    fs::create_dir(bench.path("data")).unwrap();
    bench.video("data/x.mp4", 20, [32, 48], "30");
    let evaluate = |more: &[&str]| {
        let fixed = ["evaluate", "--data", "data", "--height", "32", "--width", "32", "--metrics", "psnr,flicker,seam"];
        bench.vidtok(&[&fixed[..], more].concat())
    };
    let printed = evaluate(&["--model", "model.safetensors", "--compare", "jpeg:50"]).assert().success();
    let printed = String::from_utf8(printed.get_output().stdout.clone()).unwrap();
    assert!(
        printed.contains("tiny_fsq") && printed.contains("jpeg:50") && printed.contains("codes used in"),
        "{printed}"
    );
    for file in ["evaluation.json", "videos.csv", "report.html"] {
        assert!(bench.path("evaluation").join(file).is_file(), "{file}");
    }
    let json = fs::read_to_string(bench.path("evaluation/evaluation.json")).unwrap();
    assert!(json.contains("weights_sha256") && json.contains("\"window\": 17"));
    // A video that cannot be read, whose name would clear the screen.
    fs::write(bench.path("data/bad\u{1b}[2J.mp4"), "no video").unwrap();
    let output =
        evaluate(&["--model", "model.safetensors", "--compare", "jpeg:50"]).assert().code(3).get_output().clone();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(
        stdout.contains("only 1 of 2 videos were measured") && stdout.contains("skipped: bad\\u{1b}[2J.mp4: "),
        "{stdout}"
    );
    assert!(stderr.ends_with("warning: all results are for 1 of the 2 requested videos\n"), "{stderr}");
    assert!(!stdout.contains('\u{1b}') && !stderr.contains('\u{1b}'), "{stderr}");
    let json = fs::read_to_string(bench.path("evaluation/evaluation.json")).unwrap();
    assert!(json.contains("\"asked\": 2") && json.contains("\"measured\": 1"), "{json}");
    for (more, word) in
        [(&["--compare", "jpeg:0"][..], "1 to 100"), (&[], "nothing to evaluate"), (&["--compare", "x"], "not a codec")]
    {
        let output = evaluate(more).assert().failure().get_output().clone();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn two_models_of_one_name_are_compared_once_one_of_them_is_named_differently() {
    let bench = Bench::new("v1.0", FSQ);
    fs::create_dir(bench.path("data")).unwrap();
    bench.video("data/x.mp4", 5, [32, 48], "30");
    let both = |other| {
        let fixed = ["evaluate", "--data", "data", "--height", "32", "--width", "32", "--metrics", "psnr"];
        [&fixed[..], &["--no-players", "--model", "model.safetensors", "--compare", other]].concat()
    };
    bench.refuses(&both("model.safetensors"), &["two codecs have the name \"tiny_fsq\"", "NAME=MODEL"]);
    let printed = bench.vidtok(&both("before=model.safetensors")).assert().success();
    let printed = String::from_utf8(printed.get_output().stdout.clone()).unwrap();
    let psnr = |name| printed.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
    assert!(psnr("before").is_some() && psnr("before") == psnr("tiny_fsq"), "{printed}");
}

/// Sets a parameter of the decoder to NaN.
fn put_nan_into_decoder(bench: &Bench) {
    let path = bench.path("model.safetensors");
    let file = TensorFile::open(&path).unwrap();
    let tensors = file.tensors().unwrap();
    let _ = tensors["decoder.conv_out.conv.bias"].get(1).fill_(f64::NAN);
    let texts = ["config", "version", "origin", "weights_sha256"].map(|name| format!("vidtok.{name}"));
    let texts = texts.iter().map(|key| (key.as_str(), file.metadata(key).unwrap().to_owned()));
    write_tensors(&path, tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)), texts).unwrap();
}

#[test]
fn a_decoder_that_returns_nan_fails_every_command_in_one_line_without_a_result() {
    let bench = Bench::new("v1.0", KL);
    put_nan_into_decoder(&bench);
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
        let printed = String::from_utf8(output.stderr).unwrap();
        // An evaluation reports each video that it skips, and fails if none remains.
        let error = printed.lines().find(|line| line.starts_with("error: "));
        assert!(error.is_some_and(|line| line.contains(word)), "{command}: {printed}");
    }
    assert!(!bench.path("evaluation/evaluation.json").exists());
    assert_eq!(fs::read_dir(bench.path("back")).unwrap().count(), 0);
}

#[test]
fn clips_pass_through_standard_input_and_output() {
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

    let (encoded, printed) = pipe(&["encode", "-", "-"], "in.mp4");
    assert_eq!(printed, "");
    save("piped.safetensors", &encoded);
    file(&["encode", "in.mp4"], "z.safetensors");
    assert!(tensor("piped.safetensors", "indices").equal(&tensor("z.safetensors", "indices")));

    let (decoded, _) = pipe(&["decode", "-", "-"], "z.safetensors");
    save("piped.mkv", &decoded);
    file(&["decode", "z.safetensors"], "y.mkv");
    assert!(bench.frames("piped.mkv").equal(&bench.frames("y.mkv")));

    let (reconstructed, printed) = pipe(&["reconstruct", "-", "-"], "in.mp4");
    assert!(printed.starts_with("40 frames of 48x32, PSNR") && printed.lines().count() == 1, "{printed}");
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
fn errors_about_standard_input_name_standard_input() {
    let bench = Bench::new("v1.0", KL);
    for (command, input, word) in [
        ("encode", "This is no video.\n", "cannot decode"),
        ("reconstruct", "", "empty"),
        ("decode", "This is no clip.\n", "safetensors"),
    ] {
        let arguments = [command, "--model", "model.safetensors", "-", "-"];
        let output = bench.vidtok(&arguments).write_stdin(input).assert().code(1).get_output().clone();
        let printed = String::from_utf8(output.stderr).unwrap();
        assert!(printed.starts_with("error: standard input: ") && printed.contains(word), "{printed}");
        assert!(printed.lines().count() == 1 && !printed.contains("/proc/") && output.stdout.is_empty(), "{printed}");
    }
}
