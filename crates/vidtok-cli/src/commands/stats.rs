//! `vidtok stats`: measures the statistics of a model's latent and stores them in the model.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;
use vidtok::{Config, LatentStatistics, Tokenizer};
use vidtok_tokenize::{Manifest, NumberType, ShardFormat, TokenizeOptions};

use crate::args::{ComputeArgs, ModelArgs, VideoArgs, parse_bytes};
use crate::commands::tokenize::tokenize_visibly;
use crate::io::output::check_tensor_output;
use crate::process::signals::{NOTHING_WRITTEN, stop_promptly};
use crate::terminal::progress;

/// Arguments of `vidtok stats`.
#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Folder of videos, or CSV with a column `videos`; or the token dataset of a folder, made by this model
    #[arg(long, value_name = "DIR|CSV")]
    data: PathBuf,
    #[command(flatten)]
    videos: VideoArgs,
    /// Memory limit, such as 2GiB
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = parse_bytes)]
    max_memory: u64,
    /// One-file model to write, with the statistics (.safetensors); it may be the model itself. By default they are only
    /// printed
    output: Option<PathBuf>,
}

pub(crate) fn run(arguments: &StatsArgs) -> anyhow::Result<()> {
    if let Some(output) = &arguments.output {
        check_tensor_output(output)?;
    }
    let tokenizer = arguments.model.load(&arguments.compute)?;
    let manifest = match arguments.data.join("dataset.json").exists() {
        true => finished_dataset(&arguments.data, &tokenizer)?,
        false => measure(arguments, &tokenizer)?,
    };
    let statistics = manifest.latent;
    statistics
        .validate(tokenizer.quantizer().latent_channels())
        .with_context(|| format!("{}: the latent has no spread", arguments.data.display()))?;
    print(&statistics);
    if let Some(output) = &arguments.output {
        // Read again, since the tokenizer may have converted the weights to another number type.
        let (config, weights) = arguments.model.read()?;
        let config = Config { latent_statistics: Some(statistics), ..config };
        let weights = weights.context("no weights")?;
        progress::during("writing the model", || weights.save_model(output, &config))?;
    }
    Ok(())
}

/// The manifest of a finished token dataset.
fn finished_dataset(folder: &Path, tokenizer: &Tokenizer) -> anyhow::Result<Manifest> {
    let manifest = Manifest::open(folder)?;
    let (there, here) = (&manifest.dataset.weights_sha256, tokenizer.weights_sha256());
    ensure!(
        *there == here,
        "{}: was made by {} with weights of sha256 {there}, not {here}",
        folder.display(),
        manifest.dataset.model.name
    );
    Ok(manifest)
}

/// Tokenizes the videos into a temporary dataset, for its manifest.
fn measure(arguments: &StatsArgs, tokenizer: &Tokenizer) -> anyhow::Result<Manifest> {
    let stop = stop_promptly(NOTHING_WRITTEN)?;
    let scratch = tempfile::tempdir().context("the folder for temporary files")?;
    let options = TokenizeOptions {
        data: arguments.data.clone(),
        out: scratch.path().to_owned(),
        preparation: arguments.videos.preparation(),
        format: ShardFormat::Safetensors,
        latents: NumberType::F16,
        shard_videos: 256,
        max_memory: arguments.max_memory,
        decoders: 2,
        retry: false,
        rank: 0,
        world_size: 1,
        stop,
    };
    let summary = tokenize_visibly(tokenizer, &options)?;
    ensure!(!summary.stopped, "stopped");
    let manifest = summary.manifest.filter(|manifest| manifest.totals.videos > 0);
    manifest.with_context(|| format!("{}: no video could be used", arguments.data.display()))
}

fn print(statistics: &LatentStatistics) {
    println!("channel        mean         std");
    for (channel, (mean, std)) in statistics.mean.iter().zip(&statistics.std).enumerate() {
        println!("{channel:>7}  {mean:>10.5}  {std:>10.5}");
    }
}
