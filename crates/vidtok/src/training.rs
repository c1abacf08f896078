//! The forward pass of a training step.

use tch::{Kind, Tensor};
use vidtok_arch::{Decoder, StreamError, StreamState};
use vidtok_core::{ProcessGroup, Regularized, SingleProcess};
use vidtok_torch::autocast;

use crate::error::Error;
use crate::model::clip_size;
use crate::padding::Padding;
use crate::tokenizer::Tokenizer;

/// How a training step computes. The default is the first step, in full precision, on one process.
#[derive(Clone, Copy, Debug)]
pub struct TrainingOptions<'a> {
    /// The number of batches before this one, for annealed weights.
    pub step: u64,
    /// Trains the decoder only: encoder and quantizer run without gradients, and the latent is a constant.
    pub freeze_encoder: bool,
    /// Gradient checkpointing (arXiv 1604.06174): only the inputs of blocks are stored, and the backward pass recomputes
    /// the rest. The gradients are the same.
    pub recompute: bool,
    /// A model with the same encoder, whose decoder reconstructs the same latent, without gradients.
    pub teacher: Option<&'a Tokenizer>,
    /// The number type of the networks under libtorch's autocast, bfloat16 or half. The quantizer computes in float32.
    pub autocast: Option<Kind>,
    /// The processes that share the batch; the clip is this process's part of it.
    pub group: &'a dyn ProcessGroup,
}

impl Default for TrainingOptions<'_> {
    fn default() -> Self {
        Self { step: 0, freeze_encoder: false, recompute: false, teacher: None, autocast: None, group: &SingleProcess }
    }
}

/// The result of a training step's forward pass, with gradients.
#[derive(Debug)]
pub struct TrainingPass {
    /// The reconstructed clip, float32, of the same shape as the clip.
    pub reconstruction: Tensor,
    /// The teacher's reconstruction of the same latent, if there is a teacher.
    pub taught: Option<Tensor>,
    /// The latent, the quantizer's loss and the indices.
    pub regularized: Regularized,
}

impl TrainingOptions<'_> {
    fn state(&self) -> StreamState {
        if self.recompute { StreamState::recomputed() } else { StreamState::whole_clip() }
    }
}

