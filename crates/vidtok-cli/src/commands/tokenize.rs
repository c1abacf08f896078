//! `vidtok tokenize`: a folder of videos to a sharded dataset of tokens.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use vidtok_core::FrameRate;
use vidtok_data::{InputOptions, Preparation};
use vidtok_tokenize::{
    Manifest, Meter, NumberType, ShardFormat, TokenizeOptions, TokenizeProgress, TokenizeSummary, tokenize,
};

use crate::args::{ComputeArgs, ModelArgs, PROCESSES, parse_bytes, parse_rate};
use crate::io::clip::ReadArgs;
use crate::process::launcher;
use crate::process::signals::end_on_signals;
use crate::terminal::notices::Notices;
use crate::terminal::progress;

/// How often progress is printed where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);

/// Arguments of `vidtok tokenize`.
#[derive(Debug, Args)]
pub(crate) struct TokenizeArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Folder of videos and of folders of frames (PNG, JPEG), or CSV with a column `videos` of paths in its folder
    #[arg(long, value_name = "DIR|CSV")]
    data: PathBuf,
    /// Folder for the dataset; what is done there is not done again
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Take those frames that come close to this many a second; all without it
    #[arg(long, value_parser = parse_rate)]
    fps: Option<FrameRate>,
    /// Images of a folder of frames that are shown in a second
    #[arg(long, value_name = "RATE", default_value_t = InputOptions::FRAME_RATE, value_parser = parse_rate)]
    frame_rate: FrameRate,
    /// Resize the shorter side to this; as it is without it
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(i64).range(1..=16384))]
    size: Option<i64>,
    /// Cut this height and width out of the middle; one number for both
    #[arg(long, value_name = "H,W", value_parser = parse_crop)]
    crop: Option<[i64; 2]>,
    #[command(flatten)]
    read: ReadArgs,
    /// Files of the shards
    #[arg(long, value_enum, default_value_t = Format::Safetensors)]
    format: Format,
    /// Number type of the means and log-variances of a continuous model; indices are packed
    #[arg(long, value_enum, default_value_t = Latents::F16)]
    latents: Latents,
    /// Videos of a shard, which is also what workers share the work by
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=50_000))]
    shard_videos: u64,
    /// The most memory to hold, such as 2GiB; other values change nothing but the rounding of the last bits
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = parse_bytes)]
    max_memory: u64,
    /// Threads that decode videos ahead of the networks
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=64))]
    decoders: u64,
    /// Share the work among so many processes on this machine
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(PROCESSES))]
    nproc: Option<u32>,
    /// Try again the videos that could not be used, although they have not changed
    #[arg(long)]
    retry: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Safetensors,
    Webdataset,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Latents {
    F16,
    Bf16,
}

/// "256,320" or "256".
fn parse_crop(text: &str) -> Result<[i64; 2], String> {
    let (height, width) = text.split_once(',').unwrap_or((text, text));
    let side = |text: &str| text.trim().parse().ok().filter(|side| (1..=16384).contains(side));
    match (side(height), side(width)) {
        (Some(height), Some(width)) => Ok([height, width]),
        _ => Err("expected a height and a width from 1 to 16384, such as 256,320".to_owned()),
    }
}

