//! `vidtok train`: trains a model.

use std::path::PathBuf;

use clap::Args;
use indicatif::ProgressBar;
use vidtok::Config;
use vidtok_train::{Observer, Start, StepReport};

use crate::args::parse_device;
use crate::progress;

/// Arguments of `vidtok train`.
#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    /// Configuration with a [train] table, such as configs/quickstart.toml
    #[arg(long, value_name = "TOML")]
    config: PathBuf,
    /// Set a value of the configuration, such as train.steps=100
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Folder in which the run's folder is made
    #[arg(long, value_name = "FOLDER", default_value = "runs")]
    out: PathBuf,
    /// Device: cpu, cuda or cuda:N
    #[arg(long, default_value = "cpu", value_parser = parse_device)]
    device: tch::Device,
    /// CPU threads; all cores without it
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..))]
    threads: Option<i32>,
}

pub(crate) fn run(arguments: &TrainArgs) -> anyhow::Result<()> {
    let config = Config::load(&arguments.config, &arguments.overrides)?;
    crate::args::prepare(arguments.device, arguments.threads)?;
    let mut display = Display { bar: ProgressBar::hidden(), batch_size: 0 };
    let summary = vidtok_train::train(&config, &arguments.out, arguments.device, &mut display)?;
    display.bar.finish_and_clear();
    if let (Some(before), Some(after)) = (summary.psnr_before, summary.psnr_after) {
        println!("held-out PSNR  {before:.2} dB before, {after:.2} dB after");
    }
    println!("model          {}", summary.model.display());
    println!("side by side   {} (input | reconstruction)", summary.side_by_side.display());
    println!("picture        {}", summary.picture.display());
    Ok(())
}

/// Shows a run on the terminal.
struct Display {
    bar: ProgressBar,
    batch_size: usize,
}

impl Observer for Display {
    fn started(&mut self, start: &Start) {
        self.bar.finish_and_clear();
        if start.stand_in {
            eprintln!("warning: the folder of videos does not exist; training on {} procedural scenes", start.videos);
        }
        let Start { videos, parameters, steps, batch_size, psnr_before, .. } = start;
        println!("{videos} videos, {parameters} parameters, {steps} steps of {batch_size} clips");
        println!("folder         {}", start.folder.display());
        if let Some(psnr) = psnr_before {
            println!("held-out PSNR  {psnr:.2} dB before training");
        }
        self.bar = progress::bar(*steps, "steps");
        self.batch_size = *batch_size;
    }

    fn stepped(&mut self, report: &StepReport) {
        self.bar.inc(1);
        let clips = self.bar.per_sec() * self.batch_size as f64;
        self.bar.set_message(format!("loss {:.4} PSNR {:.2} dB {clips:.1} clips/s", report.loss, report.psnr));
        if self.bar.is_hidden() && (report.step + 1).is_multiple_of(50) {
            println!("step {:5}  loss {:.4}  PSNR {:.2} dB", report.step + 1, report.loss, report.psnr);
        }
    }

    fn busy(&mut self, what: &str) {
        self.bar.finish_and_clear();
        self.bar = progress::spinner(what);
    }
}
