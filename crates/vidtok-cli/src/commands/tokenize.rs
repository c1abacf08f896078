//! `vidtok tokenize`: tokenizes a folder of videos into a sharded dataset.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use vidtok::Tokenizer;
use vidtok_tokenize::{
    Manifest, Meter, NumberType, ShardFormat, TokenizeOptions, TokenizeProgress, TokenizeSummary, tokenize,
};

use crate::args::{ComputeArgs, ModelArgs, PROCESSES, VideoArgs, parse_bytes};
use crate::process::launcher;
use crate::process::rank::launched;
use crate::process::signals::stop_promptly;
use crate::terminal::notices::FirstNotices;
use crate::terminal::progress;

/// How often progress is printed if standard error is not a terminal.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Arguments of `vidtok tokenize`.
#[derive(Debug, Args)]
pub(crate) struct TokenizeArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Folder of videos and of folders of frames (PNG, JPEG), or CSV with a column `videos` of paths relative to it
    #[arg(long, value_name = "DIR|CSV")]
    data: PathBuf,
    /// Folder for the dataset; videos that are finished there are not tokenized again
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    videos: VideoArgs,
    /// File format of the shards
    #[arg(long, value_enum, default_value_t = Format::Safetensors)]
    format: Format,
    /// Number type of a continuous model's means and log-variances; indices are always packed
    #[arg(long, value_enum, default_value_t = Latents::F16)]
    latents: Latents,
    /// Videos per shard; a shard is also the unit of work of a process
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=50_000))]
    shard_videos: u64,
    /// Memory limit, such as 2GiB; it may change the rounding of the last bits, nothing else
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = parse_bytes)]
    max_memory: u64,
    /// Threads that decode videos ahead of the networks
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=64))]
    decoders: u64,
    /// Split the work among this many processes on this machine
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(PROCESSES))]
    nproc: Option<u32>,
    /// Retry videos that could not be used, although they have not changed
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

pub(crate) fn run(arguments: &TokenizeArgs) -> anyhow::Result<()> {
    let launch = launched()?;
    if let Some(processes) = arguments.nproc {
        ensure!(launch.is_none(), "--nproc: this process was itself started by a launcher (RANK is set)");
        return launcher::start(processes as usize);
    }
    let (rank, world_size) = launch.as_ref().map_or((0, 1), |launch| (launch.rank, launch.world_size));
    let stop = stop_promptly("finished videos are kept; run the same command to continue")?;
    let tokenizer = arguments.model.load_in(launch.as_ref(), &arguments.compute)?;
    let options = TokenizeOptions {
        data: arguments.data.clone(),
        out: arguments.out.clone(),
        preparation: arguments.videos.preparation(),
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
        world_size,
        stop,
    };
    let summary = tokenize_visibly(&tokenizer, &options)?;
    print(&summary);
    ensure!(summary.manifest.is_some() || !summary.stopped, "stopped");
    ensure!(
        summary.manifest.as_ref().is_none_or(|manifest| manifest.totals.videos > 0),
        "{}: no video could be used",
        arguments.data.display()
    );
    Ok(())
}

/// Tokenizes with a progress bar.
pub(super) fn tokenize_visibly(tokenizer: &Tokenizer, options: &TokenizeOptions) -> anyhow::Result<TokenizeSummary> {
    let mut display =
        TokenizeDisplay { bar: ProgressBar::hidden(), reported: Instant::now(), notices: FirstNotices::default() };
    let summary = tokenize(tokenizer, options, &mut |event| display.show(&event))?;
    display.bar.finish_and_clear();
    Ok(summary)
}

/// Shows progress in a bar, or prints it at intervals if there is no terminal.
struct TokenizeDisplay {
    bar: ProgressBar,
    reported: Instant,
    notices: FirstNotices,
}

impl TokenizeDisplay {
    fn show(&mut self, event: &TokenizeProgress<'_>) {
        match event {
            TokenizeProgress::LeftOut(left_out) => println!("{left_out}"),
            TokenizeProgress::Started { videos, finished } => {
                println!("{videos} videos, {finished} already finished");
                self.bar = progress::bar(*videos as u64, "videos");
                self.bar.set_position(*finished as u64);
                self.bar.reset_eta();
            }
            TokenizeProgress::Video { path, meter } => {
                self.bar.inc(1);
                progress::set_message(&self.bar, &describe(meter));
                if self.bar.is_hidden() && self.reported.elapsed() >= REPORT_INTERVAL {
                    println!("{} of {} videos  {}  {path}", self.bar.position(), self.bar_length(), describe(meter));
                    self.reported = Instant::now();
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
    format!("{:.1} frames/s  waiting {:.0} %", meter.frames_per_second(), 100.0 * meter.waiting_fraction())
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
        "storage        {:.1} tokens/s, {:.4} bits per pixel (video files: {:.4}), {} bytes ({:.3} of the video files)",
        manifest.tokens_per_second,
        manifest.bits_per_pixel,
        manifest.source_bits_per_pixel,
        totals.token_bytes,
        manifest.bytes_per_source_byte
    );
    if let Some(codes) = &manifest.codes {
        println!(
            "codes          {} of {} used, entropy {:.2} bits, perplexity {:.0}",
            codes.used, codes.size, codes.entropy_bits, codes.perplexity
        );
    }
}
