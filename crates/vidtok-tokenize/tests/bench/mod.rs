//! A folder with videos, and small models that tokenize them.

#![allow(clippy::unwrap_used, dead_code)] // a failure is what tests are for; not every test needs all of it

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tch::{Device, Tensor};
use tempfile::TempDir;
use vidtok::{Config, Tokenizer};
use vidtok_core::{FrameRate, FrameSink};
use vidtok_data::{Ffmpeg, Preparation, Scene, VideoQuality, VideoWriter};
use vidtok_tokenize::{
    Dataset, NumberType, Shard, ShardFormat, TokenizeError, TokenizeOptions, TokenizeProgress, TokenizeSummary, Tokens,
    VideoEntry, shards, tokenize,
};

pub(crate) struct Bench {
    pub(crate) folder: TempDir,
}

impl Bench {
    /// Videos of several sizes and lengths in `videos`, some in a subfolder.
    pub(crate) fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir_all(bench.path("videos/more")).unwrap();
        for (name, frames, size) in [
            ("a.mkv", 9, [16, 24]),
            ("b c.mkv", 1, [17, 31]),
            ("more/d.v2.mkv", 20, [16, 16]),
            ("more/e.mkv", 6, [20, 16]),
        ] {
            bench.video(&format!("videos/{name}"), frames, size);
        }
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a lossless video of a generated scene, a different one for each number of frames.
    pub(crate) fn video(&self, name: &str, frames: usize, size: [i64; 2]) {
        let times: Vec<f64> = (0..frames).map(|i| i as f64 / 10.0).collect();
        self.write(name, &Scene::new(frames as u64).frames(&times, size), VideoQuality::Lossless);
    }

    /// Writes a video of frames uint8 `[t, h, w, 3]` at 10 fps.
    pub(crate) fn write(&self, name: &str, frames: &Tensor, quality: VideoQuality) {
        let (size, rate) = ([frames.size()[1], frames.size()[2]], FrameRate::new(10, 1).unwrap());
        let ffmpeg = Ffmpeg::locate().unwrap();
        let mut writer = VideoWriter::create(&ffmpeg, self.path(name), size, rate, quality).unwrap();
        writer.write(frames).unwrap();
        writer.finish().unwrap();
    }

    pub(crate) fn options(&self, out: &str, format: ShardFormat) -> TokenizeOptions {
        TokenizeOptions {
            data: self.path("videos"),
            out: self.path(out),
            preparation: Preparation::default(),
            format,
            latents: NumberType::F16,
            shard_videos: 3,
            max_memory: 4 << 30,
            decoders: 2,
            retry: false,
            rank: 0,
            world_size: 1,
            stop: std::sync::Arc::default(),
        }
    }
}

/// A model with random weights, of the configuration `tiny_kl` or `tiny_fsq`.
pub(crate) fn model(config: &str, causality: &str) -> Tokenizer {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../configs/{config}.toml"));
    let overrides = [format!("model.causality={causality:?}")];
    Tokenizer::init(Config::load(&path, &overrides).unwrap(), 0, Device::Cpu).unwrap()
}

/// Tokenizes, and returns the summary and the reason for each skipped video.
pub(crate) fn run(
    tokenizer: &Tokenizer,
    options: &TokenizeOptions,
) -> Result<(TokenizeSummary, BTreeMap<String, String>), TokenizeError> {
    let mut skipped = BTreeMap::new();
    let summary = tokenize(tokenizer, options, &mut |event| {
        if let TokenizeProgress::Skipped { path, reason } = event {
            skipped.insert(path.to_owned(), reason.to_owned());
        }
    })?;
    Ok((summary, skipped))
}

/// All videos of a dataset with their tensors: int32 `[t, h, w]`, or floats `[z, t, h, w]`.
pub(crate) fn contents(folder: &Path) -> Vec<(VideoEntry, BTreeMap<&'static str, Tensor>)> {
    let dataset = Dataset::open(folder).unwrap();
    let mut all = Vec::new();
    for path in shards(folder, &dataset).unwrap() {
        let shard = Shard::open(&path, dataset.latent).unwrap();
        for (index, entry) in shard.videos().enumerate() {
            let tensors = match shard.tokens(index, 0, entry.tokens[0]).unwrap() {
                Tokens::Indices(indices) => vec![("indices", indices)],
                Tokens::Moments { mean, logvar } => vec![("mean", mean), ("logvar", logvar)],
            };
            let tensors = tensors.into_iter().map(|(name, tensor)| (name, tensor.squeeze_dim(0))).collect();
            all.push((entry.clone(), tensors));
        }
    }
    all
}

/// The bytes of all files in a folder and its subfolders, by relative path.
pub(crate) fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                all.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    all
}
