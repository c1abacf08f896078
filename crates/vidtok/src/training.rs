//! A training step's forward pass.

use tch::{Kind, Tensor};
use vidtok_arch::{StreamError, StreamState};
use vidtok_core::{ProcessGroup, Regularized, SingleProcess};
use vidtok_torch::autocast;

use crate::error::Error;
use crate::padding::Padding;
use crate::tokenizer::Tokenizer;
use crate::tokenizer::clip_size;

/// How a training step computes. The default is a first step of all parameters, in their own precision.
#[derive(Clone, Copy, Debug)]
pub struct TrainingOptions<'a> {
    /// Batches before this one, for annealed weights.
    pub step: u64,
    /// Only the decoder learns: encoder and quantizer leave no graph, and what the decoder reads is a constant.
    pub freeze_encoder: bool,
    /// Gradient checkpointing (arXiv 1604.06174): the inputs of blocks are kept, and backward computes the rest again.
    /// The gradients are the same.
    pub recompute: bool,
    /// What the networks compute in, bfloat16 or half, by libtorch's autocast; the quantizer computes in float32.
    pub autocast: Option<Kind>,
    /// The processes that share the batch, of which the clip is this one's part.
    pub group: &'a dyn ProcessGroup,
}

impl Default for TrainingOptions<'_> {
    fn default() -> Self {
        Self { step: 0, freeze_encoder: false, recompute: false, autocast: None, group: &SingleProcess }
    }
}

/// What a training step makes of a clip, with gradients.
#[derive(Debug)]
pub struct TrainingPass {
    /// The decoded clip, of the clip's shape, float32.
    pub reconstruction: Tensor,
    /// The quantizer's loss and indices.
    pub regularized: Regularized,
}

impl TrainingOptions<'_> {
    fn state(&self) -> StreamState {
        if self.recompute { StreamState::recomputed() } else { StreamState::whole_clip() }
    }
}

impl Tokenizer {
    /// A training step's forward pass, with gradients for the parameters that ask for them.
    ///
    /// # Errors
    /// If the video's shape is no `[b, 3, t, h, w]`, or autocast knows neither the device nor the kind.
    pub fn forward_train(&self, video: &Tensor, options: &TrainingOptions<'_>) -> Result<TrainingPass, Error> {
        let padding = Padding::new(&self.config().model, clip_size(video)?);
        let mixed = |network: &dyn Fn() -> Result<Tensor, StreamError>| match options.autocast {
            Some(kind) => Ok(autocast(self.device(), kind, network).map_err(Error::MixedPrecision)??),
            None => Ok::<Tensor, Error>(network()?),
        };
        let regularize = || -> Result<Regularized, Error> {
            let padded = self.pad(video, padding);
            let encoded = mixed(&|| self.encoder().forward(&padded, &mut options.state()))?;
            Ok(self.quantizer().regularize(&encoded.to_kind(Kind::Float), options.step, options.group))
        };
        let regularized = if options.freeze_encoder { tch::no_grad(regularize) } else { regularize() }?;
        let decoded = mixed(&|| self.decoder().forward(&regularized.latent, &mut options.state()))?;
        let reconstruction = padding.crop(&decoded).to_kind(Kind::Float);
        Ok(TrainingPass { reconstruction, regularized })
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
        // On a busy machine the threads of so small a model would mostly wait for each other.
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
        let TrainingPass { reconstruction, regularized } = tokenizer.forward_train(&clip(), &options).unwrap();
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

    /// All gradients as one vector.
    fn joined(gradients: &BTreeMap<String, Tensor>) -> Tensor {
        Tensor::cat(&gradients.values().map(|gradient| gradient.flatten(0, -1)).collect::<Vec<_>>(), 0)
    }

    #[test]
    fn recomputed_blocks_have_exactly_the_same_gradients() {
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
    fn mixed_precision_is_close_to_float32_and_gives_float32_gradients() {
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
    fn a_frozen_encoder_leaves_no_graph_and_gets_no_gradient() {
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
    fn a_kind_that_is_no_half_precision_is_an_error() {
        let options = TrainingOptions { autocast: Some(Kind::Int64), ..Default::default() };
        let error = tokenizer(Causality::V1_0).forward_train(&clip(), &options).unwrap_err();
        assert!(error.to_string().contains("mixed precision") && error.to_string().contains("Int64"), "{error}");
    }
}
