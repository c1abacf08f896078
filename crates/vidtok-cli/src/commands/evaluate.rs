//! `vidtok evaluate`: evaluates tokenizers and other codecs on a folder of videos, under a recorded protocol.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::ensure;
use clap::Args;
use tch::{Device, Kind};
use vidtok::Tokenizer;
use vidtok_core::{Codec, FrameRate};
use vidtok_data::{LeftOut, VideoList, find_videos, read_video_list};
use vidtok_eval::{
    CodecSpec, Downsample, EvalError, EvaluateOptions, Evaluation, EvaluationProgress, H264, Identity, Jpeg, Klt,
    MetricKind, Protocol, SkippedVideo, TorchScript, evaluate,
};

use crate::args::{ComputeArgs, RATES, ReadArgs, parse_rate};
use crate::model_source::open_model;
use crate::process::exit::Exit;
use crate::process::signals::stop_promptly;
use crate::terminal::notices::FirstNotices;
use crate::terminal::progress;

/// The exit status of an evaluation that is complete except for some of the requested videos.
const INCOMPLETE: u8 = 3;
/// The report, in the folder of the results.
const PAGE: &str = "report.html";

/// Arguments of `vidtok evaluate`. Exits with status 3 if the results are written but do not cover all requested
/// videos.
#[derive(Debug, Args)]
pub(crate) struct EvaluateArgs {
    /// One-file model, or the name of a built-in one
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Codec to compare with: a model file, the name of a built-in model, identity, jpeg:QUALITY, h264:KILOBITSk, down:TIMExSPACE,
    /// klt:COEFFICIENTS or torchscript:ENCODER,DECODER; NAME=MODEL gives a model another name in the results; may be repeated
    #[arg(long, value_name = "CODEC")]
    compare: Vec<CodecChoice>,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Folder of videos and of folders of frames (PNG, JPEG)
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// CSV with a column `videos` of paths in the folder; by default all videos of the folder
    #[arg(long, value_name = "CSV")]
    meta: Option<PathBuf>,
    /// Folder for the results; finished measurements in it are reused
    #[arg(long, value_name = "DIR", default_value = "evaluation")]
    out: PathBuf,
    #[command(flatten)]
    read: ReadArgs,
    /// Sample videos at about this many frames per second; 0 keeps all frames
    #[arg(long, default_value_t = 30.0, value_parser = parse_fps)]
    fps: f64,
    /// Frames per second of folders of frames; 25 by default
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    frame_rate: Option<FrameRate>,
    /// Resize the shorter side to this, and centre-crop to this height
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(i64).range(1..=16384))]
    height: i64,
    /// Centre-crop to this width
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(i64).range(1..=16384))]
    width: i64,
    /// Encode each video as a whole instead of in windows
    #[arg(long)]
    long: bool,
    /// Use at most this many frames of each video
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    max_frames: Option<u64>,
    /// Metrics: psnr, ssim, ms_ssim, lpips_vgg, lpips_alex, fvd, flicker, seam
    #[arg(long, value_delimiter = ',', default_values_t = MetricKind::DEFAULT.map(|kind| kind.key().to_owned()))]
    metrics: Vec<String>,
    /// Windows per batch
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1024))]
    batch: u64,
    /// Leave out the videos of the report
    #[arg(long)]
    no_players: bool,
}

/// Parses 0 or a number of frames per second.
fn parse_fps(text: &str) -> Result<f64, String> {
    let fps = text.parse().ok().filter(|fps| *fps == 0.0 || RATES.contains(fps));
    fps.ok_or_else(|| format!("expected 0 or a rate from {} to {}", RATES.start(), RATES.end()))
}

pub(crate) fn run(arguments: &EvaluateArgs) -> anyhow::Result<()> {
    let stop = stop_promptly("finished measurements are kept; run the same command to continue")?;
    let device = arguments.compute.start(None)?;
    let protocol = protocol(arguments)?;
    let VideoList { root, videos, left_out } = match &arguments.meta {
        Some(table) => {
            let videos = read_video_list(table, &arguments.data)?;
            VideoList { root: arguments.data.clone(), videos, left_out: LeftOut::default() }
        }
        None => find_videos(&arguments.data)?,
    };
    if !left_out.is_empty() {
        println!("{left_out}");
    }
    let codecs = progress::during("loading the codecs", || codecs(arguments, device))?;
    let options = EvaluateOptions {
        out: arguments.out.clone(),
        batch: arguments.batch as usize,
        players: !arguments.no_players,
        stop,
    };
    let bar = progress::bar((videos.len() * codecs.len()) as u64, "videos");
    let (mut started, mut notices) = (false, FirstNotices::default());
    let evaluation = evaluate(&codecs, &root, &videos, &protocol, device, &options, &mut |event| match event {
        EvaluationProgress::Video { codec, video } => {
            bar.inc(u64::from(std::mem::replace(&mut started, true)));
            progress::set_message(&bar, &format!("{codec}: {video}"));
        }
        EvaluationProgress::Frames(_) => bar.tick(),
        EvaluationProgress::Notice { video, notice } => {
            if let Some(line) = notices.line(video, notice) {
                bar.suspend(|| eprintln!("{line}"));
            }
        }
        EvaluationProgress::Skipped(SkippedVideo { video, reason, .. }) => {
            bar.suspend(|| eprintln!("skipped: {video}: {reason}"));
        }
    })?;
    bar.finish_and_clear();
    evaluation.write(&arguments.out)?;
    evaluation.page(&arguments.out)?.save(arguments.out.join(PAGE))?;
    print(&evaluation, &arguments.out);
    let (measured, asked) = (evaluation.measured, evaluation.asked);
    let line = Some(format!("warning: all results are for {measured} of the {asked} requested videos"));
    ensure!(evaluation.is_complete(), Exit { status: INCOMPLETE, line });
    Ok(())
}

