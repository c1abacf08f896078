//! `vidtok reconstruct`: encodes and decodes a video to see what is lost.

use std::path::PathBuf;

use clap::Args;
use tch::Tensor;
use vidtok::{StreamReconstructor, Tokenizer, Work};
use vidtok_core::{Metric, Reconstructed};
use vidtok_data::to_unit_range;
use vidtok_metrics::{FrameMean, Psnr};

use crate::args::{ComputeArgs, FrameArgs, MemoryArgs, ModelArgs, WriteArgs};
use crate::io::clip::Clip;
use crate::io::output::Output;
use crate::io::pipeline::{ReadAhead, WriteBehind};
use crate::io::standard::{Input, print_result, with_input};
use crate::process::signals::{NOTHING_WRITTEN, stop_promptly};
use crate::terminal::progress;

/// Arguments of `vidtok reconstruct`.
#[derive(Debug, Args)]
pub(crate) struct ReconstructArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    #[command(flatten)]
    memory: MemoryArgs,
    #[command(flatten)]
    frames: FrameArgs,
    #[command(flatten)]
    write: WriteArgs,
    /// Show the input to the left of its reconstruction
    #[arg(long)]
    side_by_side: bool,
    /// Video file, folder of frames (PNG, JPEG), image, or .safetensors with a tensor "video" [b, 3, t, h, w] in [-1,
    /// 1];
    /// - for standard input
    input: PathBuf,
    /// Video file to write, with the sound, timing and pixel shape of the input, or .safetensors for a tensor "video"
    /// [b, 3, t, h, w] in [-1, 1]; - for standard output, as a video (Matroska) if its frame rate is known and as a
    /// tensor otherwise
    output: PathBuf,
}

pub(crate) fn run(arguments: &ReconstructArgs) -> anyhow::Result<()> {
    stop_promptly(NOTHING_WRITTEN)?;
    let tokenizer = arguments.model.load(&arguments.compute)?;
    with_input(&arguments.input, |input| reconstruct(arguments, &tokenizer, input))
}

fn reconstruct(arguments: &ReconstructArgs, tokenizer: &Tokenizer, input: &Input) -> anyhow::Result<()> {
    let mut clip = progress::during("reading the clip", || Clip::open(input, &arguments.frames))?;
    clip.print_notices(input);
    clip.limit_source_bytes(arguments.memory.for_source_frames());
    let output = Output::new(&arguments.output, clip.timeline().cloned(), arguments.write.options())?;
    let [t, h, w] = clip.size();
    let sides = if arguments.side_by_side { 2 } else { 1 };
    let buffers = clip.source_bytes() + output.peak_bytes([t, h, sides * w]);
    let mut output = WriteBehind::start(output)?;
    let plan = arguments.memory.plan(tokenizer, Work::Reconstruct, [t, h, w], clip.window(), buffers)?;
    let mut stream = StreamReconstructor::new(tokenizer, [t, h, w], clip.window()).in_strips(plan.rows);
    let mut psnr = FrameMean::new(Psnr);
    let bar = progress::bar(t as u64, "frames");
    let mut write = |pair: Option<Reconstructed>| -> anyhow::Result<()> {
        let Some(Reconstructed { input, reconstruction, .. }) = pair else { return Ok(()) };
        let input = input.to_device(reconstruction.device());
        psnr.update(&to_unit_range(&input), &to_unit_range(&reconstruction))?;
        bar.inc(reconstruction.size()[2] as u64);
        match arguments.side_by_side {
            true => output.write(Tensor::cat(&[input, reconstruction], 4)),
            false => output.write(reconstruction),
        }
    };
    for frames in ReadAhead::start(clip, plan.frames)? {
        write(stream.push(&frames?)?)?;
    }
    bar.finish_and_clear();
    output.finish()?;
    if let Some(psnr) = psnr.value() {
        print_result(&arguments.output, &format!("{t} frames of {w}x{h}, PSNR {psnr:.2} dB"))?;
    }
    Ok(())
}
