//! `vidtok init`: creates a model with random weights.

use std::path::PathBuf;

use clap::Args;
use vidtok::{Config, Tokenizer};

use crate::io::output::check_tensor_output;
use crate::terminal::progress;

/// Arguments of `vidtok init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Configuration of the model
    #[arg(long, value_name = "TOML")]
    config: PathBuf,
    /// Override a value of the configuration, such as model.ch=32
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Seed of the random weights
    #[arg(long, default_value_t = 0)]
    seed: i64,
    /// One-file model to write (.safetensors)
    output: PathBuf,
}

pub(crate) fn run(arguments: &InitArgs) -> anyhow::Result<()> {
    let config = Config::load(&arguments.config, &arguments.overrides)?;
    check_tensor_output(&arguments.output)?;
    progress::during("creating the model", || {
        let tokenizer = Tokenizer::init(config, arguments.seed, tch::Device::Cpu)?;
        tokenizer.save(&arguments.output, &format!("random weights, seed {}", arguments.seed))
    })?;
    Ok(())
}
