//! `vidtok metrics`: compares two videos, or two folders of videos.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::Args;
use vidtok_core::FrameSource;
use vidtok_data::{
    Ffmpeg, InputOptions, InputReader, RetryPolicy, VideoList, find_videos, to_model_range, to_unit_range,
};
use vidtok_metrics::{MetricKind, MetricSet};

use crate::args::{ReadArgs, THREADS, start_threads};
use crate::process::signals::stop_promptly;
use crate::terminal::notices::FirstNotices;
use crate::terminal::progress;

/// Frames in a chunk: one sample for FVD.
const WINDOW: usize = 16;

/// Arguments of `vidtok metrics`.
#[derive(Debug, Args)]
pub(crate) struct MetricsArgs {
    /// Metrics: psnr, ssim, ms_ssim, lpips_vgg, lpips_alex, fvd, flicker, seam (at every 16th frame)
    #[arg(long, value_delimiter = ',', default_values_t = ["psnr", "ssim"].map(str::to_owned))]
    metrics: Vec<String>,
    #[command(flatten)]
    read: ReadArgs,
    /// CPU threads; all cores by default
    #[arg(long, value_parser = clap::value_parser!(i32).range(THREADS))]
    threads: Option<i32>,
    /// Video, image or folder of frames (PNG, JPEG), or folder of videos
    a: PathBuf,
    /// The processed version: a video of the same size and length, or a folder with the same file names
    b: PathBuf,
}

pub(crate) fn run(arguments: &MetricsArgs) -> anyhow::Result<()> {
    stop_promptly("no result is complete; run the same command to start again")?;
    let device = tch::Device::Cpu;
    start_threads(arguments.threads);
    let kinds = arguments.metrics.iter().map(|text| text.parse::<MetricKind>()).collect::<Result<Vec<_>, _>>()?;
    let pairs = pairs(&arguments.a, &arguments.b)?;
    let metrics = MetricSet::load(&kinds, device)?;
    let ffmpeg = Ffmpeg::locate()?;
    // No metric depends on the frame rate.
    let input = InputOptions { retry: RetryPolicy::once(), read: arguments.read.options(), ..InputOptions::default() };
    let bar = progress::bar(pairs.len() as u64, "videos");
    let (mut all, mut notices) = (metrics.start(), FirstNotices::default());
    for (a, b) in &pairs {
        let mut readers = [InputReader::open(&ffmpeg, a, &input)?, InputReader::open(&ffmpeg, b, &input)?];
        for reader in &readers {
            let lines = reader.notices();
            let lines = lines.iter().filter_map(|notice| notices.line(reader.path().display(), notice));
            lines.for_each(|line| bar.suspend(|| eprintln!("{line}")));
        }
        let describe = |reader: &InputReader| {
            let info = reader.info();
            format!("{} frames of {}x{}", info.frames, info.width, info.height)
        };
        let [first, second] = [describe(&readers[0]), describe(&readers[1])];
        ensure!(first == second, "{} has {first}, but {} has {second}", a.display(), b.display());
        let mut video = metrics.start();
        while let Some(x) = readers[0].next_frames(WINDOW)? {
            let y = readers[1]
                .next_frames(x.size()[0] as usize)?
                .with_context(|| format!("{}: ends early", b.display()))?;
            let [x, y] = [x, y].map(|frames| to_unit_range(&to_model_range(&frames)));
            video.update(&x, &y)?;
        }
        if let Some((kind, value)) = video.not_finite() {
            bail!("{} and {}: {} is {value}; expected a finite number", a.display(), b.display(), kind.key());
        }
        all.extend(&video.results())?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let mut lines = Vec::new();
    for kind in kinds {
        match all.value(kind) {
            Some(value) if value.is_finite() => lines.push(format!("{:<13} {value:.6}", kind.label())),
            Some(value) => bail!("{} is {value}; expected a finite number", kind.key()),
            None => bail!("{}: {}", kind.key(), all.missing(kind)),
        }
    }
    lines.iter().for_each(|line| println!("{line}"));
    Ok(())
}

/// The pairs of videos to compare.
fn pairs(a: &Path, b: &Path) -> anyhow::Result<Vec<(PathBuf, PathBuf)>> {
    match (folder_of_videos(a)?, folder_of_videos(b)?) {
        (None, None) => Ok(vec![(a.to_owned(), b.to_owned())]),
        (Some(in_a), Some(in_b)) => {
            if let Some(name) = in_a.symmetric_difference(&in_b).next() {
                let (with, without) = if in_a.contains(name) { (a, b) } else { (b, a) };
                bail!("{} is in {} but not in {}", name.display(), with.display(), without.display());
            }
            Ok(in_a.iter().map(|name| (a.join(name), b.join(name))).collect())
        }
        (Some(_), None) => bail!("{} is a folder of videos, but {} is not", a.display(), b.display()),
        (None, Some(_)) => bail!("{} is a folder of videos, but {} is not", b.display(), a.display()),
    }
}

/// The relative paths of the videos in a folder; `None` for a single video or a folder of frames.
fn folder_of_videos(path: &Path) -> anyhow::Result<Option<BTreeSet<PathBuf>>> {
    if !path.is_dir() {
        return Ok(None);
    }
    let VideoList { root, videos, left_out } = find_videos(path)?;
    if root != path {
        return Ok(None);
    }
    if !left_out.is_empty() {
        eprintln!("{}: {left_out}", path.display());
    }
    Ok(Some(videos.iter().filter_map(|video| video.strip_prefix(&root).ok().map(Path::to_owned)).collect()))
}
