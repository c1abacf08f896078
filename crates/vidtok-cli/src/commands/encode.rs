//! `vidtok encode`: a video to its latent or tokens.

use std::path::PathBuf;

use clap::Args;
use tch::Tensor;
use vidtok::{Encoded, EncodedFile, StreamEncoder, chunk_frames};

use crate::args::{ComputeArgs, ModelArgs};
use crate::clip::{Clip, FrameArgs};
use crate::progress;

/// Arguments of `vidtok encode`.
#[derive(Debug, Args)]
pub(crate) struct EncodeArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    #[command(flatten)]
    frames: FrameArgs,
    /// Draw a continuous latent with this seed; its mean without it
    #[arg(long)]
    seed: Option<i64>,
    /// Video file, or .safetensors with a tensor "video" [b, 3, t, h, w] in [-1, 1]
    input: PathBuf,
    /// The encoded clip to write (.safetensors)
    output: PathBuf,
}

pub(crate) fn run(arguments: &EncodeArgs) -> anyhow::Result<()> {
    super::convert::check_tensor_name(&arguments.output)?;
    let mut clip = Clip::open(&arguments.input, &arguments.frames)?;
    let tokenizer = arguments.model.load(&arguments.compute)?;
    let [t, h, w] = clip.size();
    let chunk = chunk_frames(&tokenizer, h, w);
    let mut encoder = StreamEncoder::new(&tokenizer, [t, h, w], arguments.seed);
    let padding = encoder.padding();
    let mut parts = Vec::new();
    let bar = progress::bar(t as u64, "frames");
    while let Some(frames) = clip.next(chunk)? {
        parts.extend(encoder.push(&frames));
        bar.inc(frames.size()[2] as u64);
    }
    parts.extend(encoder.finish());
    bar.finish_and_clear();

    let logvar: Option<Vec<&Tensor>> = parts.iter().map(|part| part.logvar.as_ref()).collect();
    let indices: Option<Vec<&Tensor>> = parts.iter().map(|part| part.indices.as_ref()).collect();
    let latent: Vec<&Tensor> = parts.iter().map(|part| &part.latent).collect();
    let encoded = Encoded {
        latent: Tensor::cat(&latent, 2).contiguous(),
        logvar: logvar.map(|parts| Tensor::cat(&parts, 2).contiguous()),
        indices: indices.map(|parts| Tensor::cat(&parts, 1).contiguous()),
        padding,
    };
    let name = &tokenizer.config().name;
    let file = EncodedFile::new(encoded, name, tokenizer.weights_sha256(), clip.frame_rate());
    file.write(&arguments.output, [t, h, w])?;
    Ok(())
}
