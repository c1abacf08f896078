//! `vidtok train`: trains a model, or resumes a run.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;
use indicatif::ProgressBar;
use vidtok::{Config, Tokenizer};
use vidtok_core::ProcessGroup;
use vidtok_torch::C10dProcessGroup;
use vidtok_train::{Observer, RunOptions, Scores, StageSummary, Start, StepReport, TrainingPlan, Validation};

use crate::args::{PROCESSES, THREADS, parse_device, start};
use crate::process::launcher;
use crate::process::rank::launched;
use crate::process::signals::{stop_gracefully, stopped_exit};
use crate::terminal::progress;

/// Arguments of `vidtok train`.
#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    /// Configuration of the model, with a [train] table unless there is a --recipe
    #[arg(long, value_name = "TOML", required_unless_present = "resume")]
    config: Option<PathBuf>,
    /// File with a [train] table that replaces the configuration's, such as configs/recipes/two_stage.toml
    #[arg(long, value_name = "TOML", conflicts_with = "resume")]
    recipe: Option<PathBuf>,
    /// Train on the videos of this folder, or of a CSV with a column `videos` of paths relative to it, instead of those
    /// in the configuration
    #[arg(long, value_name = "DIR|CSV", conflicts_with = "resume")]
    data: Option<PathBuf>,
    /// Start from these weights: .ckpt, .pt or .safetensors
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    init_from: Option<PathBuf>,
    /// Resume the run in this folder; --set train.steps=N changes its number of steps
    #[arg(long, value_name = "FOLDER", conflicts_with = "config")]
    resume: Option<PathBuf>,
    /// Print the resolved configuration, parameter counts and estimated memory, save an image of one batch, and exit
    #[arg(long, conflicts_with = "resume")]
    dry_run: bool,
    /// Override a value of the configuration, such as train.steps=100
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Folder in which the run's folder is created
    #[arg(long, value_name = "FOLDER", default_value = "runs")]
    out: PathBuf,
    /// Device: cpu, cuda or cuda:N; with several processes, each uses the GPU of its LOCAL_RANK
    #[arg(long, default_value = "cpu", value_parser = parse_device)]
    device: tch::Device,
    /// Train with this many processes on this machine; each computes an equal part of every batch
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(PROCESSES), conflicts_with = "dry_run")]
    nproc: Option<u32>,
    /// CPU threads of each process; by default all cores, divided equally among --nproc processes
    #[arg(long, value_parser = clap::value_parser!(i32).range(THREADS))]
    threads: Option<i32>,
}

pub(crate) fn run(arguments: &TrainArgs) -> anyhow::Result<()> {
    let launch = launched()?;
    if let Some(processes) = arguments.nproc {
        ensure!(launch.is_none(), "--nproc: this process was itself started by a launcher (RANK is set)");
        // Errors of the configuration are reported once, not by each process.
        match &arguments.resume {
            Some(folder) => vidtok_train::check_resume(folder, &arguments.overrides, processes as usize)?,
            None => drop(vidtok_train::check_processes(&arguments.config()?, processes as usize)?),
        }
        return launcher::start(processes as usize);
    }
    let device = start(arguments.threads, arguments.device, launch.as_ref())?;
    if arguments.dry_run {
        return dry_run(arguments);
    }
    let group = launch.map(|launch| C10dProcessGroup::connect(&launch, device)).transpose()?;
    let stop = stop_gracefully()?;
    let leads = group.as_ref().is_none_or(|group| group.rank() == 0);
    let options = RunOptions { device, stop, group, tokenizer: Tokenizer::builder(), losses: Vec::new() };
    let mut display = TrainDisplay::new();
    let summary = match &arguments.resume {
        Some(folder) => vidtok_train::resume(folder, &arguments.overrides, &options, &mut display)?,
        None => vidtok_train::train(&arguments.config()?, &arguments.out, &options, &mut display)?,
    };
    display.bar.finish_and_clear();
    let folder = summary.folder.display();
    if summary.stopped {
        let line = leads.then(|| format!("stopped; to continue: vidtok train --resume {folder}"));
        return Err(stopped_exit(line).into());
    }
    if !leads {
        return Ok(());
    }
    for stage in &summary.stages {
        print_stage(stage);
    }
    if summary.ended_before {
        let of_stage = summary.stages.last().and_then(|last| last.stage.as_ref());
        let of_stage = of_stage.map_or_else(String::new, |name| format!("stages.{name}."));
        println!("already done   for more steps: vidtok train --resume {folder} --set train.{of_stage}steps=N");
    }
    Ok(())
}

impl TrainArgs {
    /// The configuration with all changes that the other arguments make.
    fn config(&self) -> anyhow::Result<Config> {
        let path = self.config.as_ref().context("give --config TOML or --resume FOLDER")?;
        let mut config = Config::load(path, &[])?;
        if let Some(recipe) = &self.recipe {
            config.train = Some(vidtok_train::read_recipe(recipe)?);
        }
        if let (Some(data), Some(train)) = (&self.data, &mut config.train) {
            vidtok_train::take_videos(train, data)?;
        }
        vidtok_train::check_overrides(&config, &self.overrides)?;
        let mut overrides = self.overrides.clone();
        overrides.extend(self.init_from.iter().map(|path| format!("train.init_from={path:?}")));
        Ok(config.with_overrides(&overrides)?)
    }
}

