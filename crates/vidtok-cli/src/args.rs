//! The arguments of every command, and the flags that several share.

use std::io::{self, IsTerminal};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use tch::{Device, Kind};
use vidtok::{Config, MemoryPlan, Tokenizer, Weights, Window, Work, free_bytes, resident_bytes};
use vidtok_core::{FrameRate, ParseFrameRateError};

use crate::terminal::progress;

/// Video tokenizers: from video to a compact latent or tokens, and back.
#[derive(Debug, Parser)]
#[command(name = "vidtok", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print what a model is
    Info(crate::commands::info::InfoArgs),
    /// Make a one-file model with random weights
    Init(crate::commands::init::InitArgs),
    /// Make a one-file model of a checkpoint
    Convert(crate::commands::convert::ConvertArgs),
    /// Encode a video to its latent or tokens
    Encode(crate::commands::encode::EncodeArgs),
    /// Decode a latent or tokens to a video
    Decode(crate::commands::decode::DecodeArgs),
    /// Encode and decode a video, to see what is lost
    Reconstruct(crate::commands::reconstruct::ReconstructArgs),
    /// Measure models and codecs on a folder of videos
    Evaluate(crate::commands::evaluate::EvaluateArgs),
    /// Measure how far two videos, or two folders of them, are apart
    Metrics(crate::commands::metrics::MetricsArgs),
    /// Compare work in chunks and strips with the whole clip
    Verify(crate::commands::verify::VerifyArgs),
    /// Train a model
    Train(crate::commands::train::TrainArgs),
    /// Turn a folder of videos into a sharded dataset of tokens
    Tokenize(crate::commands::tokenize::TokenizeArgs),
    /// Turn a dataset of tokens back into videos
    Detokenize(crate::commands::detokenize::DetokenizeArgs),
}

/// Which model.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// One-file model (of `vidtok convert`, `init` or `train`)
    #[arg(long, value_name = "FILE", required_unless_present = "config")]
    pub(crate) model: Option<PathBuf>,
    /// Configuration, such as configs/vidtok_kl_causal_488_4chn.toml
    #[arg(long, value_name = "TOML", conflicts_with = "model")]
    pub(crate) config: Option<PathBuf>,
    /// Weights for --config: .ckpt, .pt or .safetensors
    #[arg(long, value_name = "FILE", requires = "config")]
    pub(crate) weights: Option<PathBuf>,
    /// Use the averaged weights (model_ema.*) of --weights
    #[arg(long, requires = "weights")]
    pub(crate) ema: bool,
    /// Set a value of the configuration, such as model.ch=32
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
}

/// Threads of a process that may be asked for. More than there are cores get in each other's way: with many more the work
/// comes to a stand.
pub(crate) const THREADS: RangeInclusive<i64> = 1..=256;
/// Processes that may be started on this machine.
pub(crate) const PROCESSES: RangeInclusive<i64> = 1..=256;
/// CUDA devices that libtorch can number.
const DEVICES: RangeInclusive<usize> = 0..=127;

/// Where and how to compute.
#[derive(Debug, Args)]
pub(crate) struct ComputeArgs {
    /// Device: cpu, cuda or cuda:N
    #[arg(long, default_value = "cpu", value_parser = parse_device)]
    pub(crate) device: Device,
    /// Number type of the networks
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    pub(crate) dtype: Dtype,
    /// CPU threads; all cores without it
    #[arg(long, value_parser = clap::value_parser!(i32).range(THREADS))]
    pub(crate) threads: Option<i32>,
}

/// How much memory the work may take.
#[derive(Debug, Args)]
pub(crate) struct MemoryArgs {
    /// The most memory to hold, such as 2GiB or 800MiB: the work is cut into shorter chunks and lower strips of rows,
    /// which changes nothing in the result; nearly all that is free without it
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    max_memory: Option<u64>,
}

impl MemoryArgs {
    /// What frames of the source's own size may take of it, in bytes.
    pub(crate) fn for_source_frames(&self) -> Option<u64> {
        self.max_memory.map(|most| most / 8)
    }