pub(crate) fn run(arguments: &TokenizeArgs) -> anyhow::Result<()> {
    let launch = launcher::launched()?;
    if let Some(processes) = arguments.nproc {
        ensure!(launch.is_none(), "--nproc starts processes; this one was started as one of several already");
        return launcher::start(processes as usize);
    }
    let (rank, workers) = launch.map_or((0, 1), |launch| (launch.rank, launch.world_size));
    let stop = end_on_signals("videos that are done stay, and the same command goes on")?;
    let tokenizer = arguments.model.load(&arguments.compute)?;
    let sample_fps = arguments.fps.map(FrameRate::as_f64);
    let options = TokenizeOptions {
        data: arguments.data.clone(),
        out: arguments.out.clone(),
        preparation: Preparation {
            sample_fps,
            shorter_side: arguments.size,
            crop: arguments.crop,
            max_frames: None,
            input: InputOptions {
                frame_rate: arguments.frame_rate,
                read: arguments.read.options(),
                ..InputOptions::default()
            },
        },
        format: match arguments.format {
            Format::Safetensors => ShardFormat::Safetensors,
            Format::Webdataset => ShardFormat::Webdataset,
        },
        latents: match arguments.latents {
            Latents::F16 => NumberType::F16,
            Latents::Bf16 => NumberType::Bf16,
        },
        shard_videos: arguments.shard_videos as usize,
        max_memory: arguments.max_memory,
        decoders: arguments.decoders as usize,
        retry: arguments.retry,
        rank,
        workers,
        stop,
    };
    let mut display = Display { bar: ProgressBar::hidden(), said: Instant::now(), notices: Notices::default() };
    let summary = tokenize(&tokenizer, &options, &mut |event| display.show(&event))?;
    display.bar.finish_and_clear();
    print(&summary);
    ensure!(summary.manifest.is_some() || !summary.stopped, "stopped");
    ensure!(summary.manifest.as_ref().is_none_or(|manifest| manifest.totals.videos > 0), "no video could be used");
    Ok(())
}

/// Shows a run on the terminal, or says how it goes from time to time.
struct Display {
    bar: ProgressBar,
    said: Instant,
    notices: Notices,
}

impl Display {
    fn show(&mut self, event: &TokenizeProgress<'_>) {
        match event {
            TokenizeProgress::LeftOut(left_out) => println!("{left_out}"),
            TokenizeProgress::Started { videos, done } => {
                println!("{videos} videos, {done} of them done");
                self.bar = progress::bar(*videos as u64, "videos");
                self.bar.set_position(*done as u64);
                self.bar.reset_eta();
            }
            TokenizeProgress::Video { path, meter } => {
                self.bar.inc(1);
                progress::say(&self.bar, &describe(meter));
                if self.bar.is_hidden() && self.said.elapsed() >= EVERY {
                    println!("{} of {} videos  {}  {path}", self.bar.position(), self.bar_length(), describe(meter));
                    self.said = Instant::now();
                }
            }
            TokenizeProgress::Notice { path, notice } => {
                if let Some(line) = self.notices.line(path, notice) {
                    self.bar.suspend(|| eprintln!("{line}"));
                }
            }
            TokenizeProgress::Skipped { path, reason } => {
                self.bar.inc(1);
                self.bar.suspend(|| eprintln!("skipped: {path}: {reason}"));
            }
            TokenizeProgress::Shard { resumed, .. } => self.bar.inc(*resumed as u64),
        }
    }

    fn bar_length(&self) -> u64 {
        self.bar.length().unwrap_or(0)
    }
}

fn describe(meter: &Meter) -> String {
    format!("{:.1} frames/s  waiting {:.0} %", meter.frames_per_second(), 100.0 * meter.waiting_share())
}

fn print(summary: &TokenizeSummary) {
    let TokenizeSummary { meter, shards, finished, .. } = summary;
    println!("tokenized      {} videos, {} frames, {}", meter.videos, meter.frames, describe(meter));
    println!("shards         {finished} of {shards} finished");
    if let Some(manifest) = &summary.manifest {
        print_manifest(manifest);
    }
}

fn print_manifest(manifest: &Manifest) {
    let totals = &manifest.totals;
    println!(
        "dataset        {} videos ({} skipped), {} frames, {:.1} s, {} tokens",
        totals.videos, totals.skipped, totals.frames, totals.seconds, totals.tokens
    );
    println!(
        "storage        {:.1} tokens a second, {:.4} bits per pixel ({:.4} in the videos' files), {} bytes: {:.3} of the \
         videos' files",
        manifest.tokens_per_second,
        manifest.bits_per_pixel,
        manifest.source_bits_per_pixel,
        totals.token_bytes,
        manifest.bytes_per_source_byte
    );
    if let Some(codes) = &manifest.codes {
        println!(
            "codes          {} of {} used, {:.2} bits of entropy, perplexity {:.0}",
            codes.used, codes.size, codes.entropy_bits, codes.perplexity
        );
    }
}
