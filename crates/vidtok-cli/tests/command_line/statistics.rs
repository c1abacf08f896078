//! `vidtok stats`, and the commands that use the statistics.

use std::fs;

use tch::{Kind, Tensor};
use vidtok_torch::{TensorFile, write_tensors};

use crate::bench::{Bench, FSQ, KL, random_video};

const VIDEOS: [&str; 2] = ["a", "b"];

/// A bench with videos of 12 frames, whole chunks of all models here, and of different sizes.
fn bench(config: &str) -> Bench {
    let bench = Bench::new("v1.0", config);
    fs::create_dir(bench.path("videos")).unwrap();
    for (name, size) in VIDEOS.into_iter().zip([[32, 48], [16, 40]]) {
        bench.video(&format!("videos/{name}.mp4"), 12, size, "25");
    }
    bench
}

fn stdout(bench: &Bench, arguments: &[&str]) -> String {
    let output = bench.vidtok(arguments).assert().success().get_output().clone();
    String::from_utf8(output.stdout).unwrap()
}

/// The tensor of an encoded clip.
fn tensor(bench: &Bench, file: &str, name: &str) -> Tensor {
    TensorFile::open(&bench.path(file)).unwrap().tensor(name).unwrap()
}

#[test]
fn stats_stores_the_mean_and_standard_deviation_of_all_latents_in_the_model() {
    let bench = bench(KL);
    bench.vidtok(&["convert", "model.safetensors", "half.safetensors", "--dtype", "f16"]).assert().success();
    let printed = stdout(&bench, &["stats", "--model", "half.safetensors", "--data", "videos", "measured.safetensors"]);
    let latents = VIDEOS.map(|name| {
        let (input, output) = (format!("videos/{name}.mp4"), format!("{name}.safetensors"));
        bench.vidtok(&["encode", "--model", "half.safetensors", &input, &output]).assert().success();
        tensor(&bench, &output, "latent").to_kind(Kind::Double).flatten(2, 4)
    });
    let all = Tensor::cat(&latents, 2).squeeze_dim(0);
    let expected = [all.mean_dim(1, false, Kind::Double), all.std_dim(1, false, false)];
    let rows: Vec<Vec<f64>> = printed
        .lines()
        .skip_while(|line| !line.starts_with("channel"))
        .skip(1)
        .map(|row| row.split_whitespace().map(|number| number.parse().unwrap()).collect())
        .collect();
    for (channel, row) in rows.iter().enumerate() {
        for (value, expected) in row[1..].iter().zip(&expected) {
            let expected = expected.double_value(&[channel as i64]);
            // Printed with five decimals, and measured from latents in half precision.
            assert!((value - expected).abs() < 1e-3 * expected.abs() + 1e-4, "{value} {expected}");
        }
    }
    assert_eq!(rows.len() as i64, all.size()[0]);

    // The weights stay as they were, in half precision.
    let info = |model: &str| stdout(&bench, &["info", "--model", model]);
    let hash = |info: &str| info.lines().find(|line| line.contains("sha256")).map(str::to_owned);
    let (before, after) = (info("half.safetensors"), info("measured.safetensors"));
    assert!(hash(&before).is_some() && hash(&before) == hash(&after));
    assert!(!before.contains("mean") && after.contains("mean") && after.contains("std"));
    let kind = tensor(&bench, "measured.safetensors", "encoder.conv_in.conv.weight").kind();
    assert_eq!(kind, Kind::Half);

    // A dataset of the same videos has the same statistics.
    let tokenize = ["tokenize", "--model", "half.safetensors", "--data", "videos", "--out", "tokens"];
    bench.vidtok(&tokenize).assert().success();
    let of_dataset = stdout(&bench, &["stats", "--model", "half.safetensors", "--data", "tokens"]);
    assert_eq!(of_dataset, printed[printed.find("channel").unwrap()..]);
    bench.vidtok(&["init", "--config", "tiny.toml", "--seed", "1", "other.safetensors"]).assert().success();
    bench.refuses(&["stats", "--model", "other.safetensors", "--data", "tokens"], &["tokens: was made by tiny_kl"]);
}

