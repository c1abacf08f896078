//! `vidtok encode`: encodes a video to its latent or tokens.

use std::path::PathBuf;

use clap::Args;
use vidtok::{EncodeOptions, Encoded, StreamEncoder, Tokenizer, Work};
use vidtok_data::Timeline;

use crate::args::{ComputeArgs, FrameArgs, MemoryArgs, ModelArgs};
use crate::io::clip::Clip;
use crate::io::output::check_tensor_output;
use crate::io::pipeline::ReadAhead;
use crate::io::standard::{Input, is_standard, with_input, write_file};
use crate::process::signals::{NOTHING_WRITTEN, stop_promptly};
use crate::terminal::progress;

/// Arguments of `vidtok encode`.
#[derive(Debug, Args)]
pub(crate) struct EncodeArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    #[command(flatten)]
    memory: MemoryArgs,
    #[command(flatten)]
    frames: FrameArgs,
    /// Sample the continuous latent with this seed; by default it is the mean
    #[arg(long)]
    seed: Option<u64>,
    /// Normalise the latent of a continuous model by its statistics (`vidtok stats`); `vidtok decode` undoes it
    #[arg(long)]
    normalized: bool,
    /// Video file, folder of frames (PNG, JPEG), image, or .safetensors with a tensor "video" [b, 3, t, h, w] in [-1,
    /// 1];
    /// - for standard input
    input: PathBuf,
    /// Encoded clip to write (.safetensors); - for standard output
    output: PathBuf,
}

pub(crate) fn run(arguments: &EncodeArgs) -> anyhow::Result<()> {
    stop_promptly(NOTHING_WRITTEN)?;
    if !is_standard(&arguments.output) {
        check_tensor_output(&arguments.output)?;
    }
    let tokenizer = arguments.model.load(&arguments.compute)?;
    if arguments.normalized {
        tokenizer.normalization()?;
    }
    with_input(&arguments.input, |input| encode(arguments, &tokenizer, input))
}

fn encode(arguments: &EncodeArgs, tokenizer: &Tokenizer, input: &Input) -> anyhow::Result<()> {
    let mut clip = progress::during("reading the clip", || Clip::open(input, &arguments.frames))?;
    clip.print_notices(input);
    clip.limit_source_bytes(arguments.memory.for_source_frames());
    let ([t, h, w], timeline, pixel_aspect) = (clip.size(), clip.timeline().cloned(), clip.pixel_aspect());
    let options = EncodeOptions { seed: arguments.seed, window: clip.window() };
    let plan = arguments.memory.plan(tokenizer, Work::Encode, [t, h, w], options.window, clip.source_bytes())?;
    let mut encoder = StreamEncoder::new(tokenizer, [t, h, w], options).in_strips(plan.rows);
    let mut parts = Vec::new();
    let bar = progress::bar(t as u64, "frames");
    for frames in ReadAhead::start(clip, plan.frames)? {
        let frames = frames?;
        parts.extend(encoder.push(&frames)?);
        bar.inc(frames.size()[2] as u64);
    }
    bar.finish_and_clear();
    let encoded = Encoded::join(&parts, encoder.padding(), options.window)?;
    let frame_times = timeline.as_ref().and_then(Timeline::times).cloned();
    let frame_rate = timeline.as_ref().map(Timeline::frame_rate);
    let encoded = Encoded { frame_rate, frame_times, pixel_aspect, ..encoded };
    write_file(&arguments.output, |path| match arguments.normalized {
        true => Ok(encoded.save_normalized(path, tokenizer)?),
        false => Ok(encoded.save(path, tokenizer)?),
    })
}
