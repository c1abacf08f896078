//! Passes without gradients, as a user calls them: the first one is for its result, the others are timed.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tch::{Kind, Tensor};
use vidtok::{EncodeOptions, Encoded, EncodedFile, Tokenizer};
use vidtok_benches::memory;
use vidtok_golden::unit;
use vidtok_torch::flops_executed;

use crate::{Arguments, sgemm, time_repeats, tokenizer, video};

/// The number of values that are compared of a tensor.
const SAMPLES: i64 = 32;

/// A pass through a tokenizer, to be called again and again.
type Pass = Box<dyn Fn(&Tokenizer) -> Result<Found>>;

/// The result of a pass, for the comparison.
#[derive(Default)]
pub(crate) struct Found {
    tensors: BTreeMap<&'static str, Tensor>,
    indices: Option<Tensor>,
}

impl Found {
    /// Keeps the indices of a discrete latent, the mean of a continuous one.
    fn encoded(encoded: Encoded) -> Self {
        match encoded.indices {
            Some(indices) => Self { indices: Some(indices), ..Self::default() },
            None => Self::default().with("latent", encoded.latent),
        }
    }

    fn with(mut self, name: &'static str, tensor: Tensor) -> Self {
        self.tensors.insert(name, tensor);
        self
    }
}

pub(crate) fn encode(arguments: &Arguments, _: &Tokenizer) -> Result<Pass> {
    let video = video(arguments);
    Ok(Box::new(move |tokenizer| Ok(Found::encoded(tokenizer.encode(&video, EncodeOptions::default())?))))
}

pub(crate) fn decode(arguments: &Arguments, tokenizer: &Tokenizer) -> Result<Pass> {
    let file = input_latent(arguments, tokenizer);
    Ok(Box::new(move |tokenizer| {
        let reconstruction = tokenizer.decode(&tokenizer.read_encoded(&file)?)?;
        Ok(Found::default().with("reconstruction", reconstruction))
    }))
}

pub(crate) fn encode_decode(arguments: &Arguments, _: &Tokenizer) -> Result<Pass> {
    let video = video(arguments);
    Ok(Box::new(move |tokenizer| {
        let encoded = tokenizer.encode(&video, EncodeOptions::default())?;
        let reconstruction = tokenizer.decode(&encoded)?;
        Ok(Found::encoded(encoded).with("reconstruction", reconstruction))
    }))
}

pub(crate) fn measure(
    arguments: &Arguments,
    make: impl FnOnce(&Arguments, &Tokenizer) -> Result<Pass>,
) -> Result<Value> {
    let tokenizer = tokenizer(arguments)?;
    let pass = make(arguments, &tokenizer)?;

    memory::forget_peak()?;
    let base = memory::held()?;
    let executed = flops_executed();
    let Found { tensors, indices } = pass(&tokenizer)?;
    let executed = flops_executed() - executed;
    let indices = indices.map_or_else(|| Ok(Vec::new()), |indices| Vec::<i32>::try_from(indices.flatten(0, -1)))?;
    let first = tensors.into_iter().map(|(name, tensor)| Ok((name, summary(&tensor)?)));
    let first: BTreeMap<&str, Vec<f64>> = first.collect::<Result<_>>()?;
    let seconds = time_repeats(arguments.steps, || pass(&tokenizer).map(drop))?;
    let peak = memory::peak()?;
    Ok(json!({
        "seconds": seconds, "base_mb": base, "peak_mb": peak, "first": first, "indices": indices,
        "flops": { "executed": executed, "sgemm_a_second": sgemm::flops_a_second() },
    }))
}

/// A latent, or indices, of the size that the video would have.
fn input_latent(arguments: &Arguments, tokenizer: &Tokenizer) -> EncodedFile {
    let (model, quantizer) = (&tokenizer.config().model, tokenizer.quantizer());
    let side = arguments.size / model.spatial_factor();
    let frames = arguments.frames as u64;
    let frames = frames.div_ceil(model.temporal_factor() as u64) as i64;
    let (latent, indices) = match quantizer.codebook_size() {
        None => (Some(unit("latent", &[arguments.batch, quantizer.latent_channels(), frames, side, side], 0)), None),
        // Exact in float32, as the number of codes is a power of two.
        Some(codes) => {
            let values = unit("latent", &[arguments.batch, frames, side, side], 0);
            (None, Some(((values + 1.0) * (codes as f64 / 2.0)).to_kind(Kind::Int)))
        }
    };
    EncodedFile {
        normalization: None,
        latent,
        indices,
        logvar: None,
        padding: None,
        window: None,
        model: None,
        weights_sha256: None,
        frame_rate: None,
        frame_times: None,
        pixel_aspect: vidtok_core::PixelAspect::SQUARE,
    }
}

/// The mean, the mean of absolute values, and evenly spaced values from the first to the last.
fn summary(tensor: &Tensor) -> Result<Vec<f64>> {
    let values = tensor.flatten(0, -1);
    let last = values.size()[0] - 1;
    let positions: Vec<i64> = (0..SAMPLES).map(|i| i * last / (SAMPLES - 1)).collect();
    let samples = values.index_select(0, &Tensor::from_slice(&positions));
    let means = [values.mean(Kind::Float), values.abs().mean(Kind::Float)].map(|mean| mean.double_value(&[]));
    let samples: Vec<f32> = samples.try_into().context("samples of a first pass")?;
    Ok(means.into_iter().chain(samples.into_iter().map(f64::from)).collect())
}
