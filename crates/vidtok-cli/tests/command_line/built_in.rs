//! The models that are compiled into the program.

use tch::Kind;
use vidtok_torch::{TensorFile, write_tensors};

use crate::bench::{Bench, KL, random_video, repository};

const NAME: &str = "vidtok_lite_kl_causal_488_16chn";

/// The names of the pretrained models of this repository.
fn pretrained() -> Vec<String> {
    let files = std::fs::read_dir(repository("models")).unwrap();
    let files = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let names: Vec<String> = files.filter_map(|file| file.strip_suffix(".safetensors").map(str::to_owned)).collect();
    assert!(names.iter().any(|name| name == NAME), "{names:?}");
    names
}

/// The file of a pretrained model.
fn weights(name: &str) -> String {
    repository(&format!("models/{name}.safetensors"))
}

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
fn chunks_and_strips_of_the_pretrained_models_equal_the_whole_clip() {
    let bench = Bench::new("v1.0", KL);
    for name in pretrained() {
        bench.vidtok(&["verify", "--model", &weights(&name), "--max-frames", "17"]).assert().success();
    }
}

#[test]
fn both_shard_formats_hold_the_tokens_of_the_pretrained_models() {
    let bench = Bench::new("v1.0", KL);
    std::fs::create_dir(bench.path("videos")).unwrap();
    // Whole chunks, which need no padding.
    bench.video("videos/a.mp4", 12, [32, 48], "25");
    for name in pretrained() {
        let model = weights(&name);
        bench.vidtok(&["reconstruct", "--model", &model, "videos/a.mp4", "expected.mp4"]).assert().success();
        let expected = bench.frames("expected.mp4").to_kind(Kind::Float);
        let restored = ["safetensors", "webdataset"].map(|format| {
            let (tokens, restored) = (format!("tokens-{name}-{format}"), format!("restored-{name}-{format}"));
            let dataset = ["--data", "videos", "--out", &tokens, "--format", format];
            bench.vidtok(&[&["tokenize", "--model", &model], &dataset[..]].concat()).assert().success();
            let back = ["detokenize", "--model", &model, "--data", &tokens, "--out", &restored];
            bench.vidtok(&back).assert().success();
            bench.frames(&format!("{restored}/a.mp4")).to_kind(Kind::Float)
        });
        assert!(restored[0].equal(&restored[1]), "{name}");
        // Latents are stored in half precision, and both videos are compressed.
        let difference = (&restored[0] - &expected).abs().mean(Kind::Float).double_value(&[]);
        assert!(restored[0].size() == expected.size() && difference < 2.5, "{name}: {difference}");
    }
}

#[test]
fn training_that_starts_from_a_pretrained_model_resumes_exactly() {
    let bench = Bench::new("v1.0", KL);
    let recipe = "[train]\nsteps = 4\nbatch_size = 1\noptimizer.lr = 1e-4\nschedule.decay = \"constant\"\n\
                  [train.loss]\nmse = 1.0\n[train.data]\nframes = 5\nsize = [32, 32]\nscenes = 1\n";
    std::fs::write(bench.path("recipe.toml"), recipe).unwrap();
    for name in pretrained() {
        let (config, weights) = (repository(&format!("configs/{name}.toml")), weights(&name));
        let train = |out: &str, steps: &str| {
            let start = ["train", "--config", &config, "--recipe", "recipe.toml", "--init-from", &weights];
            bench.vidtok(&[&start[..], &["--threads", "1", "--out", out, "--set", steps]].concat()).assert().success();
        };
        train("whole", "train.steps=4");
        train("parts", "train.steps=2");
        let parts = format!("parts/{name}");
        let resume = ["train", "--resume", &parts, "--set", "train.steps=4", "--threads", "1"];
        bench.vidtok(&resume).assert().success();
        let model = |out: &str| std::fs::read(bench.path(&format!("{out}/{name}/model.safetensors"))).unwrap();
        assert!(model("whole") == model("parts"), "{name}");
    }
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
