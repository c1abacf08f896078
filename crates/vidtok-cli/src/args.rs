//! Groups of flags that several commands share, and the values that flags accept.

use std::io::{self, IsTerminal};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use tch::{Device, Kind};
use vidtok::{Config, MemoryPlan, Tokenizer, Weights, Window, Work, default_budget, resident_bytes};
use vidtok_core::{FrameRate, Launch, ParseFrameRateError};
use vidtok_data::{Hdr, InputOptions, Preparation, ReadOptions, WriteOptions};
use vidtok_torch::{cuda_devices, use_cuda, use_tf32};

use crate::model_source::open_model;
use crate::terminal::progress;

/// The model to use.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// One-file model (written by `vidtok convert`, `init` or `train`), folder of the Python library diffusers, name of a
    /// built-in or published model (`vidtok models` lists them), or hf:OWNER/NAME[:FILE][@REVISION] on the Hugging Face hub;
    /// by default the first built-in one
    #[arg(long, value_name = "MODEL")]
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
    /// Override a value of the configuration, such as model.ch=32
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
}

/// CPU threads of a process. Far more threads than cores bring the work almost to a halt.
pub(crate) const THREADS: RangeInclusive<i64> = 1..=256;
/// Processes that a command may start on this machine.
pub(crate) const PROCESSES: RangeInclusive<i64> = 1..=256;
/// Indices of CUDA devices that libtorch accepts.
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
    /// CPU threads; all cores by default
    #[arg(long, value_parser = clap::value_parser!(i32).range(THREADS))]
    pub(crate) threads: Option<i32>,
}

/// How much memory to use.
#[derive(Debug, Args)]
pub(crate) struct MemoryArgs {
    /// Memory limit, such as 2GiB or 800MiB; by default nearly all free memory. The work is split into shorter chunks
    /// and strips of rows to fit, which does not change the result
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    max_memory: Option<u64>,
}

impl MemoryArgs {
    /// The part of the limit for frames of the source's own size, in bytes.
    pub(crate) fn for_source_frames(&self) -> Option<u64> {
        self.max_memory.map(|limit| limit / 8)
    }

    /// Plans the work on a clip of `[t, h, w]`, besides which this process holds `buffers` bytes of frames, and prints
    /// the plan for users who watch or who set a limit.
    pub(crate) fn plan(
        &self,
        tokenizer: &Tokenizer,
        work: Work,
        clip: [i64; 3],
        window: Option<Window>,
        buffers: u64,
    ) -> anyhow::Result<MemoryPlan> {
        let device = tokenizer.device();
        // On a GPU, the limit is for its own memory, beyond the weights.
        let held = if device == Device::Cpu { resident_bytes().unwrap_or(0).saturating_add(buffers) } else { 0 };
        let budget = self.max_memory.or_else(|| default_budget(device));
        let plan = MemoryPlan::beside(tokenizer, work, clip, window, held, budget)?;
        // Like progress bars, the plan is hidden from programs that did not ask for it.
        if self.max_memory.is_some() || io::stderr().is_terminal() {
            eprintln!("plan: {plan}");
        }
        Ok(plan)
    }
}

/// How pixels are read.
#[derive(Debug, Default, Args)]
pub(crate) struct ReadArgs {
    /// High dynamic range (PQ, HLG): tone-map converts it to BT.709, keep stores its signal unchanged in 8 bits
    #[arg(long, value_enum, default_value_t = HdrChoice::ToneMap)]
    hdr: HdrChoice,
    /// Deinterlace interlaced video without changing its frame rate; by default its fields stay woven
    #[arg(long)]
    deinterlace: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum HdrChoice {
    #[default]
    ToneMap,
    Keep,
}

impl ReadArgs {
    pub(crate) fn options(&self) -> ReadOptions {
        let hdr = match self.hdr {
            HdrChoice::ToneMap => Hdr::ToneMap,
            HdrChoice::Keep => Hdr::Keep,
        };
        ReadOptions { hdr, deinterlace: self.deinterlace }
    }
}

/// How videos are stored.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct WriteArgs {
    /// Repeat the last row or column of an odd size, so that all players can show the video (4:2:0); by default the odd
    /// size is kept, with full colour resolution (4:4:4)
    #[arg(long)]
    player_friendly: bool,
}

impl WriteArgs {
    pub(crate) fn options(self) -> WriteOptions {
        WriteOptions { player_friendly: self.player_friendly, ..WriteOptions::default() }
    }
}

