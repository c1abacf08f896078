//! Which parameters are trained, and by which optimizer.

use tch::{Kind, Tensor};
use vidtok_optim::{Adam, Muon, Optimizer};
use vidtok_torch::Parameters;

use crate::config::TrainConfig;
use crate::step::teacher::LATENT_PARTS;

/// The prefixes of the linear maps beside the networks.
const LINEAR_MAPS: [&str; 2] = ["encoder.linear.", "decoder.linear."];

/// Requests gradients of the parameters that the configuration trains: those of the whole tokenizer or of its decoder,
/// without the linear maps, for which steps that are right for the networks would be far too large.
pub(crate) fn select_trained(parameters: &Parameters, config: &TrainConfig) {
    parameters.set_requires_grad("", true);
    LINEAR_MAPS.iter().for_each(|map| parameters.set_requires_grad(map, false));
    if config.trains_decoder_only() {
        LATENT_PARTS.iter().for_each(|part| parameters.set_requires_grad(part, false));
    }
}

/// Adam, or with [`TrainConfig::muon`] Muon for the kernels of hidden layers and Adam for all other parameters.
pub(crate) fn generator_optimizer<'a>(
    config: &TrainConfig,
    parameters: impl Iterator<Item = (&'a str, &'a Tensor)>,
) -> Optimizer {
    let (kernels, others): (Vec<_>, Vec<_>) =
        parameters.partition(|(name, parameter)| config.muon.is_some() && is_hidden_kernel(name, parameter));
    let adam = Adam::new(config.optimizer.clone(), others);
    let kind = config.precision.autocast().unwrap_or(Kind::Float);
    Optimizer::new(adam, config.muon.clone().map(|muon| Muon::new(muon, kind, kernels)))
}

/// Whether a parameter is a kernel of neither the first nor the last layer of a network, whose inputs or outputs are
/// pixels or latents.
fn is_hidden_kernel(name: &str, parameter: &Tensor) -> bool {
    parameter.dim() > 1 && !name.split('.').any(|part| part == "conv_in" || part == "conv_out")
}

#[cfg(test)]
mod tests {
    use tch::Device;
    use vidtok::Tokenizer;
    use vidtok_optim::MuonConfig;

    use super::*;
    use crate::config::losses::LossConfig;
    use crate::step::losses::LossParts;
    use crate::step::trainer::Trainer;
    use crate::step::trainer::tests::{KL, batch, full_state, parameters, trainer};

    #[test]
    fn muon_trains_the_kernels_of_hidden_layers_and_resumes() {
        let Trainer { tokenizer, losses, config, .. } = trainer(KL, LossConfig::default());
        // Other tests draw from the same generator at the same time.
        vidtok_golden::fill(tokenizer.parameters().iter());
        let config = TrainConfig { muon: Some(MuonConfig::default()), ..config };
        let mut trainer = Trainer::new(tokenizer, losses, config);
        let before = parameters(&trainer);
        let psnr: Vec<f64> = (0..20).map(|_| trainer.step(&[batch(8)]).unwrap().psnr).collect();
        assert!(psnr[19] > psnr[0] + 1.0, "{psnr:?}");
        let tensors = trainer.tensors();
        for ((name, after), before) in trainer.tokenizer.parameters().iter().zip(&before) {
            let [momentum, mean] =
                ["momentum", "mean"].map(|part| tensors.contains_key(&format!("optimizer.generator.{part}.{name}")));
            let hidden = after.dim() > 1 && !name.contains("conv_in") && !name.contains("conv_out");
            assert_eq!([momentum, mean], [hidden, !hidden], "{name}");
            assert!(!after.equal(before), "{name}");
        }

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.safetensors");
        trainer.save(&path).unwrap();
        let model = trainer.tokenizer.config().clone();
        let tokenizer = |weights| Tokenizer::with_weights(model, weights, Device::Cpu, Kind::Float);
        let parts = LossParts::of(&trainer.config.loss, None);
        let resumed = Trainer::resume(&path, tokenizer, parts, trainer.config.clone()).unwrap();
        assert!(full_state(&resumed) == full_state(&trainer));
    }
}