fn protocol(arguments: &EvaluateArgs) -> anyhow::Result<Protocol> {
    let metrics = arguments.metrics.iter().map(|text| text.parse::<MetricKind>()).collect::<Result<Vec<_>, _>>()?;
    Ok(Protocol {
        sample_fps: (arguments.fps > 0.0).then_some(arguments.fps),
        size: [arguments.height, arguments.width],
        long: arguments.long,
        max_frames: arguments.max_frames.map(|frames| frames as usize),
        read: arguments.read.options(),
        metrics,
        frame_rate: arguments.frame_rate.map(FrameRate::as_f64),
    })
}

fn codecs(arguments: &EvaluateArgs, device: Device) -> anyhow::Result<Vec<Box<dyn Codec>>> {
    let model = arguments.model.clone().map(|path| CodecChoice::Model { name: None, path });
    let specs: Vec<CodecChoice> = model.into_iter().chain(arguments.compare.iter().cloned()).collect();
    ensure!(!specs.is_empty(), "nothing to evaluate: give --model FILE or --compare CODEC");
    specs.iter().map(|spec| open(spec, device, arguments.compute.dtype.kind())).collect()
}

/// A codec by name: a model, or another codec.
#[derive(Clone, Debug)]
enum CodecChoice {
    /// A file, or the name of a built-in model, with another name for the results.
    Model {
        name: Option<String>,
        path: PathBuf,
    },
    Other(CodecSpec),
}

impl FromStr for CodecChoice {
    type Err = EvalError;

    fn from_str(text: &str) -> Result<Self, EvalError> {
        let is_model = |text: &str| vidtok_hub::is_name(text) || Path::new(text).exists();
        if let Some((name, model)) = text.split_once('=').filter(|(name, model)| !name.is_empty() && is_model(model)) {
            return Ok(Self::Model { name: Some(name.to_owned()), path: model.into() });
        }
        // The other codecs are no names of files.
        match vidtok_hub::is_name(text) || Path::new(text).is_dir() {
            true => Ok(Self::Model { name: None, path: text.into() }),
            false => text.parse().map(Self::Other),
        }
    }
}

fn open(codec: &CodecChoice, device: Device, kind: Kind) -> anyhow::Result<Box<dyn Codec>> {
    Ok(match codec {
        CodecChoice::Model { name, path } => model(name.as_deref(), path, device, kind)?,
        CodecChoice::Other(CodecSpec::Model(path)) => model(None, path, device, kind)?,
        CodecChoice::Other(CodecSpec::Identity) => Box::new(Identity),
        CodecChoice::Other(CodecSpec::Jpeg(quality)) => Box::new(Jpeg::new(*quality)?),
        CodecChoice::Other(CodecSpec::H264(kilobits)) => Box::new(H264::new(*kilobits)?),
        CodecChoice::Other(CodecSpec::Downsample(time, space)) => Box::new(Downsample::new(*time, *space)?),
        CodecChoice::Other(CodecSpec::Klt(numbers)) => Box::new(Klt::new(*numbers)?),
        CodecChoice::Other(CodecSpec::TorchScript(encoder, decoder)) => {
            Box::new(TorchScript::open(encoder, decoder, device, kind)?)
        }
    })
}

/// A model, under its own name or another one.
fn model(name: Option<&str>, path: &Path, device: Device, kind: Kind) -> anyhow::Result<Box<dyn Codec>> {
    let (mut config, weights) = open_model(Some(path))?;
    if let Some(name) = name {
        name.clone_into(&mut config.name);
    }
    Ok(Box::new(Tokenizer::with_weights(config, weights, device, kind)?))
}

fn print(evaluation: &Evaluation, out: &Path) {
    let metrics = &evaluation.stamp.protocol.metrics;
    let width = evaluation.codecs.iter().map(|codec| codec.name.len()).max().unwrap_or(0).max(5);
    let heads: Vec<String> = metrics.iter().map(|kind| format!("{:>12}", kind.label())).collect();
    println!("{:width$} {} {:>10} {:>10}", "codec", heads.join(" "), "bits/pixel", "ms/frame");
    for codec in &evaluation.codecs {
        let cell =
            |value: Option<f64>, digits| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"));
        let cells = metrics.iter().map(|kind| {
            let digits = if matches!(kind, MetricKind::Psnr | MetricKind::Fvd) { 2 } else { 4 };
            format!("{:>12}", cell(codec.metrics.get(kind.key()).copied().flatten(), digits))
        });
        let cells: Vec<String> = cells.collect();
        let (bits, time) = (cell(codec.bits_per_pixel, 3), codec.milliseconds_per_frame);
        println!("{:width$} {} {bits:>10} {time:>10.1}", codec.name, cells.join(" "));
        if let Some(codes) = &codec.codebook {
            println!(
                "{:width$} {} of {} codes used in {} tokens, entropy {:.2} bits",
                "", codes.used, codes.size, codes.tokens, codes.entropy_bits
            );
        }
    }
    evaluation.remarks().iter().for_each(|remark| println!("{remark}"));
    println!("results  {}", out.join("evaluation.json").display());
    println!("table    {}", out.join("videos.csv").display());
    println!("page     {}", out.join(PAGE).display());
}