/// The size and the frame rate of the frames that are encoded. None of these flags changes the shape of pixels.
#[derive(Debug, Args)]
pub(crate) struct FrameArgs {
    /// Resize and centre-crop to this height; by default the height is kept, or follows from --width
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..=16384))]
    pub(crate) height: Option<i64>,
    /// Resize and centre-crop to this width; by default the width is kept, or follows from --height
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..=16384))]
    pub(crate) width: Option<i64>,
    /// Sample a video file at about this many frames per second; for a tensor: its frames per second
    #[arg(long, value_parser = parse_rate)]
    pub(crate) fps: Option<FrameRate>,
    /// Frames per second of an input that is a folder of frames (PNG, JPEG), a pattern such as frames/%06d.png, or an
    /// image
    #[arg(long, value_name = "RATE", default_value_t = InputOptions::FRAME_RATE, value_parser = parse_rate)]
    pub(crate) frame_rate: FrameRate,
    /// For non-causal models: frames that each window of 16 shares with the previous one, where the two are
    /// cross-faded. The number of tokens grows accordingly
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..=12))]
    pub(crate) overlap: i64,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

impl FrameArgs {
    /// The height and width to which frames of h x w are brought; a side that is not given follows from the other.
    pub(crate) fn size(&self, [h, w]: [i64; 2]) -> [i64; 2] {
        let scaled = |side: i64, to: i64, from: i64| ((side * to) as f64 / from as f64).round().max(1.0) as i64;
        match (self.height, self.width) {
            (Some(height), Some(width)) => [height, width],
            (Some(height), None) => [height, scaled(w, height, h)],
            (None, Some(width)) => [scaled(h, width, w), width],
            (None, None) => [h, w],
        }
    }
}

impl Default for FrameArgs {
    fn default() -> Self {
        let (frame_rate, read) = (InputOptions::FRAME_RATE, ReadArgs::default());
        Self { height: None, width: None, fps: None, frame_rate, overlap: 0, read }
    }
}

/// Which frames of a folder's videos are taken, and how they are resized and cropped.
#[derive(Debug, Args)]
pub(crate) struct VideoArgs {
    /// Sample videos at about this many frames per second; by default all frames are kept
    #[arg(long, value_parser = parse_rate)]
    fps: Option<FrameRate>,
    /// Frames per second of folders of frames
    #[arg(long, value_name = "RATE", default_value_t = InputOptions::FRAME_RATE, value_parser = parse_rate)]
    frame_rate: FrameRate,
    /// Resize the shorter side to this; by default the size is kept
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(i64).range(1..=16384))]
    size: Option<i64>,
    /// Centre-crop to this height and width; one number for both
    #[arg(long, value_name = "H,W", value_parser = parse_crop)]
    crop: Option<[i64; 2]>,
    #[command(flatten)]
    read: ReadArgs,
}

impl VideoArgs {
    pub(crate) fn preparation(&self) -> Preparation {
        Preparation {
            sample_fps: self.fps.map(FrameRate::as_f64),
            shorter_side: self.size,
            crop: self.crop,
            max_frames: None,
            input: InputOptions { frame_rate: self.frame_rate, read: self.read.options(), ..InputOptions::default() },
        }
    }
}

/// Parses "256,320" or "256".
fn parse_crop(text: &str) -> Result<[i64; 2], String> {
    let (height, width) = text.split_once(',').unwrap_or((text, text));
    let side = |text: &str| text.trim().parse().ok().filter(|side| (1..=16384).contains(side));
    match (side(height), side(width)) {
        (Some(height), Some(width)) => Ok([height, width]),
        _ => Err("expected a height and a width from 1 to 16384, such as 256,320".to_owned()),
    }
}

/// Parses "2GiB", "800MiB" or a number of bytes, up to a pebibyte.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    const MAX: f64 = (1u64 << 50) as f64;
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40), ("", 0)];
    let parse = |(unit, shift): (&str, u32)| {
        let number: f64 = text.strip_suffix(unit)?.trim().parse().ok()?;
        let bytes = number * 2f64.powi(shift as i32);
        (1.0..=MAX).contains(&bytes).then_some(bytes as u64)
    };
    let expected = || "expected a size from 1 byte to 1024TiB, such as 2GiB or 800MiB".to_owned();
    units.into_iter().find_map(parse).ok_or_else(expected)
}

/// Frame rates that are accepted, per second.
pub(crate) const RATES: RangeInclusive<f64> = 0.001..=1e6;