impl Tokenizer {
    /// The forward pass of a training step on a clip `[b, 3, t, h, w]` in [-1, 1]. Gradients reach the parameters that
    /// require them ([`Parameters::set_requires_grad`](vidtok_torch::Parameters::set_requires_grad)).
    ///
    /// # Errors
    /// If the clip has another shape, or autocast does not support the device or the number type.
    pub fn forward_train(&self, video: &Tensor, options: &TrainingOptions<'_>) -> Result<TrainingPass, Error> {
        let model = self.model();
        let padding = Padding::new(&model.config.model, clip_size(video)?);
        let mixed = |network: &dyn Fn() -> Result<Tensor, StreamError>| match options.autocast {
            Some(kind) => Ok(autocast(model.device, kind, network).map_err(Error::MixedPrecision)??),
            None => Ok::<Tensor, Error>(network()?),
        };
        let regularize = || -> Result<Regularized, Error> {
            let padded = model.pad(video, padding);
            let encoded = mixed(&|| model.encoder.forward(&padded, &mut options.state()))?;
            Ok(model.quantizer.regularize(&encoded.to_kind(Kind::Float), options.step, options.group))
        };
        let regularized = if options.freeze_encoder { tch::no_grad(regularize) } else { regularize() }?;
        let decode = |decoder: &Decoder| -> Result<Tensor, Error> {
            let decoded = mixed(&|| decoder.forward(&regularized.latent, &mut options.state()))?;
            Ok(padding.crop(&decoded).to_kind(Kind::Float))
        };
        let teach = |teacher: &Tokenizer| tch::no_grad(|| decode(&teacher.model().decoder));
        let taught = options.teacher.map(teach).transpose()?;
        let reconstruction = decode(&model.decoder)?;
        Ok(TrainingPass { reconstruction, taught, regularized })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use tch::Device;
    use vidtok_golden::unit;

    use super::*;
    use crate::Causality;
    use crate::config::Config;

    const VERSIONS: [Causality; 3] = [Causality::V1_0, Causality::V1_1, Causality::NonCausal];

    fn tokenizer(causality: Causality) -> Tokenizer {
        // The threads of such a small model would mostly wait for each other.
        tch::set_num_threads(1);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/tiny_kl.toml");
        let overrides = [
            format!("model.causality=\"{causality}\""),
            "model.ch_mult=[1, 2]".to_owned(),
            "quantizer.sample=false".to_owned(),
        ];
        let tokenizer = Tokenizer::init(Config::load(&path, &overrides).unwrap(), 0, Device::Cpu).unwrap();
        tokenizer.parameters().set_requires_grad("", true);
        tokenizer
    }

    fn clip() -> Tensor {
        unit("clip", &[2, 3, 5, 8, 12], 0)
    }

    /// The reconstruction, and the gradients of the parameters that have one.
    fn step(tokenizer: &Tokenizer, options: TrainingOptions<'_>) -> (Tensor, BTreeMap<String, Tensor>) {
        for (_, parameter) in tokenizer.parameters().iter() {
            parameter.shallow_clone().zero_grad();
        }
        let TrainingPass { reconstruction, regularized, .. } = tokenizer.forward_train(&clip(), &options).unwrap();
        let loss = (&reconstruction - clip()).square().mean(Kind::Float) + regularized.loss * 1e-3;
        loss.backward();
        let gradients = tokenizer.parameters().iter().map(|(name, tensor)| (name.to_owned(), tensor.grad()));
        let gradients = gradients.filter(|(_, gradient)| gradient.defined());
        (reconstruction.detach(), gradients.map(|(name, gradient)| (name, gradient.copy())).collect())
    }

    /// |found - expected| / |expected|.
    fn difference(found: &Tensor, expected: &Tensor) -> f64 {
        ((found - expected).norm() / expected.norm()).double_value(&[])
    }

    /// All gradients, concatenated.
    fn joined(gradients: &BTreeMap<String, Tensor>) -> Tensor {
        Tensor::cat(&gradients.values().map(|gradient| gradient.flatten(0, -1)).collect::<Vec<_>>(), 0)
    }

    #[test]
    fn gradient_checkpointing_does_not_change_gradients() {
        for causality in VERSIONS {
            let tokenizer = tokenizer(causality);
            let (reconstruction, gradients) = step(&tokenizer, TrainingOptions::default());
            assert_eq!(gradients.len(), tokenizer.parameters().names().count());
            let (again, recomputed) = step(&tokenizer, TrainingOptions { recompute: true, ..Default::default() });
            assert_eq!(again, reconstruction);
            for (name, gradient) in &gradients {
                assert_eq!(&recomputed[name], gradient, "{causality} {name}");
            }
        }
    }

    #[test]
    fn mixed_precision_is_close_to_float32_and_its_gradients_are_float32() {
        for causality in VERSIONS {
            let tokenizer = tokenizer(causality);
            let (reconstruction, gradients) = step(&tokenizer, TrainingOptions::default());
            let half = TrainingOptions { autocast: Some(Kind::BFloat16), ..Default::default() };
            let (mixed, mixed_gradients) = step(&tokenizer, half);
            assert_eq!(mixed.kind(), Kind::Float);
            assert!((1e-4..0.03).contains(&difference(&mixed, &reconstruction)), "{causality}");
            assert!(mixed_gradients.values().all(|gradient| gradient.kind() == Kind::Float));
            assert!((1e-4..0.03).contains(&difference(&joined(&mixed_gradients), &joined(&gradients))), "{causality}");
            let (again, recomputed) = step(&tokenizer, TrainingOptions { recompute: true, ..half });
            assert_eq!(again, mixed);
            assert_eq!(recomputed, mixed_gradients, "{causality}");
        }
    }

    #[test]
    fn a_frozen_encoder_runs_without_a_graph_and_gets_no_gradients() {
        let tokenizer = tokenizer(Causality::V1_0);
        let frozen = TrainingOptions { freeze_encoder: true, ..Default::default() };
        let pass = tokenizer.forward_train(&clip(), &frozen).unwrap();
        assert!(!pass.regularized.latent.requires_grad() && !pass.regularized.loss.requires_grad());
        assert!(pass.regularized.loss.double_value(&[]) > 0.0);

        let (plain, gradients) = step(&tokenizer, frozen);
        assert!(gradients.keys().all(|name| name.starts_with("decoder.")), "{:?}", gradients.keys());
        assert_eq!(step(&tokenizer, TrainingOptions { recompute: true, ..frozen }).1, gradients);

        let (reconstruction, mut all) = step(&tokenizer, TrainingOptions::default());
        all.retain(|name, _| name.starts_with("decoder."));
        // Without gradients libtorch may choose other kernels for the encoder.
        assert!(difference(&plain, &reconstruction) < 1e-5);
        assert!(difference(&joined(&gradients), &joined(&all)) < 1e-5);
    }

    #[test]
    fn gradients_can_be_taken_at_the_decoders_output_weight_alone() {
        for causality in VERSIONS {
            let name = if causality.is_causal() { "decoder.conv_out.conv.weight" } else { "decoder.conv_out.weight" };
            let tokenizer = tokenizer(causality);
            let losses = [false, true].map(|recompute| {
                let options = TrainingOptions { recompute, ..Default::default() };
                tokenizer.forward_train(&clip(), &options).unwrap().reconstruction.square().mean(Kind::Float)
            });
            let weight = tokenizer.decoder_output_weight();
            let [plain, recomputed] =
                losses.each_ref().map(|loss| Tensor::run_backward(&[loss], &[weight], true, false).remove(0));
            assert_eq!(plain, recomputed);
            assert!(tokenizer.parameters().iter().all(|(_, parameter)| !parameter.grad().defined()));
            losses[1].backward();
            assert_eq!(tokenizer.parameters().get(name).unwrap().grad(), plain);
        }
    }

    #[test]
    fn autocast_to_other_than_half_precision_is_an_error() {
        let options = TrainingOptions { autocast: Some(Kind::Int64), ..Default::default() };
        let error = tokenizer(Causality::V1_0).forward_train(&clip(), &options).unwrap_err();
        assert!(error.to_string().contains("mixed precision") && error.to_string().contains("Int64"), "{error}");
    }
}
