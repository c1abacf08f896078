//! The models that are compiled into the program.

use vidtok_torch::{TensorFile, write_tensors};

use crate::bench::{Bench, KL, random_video};

const NAME: &str = "vidtok_lite_kl_causal_488_16chn";

#[test]
fn the_first_built_in_model_is_used_where_none_is_named() {
    let bench = Bench::new("v1.0", KL);
    let video = random_video([1, 3, 6, 20, 28]);
    write_tensors(&bench.path("x.safetensors"), [("video", &video)], []).unwrap();
    let decoded = |arguments: &[&str], file: &str| {
        bench.vidtok(&[&["reconstruct", "x.safetensors", file], arguments].concat()).assert().success();
        TensorFile::open(&bench.path(file)).unwrap().tensor("video").unwrap()
    };
    let default = decoded(&[], "a.safetensors");
    assert_eq!(default.size(), video.size());
    assert!(default.equal(&decoded(&["--model", NAME], "b.safetensors")));
    assert!(!default.equal(&decoded(&["--model", "model.safetensors"], "c.safetensors")));
}

#[test]
fn chunks_and_strips_of_the_built_in_model_equal_the_whole_clip() {
    let bench = Bench::new("v1.0", KL);
    bench.vidtok(&["verify", "--max-frames", "17"]).assert().success();
}

#[test]
fn models_lists_the_built_in_ones_those_in_a_folder_and_the_published_ones() {
    let bench = Bench::new("v1.0", KL);
    write_tensors(&bench.path("x.safetensors"), [("video", &random_video([1, 3, 1, 8, 8]))], []).unwrap();
    let output = bench.vidtok(&["models"]).assert().success().get_output().clone();
    let text = String::from_utf8(output.stdout).unwrap();
    for expected in [NAME, "the default", "model.safetensors  tiny_kl", "vidtok_fsq_noncausal_488_262144"] {
        assert!(text.contains(expected), "{text}");
    }
    assert!(!text.contains("x.safetensors"), "a clip is no model: {text}");
    bench.refuses(&["models", "no/folder"], &["no/folder"]);
}

#[test]
fn a_built_in_model_is_evaluated_by_its_name_beside_linear_codecs() {
    let bench = Bench::new("v1.0", KL);
    std::fs::create_dir(bench.path("clips")).unwrap();
    bench.video("clips/a.mp4", 17, [32, 48], "25");
    let flags = ["--height", "32", "--width", "32", "--metrics", "psnr", "--no-players", "--out", "results"];
    let codecs = ["evaluate", "--data", "clips", "--model", NAME, "--compare", "klt:4", "--compare", "klt:16"];
    let output = bench.vidtok(&[&codecs[..], &flags].concat()).assert().success().get_output().clone();
    let text = String::from_utf8(output.stdout).unwrap();
    let psnr = |codec: &str| -> f64 {
        let line = text.lines().find(|line| line.starts_with(codec)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    assert!(psnr("klt:16") > psnr("klt:4") + 1.0, "{text}");
    assert!(psnr(NAME) > psnr("klt:4"), "{text}");
    bench.refuses(&["evaluate", "--model", "no_such_model", "--data", "clips"], &["no_such_model"]);
}
