//! `vidtok reconstruct`: encode and decode, to see what is lost.

use std::path::PathBuf;

use clap::Args;
use tch::Tensor;
use vidtok::{StreamReconstructor, Tokenizer, Work};
use vidtok_core::{Metric, Reconstructed};
use vidtok_data::to_unit_range;
use vidtok_metrics::Psnr;

use crate::args::{ComputeArgs, MemoryArgs, ModelArgs};
use crate::io::clip::{Clip, FrameArgs, Output, WriteArgs};
use crate::io::pipeline::{Reading, Writing};
use crate::io::standard::{Input, print_beside, with_input};
use crate::process::signals::{NOTHING_WRITTEN, end_on_signals};
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
    /// Put the input on the left of its reconstruction
    #[arg(long)]
    side_by_side: bool,
    /// Video file, folder of frames (PNG, JPEG) or image, or .safetensors with a tensor "video" [b, 3, t, h, w] in [-1, 1]; - for standard input
    input: PathBuf,
    /// Video file to write, with the sound, timing and pixel shape of the input, or .safetensors for a tensor "video"
    /// [b, 3, t, h, w] in [-1, 1]; - for standard output: a video (Matroska) if its frame rate is known, else the tensor
    output: PathBuf,
}

pub(crate) fn run(arguments: &ReconstructArgs) -> anyhow::Result<()> {
    end_on_signals(NOTHING_WRITTEN)?;
    let tokenizer = arguments.model.load(&arguments.compute)?;
    with_input(&arguments.input, |input| reconstruct(arguments, &tokenizer, input))
}

fn reconstruct(arguments: &ReconstructArgs, tokenizer: &Tokenizer, input: &Input) -> anyhow::Result<()> {
    let mut clip = progress::during("reading the clip", || Clip::open(input, &arguments.frames))?;
    clip.print_notices(input);
    clip.read_within(arguments.memory.for_source_frames());
    let output = Output::new(&arguments.output, clip.timeline().cloned(), arguments.write.options())?;
    let [t, h, w] = clip.size();
    let sides = if arguments.side_by_side { 2 } else { 1 };
    let beside = clip.reading_bytes() + output.bytes([t, h, sides * w]);
    let mut output = Writing::start(output)?;
    let plan = arguments.memory.plan(tokenizer, Work::Reconstruct, [t, h, w], clip.window(), beside)?;
    let mut stream = StreamReconstructor::new(tokenizer, [t, h, w], clip.window()).in_strips(plan.rows);
    let mut psnr = Psnr::default();
    let bar = progress::bar(t as u64, "frames");
    let mut take = |pair: Option<Reconstructed>| -> anyhow::Result<()> {
        let Some(Reconstructed { input, reconstruction, .. }) = pair else { return Ok(()) };
        let input = input.to_device(reconstruction.device());
        psnr.update(&to_unit_range(&input), &to_unit_range(&reconstruction))?;
        bar.inc(reconstruction.size()[2] as u64);
        match arguments.side_by_side {
            true => output.write(Tensor::cat(&[input, reconstruction], 4)),
            false => output.write(reconstruction),
        }
    };
    for frames in Reading::start(clip, plan.frames)? {
        take(stream.push(&frames?)?)?;
    }
    bar.finish_and_clear();
    output.finish()?;
    if let Some(psnr) = psnr.value() {
        print_beside(&arguments.output, &format!("{t} frames of {w}x{h}, PSNR {psnr:.2} dB"))?;
    }
    Ok(())
}
