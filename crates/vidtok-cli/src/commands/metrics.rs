//! `vidtok metrics`: two videos, or two folders of them, beside each other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::Args;
use vidtok_core::FrameSource;
use vidtok_data::{Ffmpeg, VideoReader, find_videos, to_model_range, to_unit_range};
use vidtok_eval::{InstrumentSet, Measured, MetricKind};

use crate::args::THREADS;
use crate::progress;
use crate::signals::end_on_signals;

/// Frames that are read and measured at a time: a sample of FVD.
const WINDOW: usize = 16;

/// Arguments of `vidtok metrics`.
#[derive(Debug, Args)]
pub(crate) struct MetricsArgs {
    /// What to measure: psnr, ssim, ms_ssim, lpips_vgg, lpips_alex, fvd, flicker, seam (at every 16th frame)
    #[arg(long, value_delimiter = ',', default_values_t = ["psnr", "ssim"].map(str::to_owned))]
    metrics: Vec<String>,
    /// CPU threads; all cores without it
    #[arg(long, value_parser = clap::value_parser!(i32).range(THREADS))]
    threads: Option<i32>,
    /// Video, or folder of videos
    a: PathBuf,
    /// The same after something was done to it: a video of the same size and length, or a folder with the same names
    b: PathBuf,
}

pub(crate) fn run(arguments: &MetricsArgs) -> anyhow::Result<()> {
    end_on_signals("nothing was measured to the end; the same command starts anew")?;
    let device = tch::Device::Cpu;
    crate::args::prepare(device, arguments.threads)?;
    let kinds = arguments.metrics.iter().map(|text| text.parse::<MetricKind>()).collect::<Result<Vec<_>, _>>()?;
    let pairs = pairs(&arguments.a, &arguments.b)?;
    let instruments = InstrumentSet::load(&kinds, device)?;
    let ffmpeg = Ffmpeg::locate()?;
    let bar = progress::bar(pairs.len() as u64, "videos");
    let mut all = Measured::default();
    for (a, b) in &pairs {
        let mut readers = [VideoReader::open(&ffmpeg, a)?, VideoReader::open(&ffmpeg, b)?];
        let describe = |reader: &VideoReader| {
            let info = reader.info();
            format!("{} frames of {}x{}", info.frames, info.width, info.height)
        };
        let [first, second] = [describe(&readers[0]), describe(&readers[1])];
        ensure!(first == second, "{} has {first}, {} has {second}", a.display(), b.display());
        let mut video = instruments.start();
        while let Some(x) = readers[0].next_frames(WINDOW)? {
            let y = readers[1].next_frames(x.size()[0] as usize)?.context("the second video ends early")?;
            let [x, y] = [x, y].map(|frames| to_unit_range(&to_model_range(&frames)));
            video.update(&x, &y, None)?;
        }
        let video = video.finish();
        if let Some((kind, value)) = video.not_finite() {
            bail!("{} and {}: {} is {value}, which is no result", a.display(), b.display(), kind.key());
        }
        all.add(&video);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let mut lines = Vec::new();
    for kind in kinds {
        match all.value(kind) {
            Some(value) if value.is_finite() => lines.push(format!("{:<13} {value:.6}", kind.label())),
            Some(value) => bail!("{} is {value}, which is no result", kind.key()),
            None => bail!("{}: {}", kind.key(), all.lacks(kind)),
        }
    }
    lines.iter().for_each(|line| println!("{line}"));
    Ok(())
}

/// The videos that belong together.
fn pairs(a: &Path, b: &Path) -> anyhow::Result<Vec<(PathBuf, PathBuf)>> {
    match (a.is_dir(), b.is_dir()) {
        (false, false) => Ok(vec![(a.to_owned(), b.to_owned())]),
        (true, true) => {
            let names = |folder: &Path| -> anyhow::Result<BTreeSet<PathBuf>> {
                let videos = find_videos(folder)?;
                Ok(videos.iter().filter_map(|path| path.strip_prefix(folder).ok().map(Path::to_owned)).collect())
            };
            let (in_a, in_b) = (names(a)?, names(b)?);
            if let Some(name) = in_a.symmetric_difference(&in_b).next() {
                let (with, without) = if in_a.contains(name) { (a, b) } else { (b, a) };
                bail!("{} is in {} but not in {}", name.display(), with.display(), without.display());
            }
            Ok(in_a.iter().map(|name| (a.join(name), b.join(name))).collect())
        }
        (true, false) => bail!("{} is a folder and {} is none", a.display(), b.display()),
        (false, true) => bail!("{} is a folder and {} is none", b.display(), a.display()),
    }
}
