//! Every intact video goes through `encode`, `reconstruct` and `tokenize` with all its frames.

#![allow(clippy::unwrap_used)] // a failure here is what the test is for

mod bench;
#[path = "../../vidtok-data/tests/random_video/mod.rs"]
mod random_video;

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;

use bench::{Bench, KL};
use random_video::RandomVideo;
use vidtok_tokenize::{Dataset, Shard, shards};
use vidtok_torch::TensorFile;

/// Runs the commands on the videos of these seeds, and returns one line for each video that loses frames.
fn failures(seeds: Range<u64>) -> Vec<String> {
    let bench = Bench::new("v1.1", KL);
    let folder = bench.path("videos");
    fs::create_dir(&folder).unwrap();
    let model = ["--model", "model.safetensors", "--threads", "1"];
    let run = |command: &str, rest: &[&str]| -> Result<(), String> {
        let output = bench.vidtok(&[&[command], &model[..], rest].concat()).output().unwrap();
        let printed = || format!("{command}: {}", String::from_utf8_lossy(&output.stderr));
        output.status.success().then_some(()).ok_or_else(printed)
    };
    let mut wrong = Vec::new();
    let mut expected = BTreeMap::new();
    for seed in seeds {
        let video = RandomVideo::make(&folder, seed).unwrap_or_else(|error| panic!("{error}"));
        let name = format!("videos/{}", video.path.file_name().unwrap().to_str().unwrap());
        let through = || -> Result<usize, String> {
            let info = bench.info(&name);
            let frames = video.decoded().len() / (info.width * info.height * 3) as usize;
            run("encode", &[&name, "z.safetensors"])?;
            let encoded = TensorFile::open(&bench.path("z.safetensors")).unwrap();
            if encoded.metadata("vidtok.frames") != Some(frames.to_string().as_str()) {
                return Err(format!("encode kept {:?} of {frames} frames", encoded.metadata("vidtok.frames")));
            }
            run("reconstruct", &[&name, "out.mp4"])?;
            let back = bench.info("out.mp4").frames as usize;
            (back == frames).then_some(frames).ok_or_else(|| format!("reconstruct kept {back} of {frames} frames"))
        };
        match through() {
            Ok(frames) => drop(expected.insert(name, (frames as i64, video.kind))),
            Err(error) => wrong.push(format!("{}: {error}", video.kind)),
        }
    }
    run("tokenize", &["--data", "videos", "--out", "tokens"]).unwrap();
    let dataset = Dataset::open(bench.path("tokens")).unwrap();
    for path in shards(bench.path("tokens"), &dataset).unwrap() {
        for entry in Shard::open(&path, dataset.latent).unwrap().videos() {
            match expected.remove(&format!("videos/{}", entry.path)) {
                Some((frames, _)) if frames == entry.frames => {}
                Some((frames, kind)) => {
                    wrong.push(format!("{kind}: tokenize kept {} of {frames} frames", entry.frames))
                }
                None => {}
            }
        }
    }
    wrong.extend(expected.into_values().map(|(_, kind)| format!("{kind}: tokenize left it out")));
    wrong
}

#[test]
fn twenty_random_videos_keep_all_their_frames() {
    let wrong = failures(0..20);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Takes minutes: `cargo test --workspace --test any_video -- --ignored`.
#[test]
#[ignore = "takes minutes"]
fn two_hundred_random_videos_keep_all_their_frames() {
    let wrong = failures(20..220);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