    /// How the work on a clip of t frames of h x w is cut, when what is read and written takes `beside` bytes in this
    /// process; told to the user.
    pub(crate) fn plan(
        &self,
        tokenizer: &Tokenizer,
        work: Work,
        clip: [i64; 3],
        window: Option<Window>,
        beside: u64,
    ) -> anyhow::Result<MemoryPlan> {
        let device = tokenizer.device();
        let resident = resident_bytes().unwrap_or(0);
        // On a GPU the budget is for what comes beside the weights, there.
        let held = if device == Device::Cpu { resident.saturating_add(beside) } else { 0 };
        let most = || free_bytes(device).map(|free| free / 10 * 9 + held.min(resident));
        let plan = MemoryPlan::beside(tokenizer, work, clip, window, held, self.max_memory.or_else(most))?;
        // As progress bars, nothing for programs that did not ask.
        if self.max_memory.is_some() || io::stderr().is_terminal() {
            eprintln!("plan: {plan}");
        }
        Ok(plan)
    }
}

/// "2GiB", "800MiB" or a number of bytes, up to a petabyte.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    const MOST: f64 = (1u64 << 50) as f64;
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40), ("", 0)];
    let parse = |(unit, shift): (&str, u32)| {
        let number: f64 = text.strip_suffix(unit)?.trim().parse().ok()?;
        let bytes = number * 2f64.powi(shift as i32);
        (1.0..=MOST).contains(&bytes).then_some(bytes as u64)
    };
    let expected = || "expected a size from 1 byte to 1024TiB, such as 2GiB or 800MiB".to_owned();
    units.into_iter().find_map(parse).ok_or_else(expected)
}

/// Frames per second that a video may have.
pub(crate) const RATES: RangeInclusive<f64> = 0.001..=1e6;

/// A rate that is no mistake.
pub(crate) fn parse_rate(text: &str) -> Result<FrameRate, String> {
    let rate: FrameRate = text.parse().map_err(|error: ParseFrameRateError| error.to_string())?;
    let (least, most) = (RATES.start(), RATES.end());
    let is_usual = RATES.contains(&rate.as_f64());
    is_usual.then_some(rate).ok_or_else(|| format!("expected a rate from {least} to {most} frames a second"))
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Dtype {
    F32,
    Bf16,
    F16,
}

impl Dtype {
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::F32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
            Self::F16 => Kind::Half,
        }
    }
}

pub(crate) fn parse_device(text: &str) -> Result<Device, String> {
    let index = match text.split_once(':') {
        None if text == "cpu" => return Ok(Device::Cpu),
        None if text == "cuda" => Some(0),
        Some(("cuda", index)) => index.parse().ok().filter(|index| DEVICES.contains(index)),
        _ => None,
    };
    index.map(Device::Cuda).ok_or_else(|| format!("expected cpu, cuda or cuda:N with N from 0 to {}", DEVICES.end()))
}

impl ComputeArgs {
    /// The device, after checking that it is there and setting the number of threads.
    pub(crate) fn prepare(&self) -> anyhow::Result<Device> {
        prepare(self.device, self.threads)?;
        Ok(self.device)
    }
}

/// Checks that the device is there and sets the number of threads.
pub(crate) fn prepare(device: Device, threads: Option<i32>) -> anyhow::Result<()> {
    if let Some(threads) = threads {
        tch::set_num_threads(threads);
    }
    vidtok_data::start_thread_pool();
    if let Device::Cuda(index) = device {
        let count = tch::Cuda::device_count();
        if i64::try_from(index).is_ok_and(|index| index >= count) {
            bail!("there is no CUDA device {index}: libtorch sees {count}");
        }
    }
    Ok(())
}

impl ModelArgs {
    /// The model with its weights.
    pub(crate) fn load(&self, compute: &ComputeArgs) -> anyhow::Result<Tokenizer> {
        let device = compute.prepare()?;
        progress::during("loading the model", || {
            let (config, weights) = self.read()?;
            let weights = weights.context("no weights: give --weights FILE with --config, or --model FILE")?;
            Ok(Tokenizer::with_weights(config, weights, device, compute.dtype.kind())?)
        })
    }

