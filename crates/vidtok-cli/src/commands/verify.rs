//! `vidtok verify`: compares chunks and strips with the whole clip.

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use tch::{Kind, Tensor};
use vidtok::{EncodeOptions, Encoded, StreamDecoder, StreamEncoder, Tokenizer};
use vidtok_data::{Scene, to_model_range};

use crate::args::{ComputeArgs, FrameArgs, ModelArgs};
use crate::io::clip::Clip;
use crate::io::standard::with_input;
use crate::terminal::progress;

/// The largest difference that rounding may cause in latents and frames, whose values are around 1.
const TOLERANCE: f64 = 1e-5;

/// The fraction of codes that rounding may change.
const CODE_TOLERANCE: f64 = 1e-3;

/// Arguments of `vidtok verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    #[command(flatten)]
    frames: FrameArgs,
    /// Use at most this many frames from the start; they must fit into memory at once
    #[arg(long, default_value_t = 33, value_parser = clap::value_parser!(i64).range(1..=100_000))]
    max_frames: i64,
    /// Video file, or .safetensors with a tensor "video"; by default a generated scene of 96x128
    input: Option<PathBuf>,
}

pub(crate) fn run(arguments: &VerifyArgs) -> anyhow::Result<()> {
    let tokenizer = arguments.model.load(&arguments.compute)?;
    let video = clip(arguments)?;
    let size = video.size();
    let [t, h, w] = [size[2], size[3], size[4]];
    let model = &tokenizer.config().model;
    let (f_t, f_s) = (model.temporal_factor(), model.spatial_factor());
    // A non-causal model gathers its input into windows, regardless of the chunks.
    let chunks: Vec<i64> = match model.causality.is_causal() {
        true => [1, f_t, 2 * f_t + 1, t].into_iter().filter(|&chunk| chunk <= t).collect(),
        false => vec![t],
    };
    let strips = [None, Some(h / 2), Some(h / 4), Some(f_s)];
    let splits: Vec<(i64, Option<i64>)> =
        strips.iter().flat_map(|&rows| chunks.iter().map(move |&chunk| (chunk, rows))).skip(1).collect();
    let bar = progress::bar(1 + splits.len() as u64, "runs");
    let whole = tokenizer.encode(&video, EncodeOptions::default())?;
    let frames = tokenizer.decode(&whole)?;
    bar.inc(1);
    // A latent between two codes may be rounded to either.
    let is_discrete = tokenizer.quantizer().codebook_size().is_some();
    let latent_name = if is_discrete { "codes" } else { "latent" };
    println!("{t} frames of {w}x{h}; largest difference from the whole clip (for codes, the fraction that differ)");
    println!("{:>14} {:>13} {latent_name:>9} {:>9}", "frames/chunk", "rows/strip", "frames");
    let mut agrees = true;
    for (chunk, rows) in splits {
        let encoded = encode(&tokenizer, &video, chunk, rows)?;
        let difference = (&encoded.latent - &whole.latent).abs();
        let difference = match is_discrete {
            true => difference.amax([1], false).gt(0.0).to_kind(Kind::Float).mean(Kind::Float),
            false => difference.max(),
        };
        let latent = difference.double_value(&[]);
        let frames = (decode(&tokenizer, &whole, chunk, rows)? - &frames).abs().max().double_value(&[]);
        let rows = rows.map_or_else(|| "all".to_owned(), |rows| rows.max(f_s).to_string());
        bar.suspend(|| println!("{chunk:>14} {rows:>13} {latent:>9.1e} {frames:>9.1e}"));
        // NaN fails these comparisons.
        agrees &= frames <= TOLERANCE && latent <= if is_discrete { CODE_TOLERANCE } else { TOLERANCE };
        bar.inc(1);
    }
    bar.finish_and_clear();
    ensure!(agrees || tokenizer.kind() != Kind::Float, "results differ by more than rounding");
    Ok(())
}

/// The first frames of the input, `[1, 3, t, h, w]` in [-1, 1].
fn clip(arguments: &VerifyArgs) -> anyhow::Result<Tensor> {
    let Some(path) = &arguments.input else {
        let times: Vec<f64> = (0..arguments.max_frames).map(|frame| frame as f64 / 30.0).collect();
        return Ok(to_model_range(&Scene::new(0).frames(&times, [96, 128])));
    };
    with_input(path, |input| {
        let mut clip = Clip::open(input, &arguments.frames)?;
        clip.print_notices(input);
        let mut parts: Vec<Tensor> = Vec::new();
        let mut remaining = arguments.max_frames;
        while let (1.., Some(frames)) = (remaining, clip.next(remaining)?) {
            remaining -= frames.size()[2];
            parts.push(frames);
        }
        Ok(Tensor::cat(&parts, 2))
    })
}

fn encode(tokenizer: &Tokenizer, video: &Tensor, chunk: i64, rows: Option<i64>) -> anyhow::Result<Encoded> {
    let size = video.size();
    let mut encoder =
        StreamEncoder::new(tokenizer, [size[2], size[3], size[4]], EncodeOptions::default()).in_strips(rows);
    let mut parts = Vec::new();
    for frames in video.split(chunk, 2) {
        parts.extend(encoder.push(&frames)?);
    }
    Ok(Encoded::join(&parts, encoder.padding(), None)?)
}

fn decode(tokenizer: &Tokenizer, encoded: &Encoded, chunk: i64, rows: Option<i64>) -> anyhow::Result<Tensor> {
    let latent = &encoded.latent;
    let mut decoder = StreamDecoder::new(tokenizer, latent.size()[2], encoded.padding, None).in_strips(rows);
    let mut frames = Vec::new();
    let chunk = chunk.div_euclid(tokenizer.config().model.temporal_factor()).max(1);
    for part in latent.split(chunk, 2) {
        frames.extend(decoder.push(&part)?);
    }
    Ok(Tensor::cat(&frames, 2))
}