#[test]
fn a_normalised_clip_states_its_statistics_and_decodes_as_the_plain_one_does() {
    let bench = bench(KL);
    write_tensors(&bench.path("x.safetensors"), [("video", &random_video([1, 3, 5, 16, 24]))], []).unwrap();
    let encode = ["encode", "--model", "model.safetensors", "x.safetensors"];
    bench.vidtok(&[&encode[..], &["plain.safetensors"]].concat()).assert().success();
    let normalized = [&encode[..], &["normalized.safetensors", "--normalized"]].concat();
    bench.refuses(&normalized, &["tiny_kl: states no statistics", "vidtok stats"]);
    // The model itself is replaced.
    stdout(&bench, &["stats", "--model", "model.safetensors", "--data", "videos", "model.safetensors"]);
    bench.vidtok(&normalized).assert().success();

    let file = TensorFile::open(&bench.path("normalized.safetensors")).unwrap();
    let stated = |key: &str| {
        let numbers: Vec<f32> = file.metadata(key).unwrap().split(' ').map(|number| number.parse().unwrap()).collect();
        Tensor::from_slice(&numbers).view([-1, 1, 1, 1])
    };
    let (mean, std) = (stated("vidtok.latent_mean"), stated("vidtok.latent_std"));
    let plain = |name: &str| tensor(&bench, "plain.safetensors", name);
    let latent = (plain("latent") - &mean) / &std;
    assert!(file.tensor("latent").unwrap().allclose(&latent, 1e-5, 1e-5, false));
    let logvar = plain("logvar") - std.square().log();
    assert!(file.tensor("logvar").unwrap().allclose(&logvar, 1e-5, 1e-5, false));

    let decoded = ["plain", "normalized"].map(|name| {
        let (input, output) = (format!("{name}.safetensors"), format!("{name}-decoded.safetensors"));
        bench.vidtok(&["decode", "--model", "model.safetensors", &input, &output]).assert().success();
        tensor(&bench, &output, "video")
    });
    assert!(decoded[0].allclose(&decoded[1], 1e-4, 1e-4, false));
}

#[test]
fn clips_of_discrete_models_and_statistics_of_other_channels_are_refused() {
    let bench = bench(FSQ);
    write_tensors(&bench.path("x.safetensors"), [("video", &random_video([1, 3, 5, 16, 24]))], []).unwrap();
    stdout(&bench, &["stats", "--model", "model.safetensors", "--data", "videos", "model.safetensors"]);
    let encode = ["encode", "--model", "model.safetensors", "x.safetensors", "z.safetensors", "--normalized"];
    bench.refuses(&encode, &["expected a continuous model", "512 codes"]);
    let mut text = fs::read_to_string(bench.path("tiny.toml")).unwrap();
    text.push_str("\n[latent_statistics]\nmean = [0.0]\nstd = [1.0]\n");
    fs::write(bench.path("wrong.toml"), text).unwrap();
    bench.refuses(&["init", "--config", "wrong.toml", "wrong.safetensors"], &["expected 3 finite means"]);
}

#[test]
fn encoded_clips_with_invalid_statistics_are_refused_in_one_line() {
    let bench = Bench::new("v1.0", KL);
    let latent = Tensor::zeros([1, 4, 2, 4, 4], (Kind::Float, tch::Device::Cpu));
    let [mean, std] = ["vidtok.latent_mean", "vidtok.latent_std"];
    for (metadata, word) in [
        (vec![(mean, "0 0 0 0")], "states only one of"),
        (vec![(mean, "0 0 0 0"), (std, "1 1 1")], "expected 4 finite means"),
        (vec![(mean, "0 0 0 0"), (std, "1 1 1 0")], "expected 4 finite means"),
        (vec![(mean, "0 NaN 0 0"), (std, "1 1 1 1")], "expected 4 finite means"),
        (vec![(mean, "much"), (std, "1 1 1 1")], "the metadata vidtok.latent_mean is invalid"),
    ] {
        let metadata = metadata.into_iter().map(|(key, text)| (key, text.to_owned()));
        write_tensors(&bench.path("z.safetensors"), [("latent", &latent)], metadata).unwrap();
        bench.refuses(&["decode", "--model", "model.safetensors", "z.safetensors", "y.safetensors"], &[word]);
    }
}
