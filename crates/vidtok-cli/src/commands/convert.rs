//! `vidtok convert`: converts a checkpoint to a one-file model or to a folder of diffusers.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};
use tch::Device;
use vidtok::{Config, Tokenizer, Weights};

use crate::args::{Dtype, read_weights};
use crate::io::output::check_tensor_output;
use crate::terminal::progress;

/// Arguments of `vidtok convert`.
#[derive(Debug, Args)]
pub(crate) struct ConvertArgs {
    /// Configuration of the checkpoint; not needed for a one-file model
    #[arg(long, value_name = "TOML")]
    config: Option<PathBuf>,
    /// Override a value of the configuration, such as model.ch=32
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Convert the averaged weights (model_ema.*)
    #[arg(long, requires = "config")]
    ema: bool,
    /// Number type of the stored weights
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    dtype: Dtype,
    /// What to write
    #[arg(long, value_enum, default_value_t = Target::Model)]
    to: Target,
    /// Checkpoint (.ckpt, .pt), one-file model (.safetensors), or folder of diffusers
    input: PathBuf,
    /// One-file model (.safetensors), or the folder for --to diffusers
    output: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Target {
    /// A one-file model
    Model,
    /// A folder of the Python library diffusers, for AutoencoderVidTok.from_pretrained
    Diffusers,
}

pub(crate) fn run(arguments: &ConvertArgs) -> anyhow::Result<()> {
    if arguments.to == Target::Model {
        check_tensor_output(&arguments.output)?;
    }
    let (config, weights) = match &arguments.config {
        Some(path) => {
            let config = Config::load(path, &arguments.overrides)?;
            let weights = read_weights(&arguments.input, arguments.ema, &config)?;
            (config, weights)
        }
        None => {
            let weights = Weights::read(&arguments.input)?;
            let config = weights.config().cloned();
            let config = config
                .with_context(|| format!("{}: holds no configuration; give --config TOML", weights.path().display()))?;
            (config.with_overrides(&arguments.overrides)?, weights)
        }
    };
    let kind = arguments.dtype.kind();
    let tokenizer =
        progress::during("loading the weights", || Tokenizer::with_weights(config, weights, Device::Cpu, kind))?;
    tokenizer.check_finite().with_context(|| arguments.input.display().to_string())?;
    let name = arguments.input.file_name().unwrap_or_default().to_string_lossy();
    let averaged = if arguments.ema { ", EMA weights" } else { "" };
    let origin = format!("converted from {name}{averaged}");
    progress::during("writing the model", || match arguments.to {
        Target::Model => tokenizer.save(&arguments.output, &origin),
        Target::Diffusers => tokenizer.save_diffusers(&arguments.output),
    })?;
    Ok(())
}