fn dry_run(arguments: &TrainArgs) -> anyhow::Result<()> {
    let config = arguments.config()?;
    let mut display = TrainDisplay::new();
    let plan = TrainingPlan::make(&config, &arguments.out, &mut display)?;
    display.bar.finish_and_clear();
    config.to_toml()?.lines().for_each(|line| println!("{line}"));
    for stage in &plan.stages {
        if let Some(name) = &stage.name {
            println!("stage          {name}");
        }
        println!(
            "parameters     {} encoder, {} decoder, {} discriminator; {} trained",
            stage.encoder, stage.decoder, stage.discriminator, stage.trained
        );
        println!("steps          {} of {} clips", stage.steps, stage.clips);
        for (what, bytes) in stage.memory.parts() {
            println!("memory         {:>8.0} MB {what}", bytes as f64 / 1e6);
        }
        println!("memory         {:>8.0} MB in total (estimate)", stage.memory.total() as f64 / 1e6);
        println!("one batch      {}", stage.image.display());
    }
    Ok(())
}

fn print_stage(summary: &StageSummary) {
    if let Some(stage) = &summary.stage {
        println!("stage          {stage}");
    }
    for (when, scores) in [("before", &summary.before), ("after", &summary.after), ("averaged", &summary.after_ema)] {
        if let Some(scores) = scores {
            println!("held-out       {} {when}", describe(scores));
        }
    }
    if summary.skipped > 0 {
        println!("skipped        {} steps whose loss or gradient was not finite", summary.skipped);
    }
    println!("model          {}", summary.model.display());
    println!("images         {} (input above reconstruction)", summary.images.display());
    println!("curves         {}", summary.curves.display());
    println!("video          {} (input | reconstruction)", summary.video.display());
}

/// The scores on one line.
fn describe(scores: &Scores) -> String {
    let mut text = format!("PSNR {:.2} dB", scores.psnr);
    if let Some(ssim) = scores.ssim {
        text += &format!("  SSIM {ssim:.4}");
    }
    if let Some(lpips) = scores.lpips {
        text += &format!("  LPIPS {lpips:.4}");
    }
    if let (Some(codes), Some(tokens)) = (scores.codes, scores.tokens) {
        text += &format!("  {codes} codes used in {tokens} tokens");
    }
    text
}

/// Shows a training run on the terminal.
struct TrainDisplay {
    bar: ProgressBar,
    clips: u64,
    skipped: u64,
}

impl TrainDisplay {
    fn new() -> Self {
        Self { bar: ProgressBar::hidden(), clips: 0, skipped: 0 }
    }

    /// Prints a line above the bar.
    fn print(&self, line: &str) {
        self.bar.suspend(|| println!("{line}"));
    }
}

impl Observer for TrainDisplay {
    fn started(&mut self, start: &Start) {
        self.bar.finish_and_clear();
        if start.procedural_fallback {
            eprintln!(
                "warning: the folder of videos does not exist; training on {} generated scenes instead",
                start.videos
            );
        }
        let Start { videos, parameters, steps, clips, processes, .. } = start;
        if let Some(stage) = &start.stage {
            println!("stage          {stage}");
        }
        println!("{videos} videos, {parameters} trained parameters, {steps} steps of {clips} clips");
        if *processes > 1 {
            println!("processes      {processes}");
        }
        println!("folder         {}", start.folder.display());
        if start.step > 0 {
            println!("resumes        after {} steps", start.step);
        }
        self.bar = progress::bar(*steps, "steps");
        self.bar.set_position(start.step);
        self.bar.reset_eta();
        self.clips = *clips;
    }

    fn stepped(&mut self, report: &StepReport, waiting: f64) {
        self.bar.inc(1);
        let clips = self.bar.per_sec() * self.clips as f64;
        let mut line = format!("rec {:.4}  PSNR {:.2} dB", report.rec, report.psnr);
        if let Some(gan) = &report.gan {
            line += &format!("  gen {:.3} disc {:.3}", gan.generator, gan.discriminator);
        }
        self.skipped += u64::from(report.skipped);
        if self.skipped > 0 {
            line += &format!("  {} skipped", self.skipped);
        }
        progress::set_message(&self.bar, &format!("{line}  {clips:.1} clips/s"));
        if self.bar.is_hidden() && (report.step + 1).is_multiple_of(50) {
            println!("step {:5}  {line}  waiting {:.0} %", report.step + 1, waiting * 100.0);
        }
    }

    fn validated(&mut self, validation: &Validation) {
        self.print(&format!("step {:5}  held-out {}", validation.step, describe(&validation.model)));
        if let Some(ema) = &validation.ema {
            self.print(&format!("            averaged {}", describe(ema)));
        }
    }

    fn busy(&mut self, what: &str) {
        self.bar.finish_and_clear();
        self.bar = progress::spinner(what);
    }

    fn warned(&mut self, message: &str) {
        self.bar.suspend(|| eprintln!("warning: {message}"));
    }
}
