//! Shards that are tokenized apart from each other.

#![allow(clippy::unwrap_used)] // a failure here is what the test is for

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use vidtok_tokenize::{ShardFormat, TokenizeOptions, finish_dataset, plan_shards, tokenize, tokenize_shard};

mod bench;

use bench::{Bench, model};

/// The contents of a dataset's files, without those of work in progress.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for part in ["", "shards", "statistics"] {
        for entry in fs::read_dir(folder.join(part)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                files.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(path).unwrap());
            }
        }
    }
    files
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap();
}

#[test]
fn shards_that_are_tokenized_elsewhere_make_the_same_dataset() {
    let bench = Bench::new();
    for (name, format) in [("tiny_kl", ShardFormat::Safetensors), ("tiny_fsq", ShardFormat::Webdataset)] {
        let tokenizer = model(name, "v1.0");
        let [alone, planned] = ["alone", "planned"].map(|folder| format!("{name}-{folder}"));
        tokenize(&tokenizer, &bench.options(&alone, format), &mut |_| ()).unwrap();
        let options = bench.options(&planned, format);
        let videos: Vec<PathBuf> = ["a.mkv", "b c.mkv", "more/d.v2.mkv", "more/e.mkv"].map(PathBuf::from).into();
        let shards = plan_shards(&tokenizer, &options, videos.clone()).unwrap();
        assert_eq!(shards.iter().map(|shard| shard.videos.len()).collect::<Vec<_>>(), [3, 1]);
        // The last first, each with its own videos only.
        for shard in shards.iter().rev() {
            let apart = bench.path(&format!("{name}-{}", shard.index));
            let elsewhere = TokenizeOptions { data: apart.join("videos"), out: apart.join("out"), ..options.clone() };
            for video in &shard.videos {
                copy(&options.data.join(video), &elsewhere.data.join(video));
            }
            for file in ["dataset.json", "videos.jsonl"] {
                copy(&options.out.join(file), &elsewhere.out.join(file));
            }
            tokenize_shard(&tokenizer, &elsewhere, shard.index, &mut |_| ()).unwrap();
            let name = |folder: &str, end: &str| format!("{folder}/shard-{:06}.{end}", shard.index);
            let end = if format == ShardFormat::Safetensors { "safetensors" } else { "tar" };
            for file in [name("shards", end), name("statistics", "safetensors")] {
                copy(&elsewhere.out.join(&file), &options.out.join(&file));
            }
        }
        finish_dataset(&tokenizer, &options).unwrap();
        assert_eq!(files(&bench.path(&planned)), files(&bench.path(&alone)));
        assert_eq!(plan_shards(&tokenizer, &options, videos).unwrap(), []);
        let error = tokenize_shard(&tokenizer, &options, 7, &mut |_| ()).unwrap_err().to_string();
        assert_eq!(error, "the shard: expected one of the plan, found 7");
    }
}

#[test]
fn a_dataset_without_the_statistics_of_a_shard_is_not_finished() {
    let bench = Bench::new();
    let (tokenizer, options) = (model("tiny_kl", "v1.0"), bench.options("planned", ShardFormat::Safetensors));
    plan_shards(&tokenizer, &options, vec!["a.mkv".into()]).unwrap();
    let error = finish_dataset(&tokenizer, &options).unwrap_err().to_string();
    assert!(error.contains("statistics/shard-000000.safetensors"), "{error}");
    assert!(!options.out.join("manifest.json").exists());
}