    /// The configuration with its overrides, and the weights if there are any.
    pub(crate) fn read(&self) -> anyhow::Result<(Config, Option<Weights>)> {
        if let Some(path) = &self.model {
            let weights = Weights::read(path)?;
            let config = weights.config().cloned().ok_or_else(|| vidtok::Error::NotAModel { path: path.clone() })?;
            return Ok((config.with_overrides(&self.overrides)?, Some(weights)));
        }
        let path = self.config.as_ref().context("give --model FILE or --config TOML")?;
        let config = Config::load(path, &self.overrides)?;
        let weights = self.weights.as_ref().map(|path| read_weights(path, self.ema, &config)).transpose()?;
        Ok((config, weights))
    }
}

/// The weights of a file, averaged ones on request; what was left out of its keys is said.
pub(crate) fn read_weights(path: &Path, ema: bool, config: &Config) -> anyhow::Result<Weights> {
    let mut weights = Weights::read(path)?;
    if weights.unwrapped() > 0 {
        let (name, keys) = (path.display(), weights.unwrapped());
        eprintln!("{name}: \"module.\" or \"_orig_mod.\", which wrappers add, was left out of {keys} keys");
    }
    if ema {
        let shapes = Tokenizer::shapes(config.clone())?;
        weights.use_ema(shapes.parameters().names())?;
    }
    Ok(weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_beyond_their_range_are_wrong_usage_that_names_the_range() {
        for (arguments, range) in [
            (["encode", "--threads", "1000"], "1..=256"),
            (["train", "--threads", "0"], "1..=256"),
            (["metrics", "--threads", "2147483648"], "1..=256"),
            (["encode", "--device", "cuda:99999999999999999999"], "0 to 127"),
            (["decode", "--max-memory", "1e30GiB"], "1024TiB"),
            (["reconstruct", "--overlap", "13"], "0..=12"),
            (["tokenize", "--nproc", "1000000"], "1..=256"),
            (["train", "--nproc", "0"], "1..=256"),
            (["tokenize", "--fps", "4294967295"], "0.001 to 1000000"),
            (["tokenize", "--crop", "0,16"], "1 to 16384"),
            (["evaluate", "--fps", "1e-9"], "0.001 to 1000000"),
            (["evaluate", "--max-frames", "18446744073709551615"], "1..=1000000000"),
            (["evaluate", "--compare", "down:4x9223372036854775807"], "1 to 1024"),
            (["verify", "--max-frames", "9223372036854775807"], "1..=100000"),
        ] {
            let error = Arguments::try_parse_from(["vidtok"].iter().chain(&arguments)).unwrap_err();
            let (status, said) = (error.exit_code(), error.to_string());
            assert!(status == 2 && said.contains(arguments[2]) && said.contains(range), "{arguments:?}: {said}");
        }
    }

    #[test]
    fn sizes_rates_and_devices_have_bounds() {
        assert_eq!(["2GiB", "1.5KiB", "1024TiB", "1"].map(parse_bytes), [2 << 30, 1536, 1 << 50, 1].map(Ok));
        for text in ["0", "-1GiB", "1025TiB", "1e300GiB", "inf", "NaN", "much", "GiB", ""] {
            assert!(parse_bytes(text).unwrap_err().contains("1 byte to 1024TiB"), "{text}");
        }
        assert_eq!(
            ["cpu", "cuda", "cuda:7"].map(parse_device),
            [Device::Cpu, Device::Cuda(0), Device::Cuda(7)].map(Ok)
        );
        assert_eq!(parse_rate("30000/1001").unwrap().fraction(), (30000, 1001));
        for (text, word) in [("0", "positive"), ("4294967295", "0.001 to 1000000"), ("1/4294967295", "0.001")] {
            assert!(parse_rate(text).unwrap_err().contains(word), "{text}");
        }
        for text in ["gpu", "cuda:", "cuda:-1", "cuda:128", "cuda:18446744073709551615"] {
            assert!(parse_device(text).unwrap_err().contains("0 to 127"), "{text}");
        }
    }
}