/// Parses a frame rate within [`RATES`].
pub(crate) fn parse_rate(text: &str) -> Result<FrameRate, String> {
    let rate: FrameRate = text.parse().map_err(|error: ParseFrameRateError| error.to_string())?;
    let (min, max) = (RATES.start(), RATES.end());
    let is_valid = RATES.contains(&rate.as_f64());
    is_valid.then_some(rate).ok_or_else(|| format!("expected a rate from {min} to {max} frames per second"))
}

/// The number type of weights and activations.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Dtype {
    F32,
    /// float32 whose convolutions and matrix products round their factors to a mantissa of 10 bits; GPUs only
    Tf32,
    Bf16,
    F16,
}

impl Dtype {
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::F32 | Self::Tf32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
            Self::F16 => Kind::Half,
        }
    }
}

/// Parses "cpu", "cuda" or "cuda:N".
pub(crate) fn parse_device(text: &str) -> Result<Device, String> {
    let index = match text.split_once(':') {
        None if text == "cpu" => return Ok(Device::Cpu),
        None if text == "cuda" => Some(0),
        Some(("cuda", index)) => index.parse().ok().filter(|index| DEVICES.contains(index)),
        _ => None,
    };
    index.map(Device::Cuda).ok_or_else(|| format!("expected cpu, cuda or cuda:N with N from 0 to {}", DEVICES.end()))
}

/// Starts the CPU threads and, for a GPU, CUDA. Returns the device of this process: of several processes that were
/// started on a machine, each takes a GPU of its own, unless it sees only one.
pub(crate) fn start(threads: Option<i32>, device: Device, launch: Option<&Launch>) -> anyhow::Result<Device> {
    start_threads(threads);
    let Device::Cuda(mut index) = device else { return Ok(device) };
    if let Some(launch) = launch
        && cuda_devices().context("--device cuda")? > 1
    {
        index = launch.local_rank;
    }
    use_cuda(index).context("--device cuda")?;
    // float32 means the same on every device.
    use_tf32(false);
    Ok(Device::Cuda(index))
}

/// Sets the number of CPU threads and starts them.
pub(crate) fn start_threads(threads: Option<i32>) {
    if let Some(threads) = threads {
        tch::set_num_threads(threads);
    }
    vidtok_data::start_thread_pool();
}

impl ComputeArgs {
    /// Starts what these arguments ask for, see [`start`].
    pub(crate) fn start(&self, launch: Option<&Launch>) -> anyhow::Result<Device> {
        let device = start(self.threads, self.device, launch)?;
        let is_tf32 = matches!(self.dtype, Dtype::Tf32);
        ensure!(!is_tf32 || device != Device::Cpu, "--dtype tf32: a CPU computes in f32 or bf16");
        if is_tf32 {
            use_tf32(true);
        }
        Ok(device)
    }
}

impl ModelArgs {
    /// The model with its weights.
    pub(crate) fn load(&self, compute: &ComputeArgs) -> anyhow::Result<Tokenizer> {
        self.load_in(None, compute)
    }

    /// As [`load`](Self::load), in one of several processes.
    pub(crate) fn load_in(&self, launch: Option<&Launch>, compute: &ComputeArgs) -> anyhow::Result<Tokenizer> {
        let device = compute.start(launch)?;
        let (config, weights) = self.read()?;
        let weights = weights.context("no weights: add --weights FILE to --config, or give --model FILE")?;
        progress::during("loading the model", || {
            Ok(Tokenizer::with_weights(config, weights, device, compute.dtype.kind())?)
        })
    }

    /// The configuration with its overrides, and the weights if there are any.
    pub(crate) fn read(&self) -> anyhow::Result<(Config, Option<Weights>)> {
        let Some(path) = &self.config else {
            let (config, weights) = open_model(self.model.as_deref())?;
            return Ok((config.with_overrides(&self.overrides)?, Some(weights)));
        };
        let config = Config::load(path, &self.overrides)?;
        let weights = self.weights.as_ref().map(|path| read_weights(path, self.ema, &config)).transpose()?;
        Ok((config, weights))
    }
}

/// Reads the weights of a file, or its averaged weights if `ema`, and reports prefixes that were removed from their
/// names.
pub(crate) fn read_weights(path: &Path, ema: bool, config: &Config) -> anyhow::Result<Weights> {
    let mut weights = Weights::read(path)?;
    if weights.unwrapped() > 0 {
        let (name, keys) = (path.display(), weights.unwrapped());
        eprintln!("{name}: removed the prefix \"module.\" or \"_orig_mod.\", which wrappers add, from {keys} keys");
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
    fn sizes_rates_and_devices_out_of_range_are_rejected() {
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
