//! `vidtok decode`: decodes a latent or tokens to a video.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use vidtok::{EncodedFile, StreamDecoder, Work};
use vidtok_core::FrameRate;
use vidtok_data::Timeline;

use crate::args::{ComputeArgs, MemoryArgs, ModelArgs, WriteArgs, parse_rate};
use crate::io::output::Output;
use crate::io::pipeline::WriteBehind;
use crate::io::standard::with_input;
use crate::process::signals::{NOTHING_WRITTEN, stop_promptly};
use crate::terminal::progress;

/// Arguments of `vidtok decode`.
#[derive(Debug, Args)]
pub(crate) struct DecodeArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    #[command(flatten)]
    memory: MemoryArgs,
    #[command(flatten)]
    write: WriteArgs,
    /// Frames per second of the video; by default those of the source
    #[arg(long, value_parser = parse_rate)]
    fps: Option<FrameRate>,
    /// Encoded clip (written by `vidtok encode`); - for standard input
    input: PathBuf,
    /// Video file to write, or .safetensors for a tensor "video" [b, 3, t, h, w] in [-1, 1]; - for standard output, as
    /// a video (Matroska) if its frame rate is known and as a tensor otherwise
    output: PathBuf,
}

pub(crate) fn run(arguments: &DecodeArgs) -> anyhow::Result<()> {
    stop_promptly(NOTHING_WRITTEN)?;
    with_input(&arguments.input, |input| decode(arguments, input.path()))
}

fn decode(arguments: &DecodeArgs, input: &Path) -> anyhow::Result<()> {
    let file = EncodedFile::read(input)?;
    let source = file.frame_rate.map(|rate| Timeline::even(rate).with_times(file.frame_times.clone()));
    let timeline = arguments.fps.map(Timeline::even).or(source);
    let timeline = timeline.map(|timeline| timeline.with_pixel_aspect(file.pixel_aspect));
    let output = Output::new(&arguments.output, timeline, arguments.write.options())?;
    let tokenizer = arguments.model.load(&arguments.compute)?;
    if file.weights_sha256.as_deref().is_some_and(|sha256| sha256 != tokenizer.weights_sha256()) {
        let encoder = file.model.as_deref().unwrap_or("an unnamed model");
        eprintln!("warning: the clip was encoded with different weights, by {encoder}");
    }
    let encoded = tokenizer.read_encoded(&file).with_context(|| input.display().to_string())?;
    let latent = &encoded.latent;
    let size = latent.size();
    let model = &tokenizer.config().model;
    let (f_t, f_s) = (model.temporal_factor(), model.spatial_factor());
    let clip = [size[2] * f_t, size[3] * f_s, size[4] * f_s];
    let plan = arguments.memory.plan(&tokenizer, Work::Decode, clip, encoded.window, output.peak_bytes(clip))?;
    let chunk = (plan.frames / f_t).max(1);
    let mut decoder = StreamDecoder::new(&tokenizer, size[2], encoded.padding, encoded.window).in_strips(plan.rows);
    let mut output = WriteBehind::start(output)?;
    let bar = progress::bar(size[2] as u64, "latent frames");
    for start in (0..size[2]).step_by(chunk as usize) {
        let length = chunk.min(size[2] - start);
        if let Some(frames) = decoder.push(&latent.narrow(2, start, length))? {
            output.write(frames)?;
        }
        bar.inc(length as u64);
    }
    bar.finish_and_clear();
    output.finish()
}
