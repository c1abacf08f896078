//! What one training step is.

use tch::{Kind, Tensor};
use vidtok::Tokenizer;
use vidtok_core::{Loss, Metric};
use vidtok_data::to_unit_range;
use vidtok_metrics::Psnr;

use crate::{Adam, TrainConfig, TrainError};

/// A model that is being trained: minimises a reconstruction loss plus the quantizer's own.
#[derive(Debug)]
pub struct Trainer {
    tokenizer: Tokenizer,
    loss: Box<dyn Loss>,
    adam: Adam,
    config: TrainConfig,
    step: u64,
}

/// The numbers of one step.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct StepReport {
    /// The step, from 0.
    pub step: u64,
    /// What was minimised.
    pub loss: f64,
    /// The reconstruction loss in it.
    pub reconstruction_loss: f64,
    /// The quantizer's loss in it, before its weight.
    pub quantizer_loss: f64,
    /// PSNR of the batch in dB, before the step.
    pub psnr: f64,
    /// Norm of the gradients before clipping.
    pub gradient_norm: f64,
    /// The learning rate.
    pub learning_rate: f64,
}

impl Trainer {
    /// Trains all parameters of `tokenizer`.
    #[must_use]
    pub fn new(tokenizer: Tokenizer, loss: Box<dyn Loss>, config: TrainConfig) -> Self {
        tokenizer.parameters().set_requires_grad("", true);
        let parameters = tokenizer.parameters().iter().map(|(_, tensor)| tensor.shallow_clone());
        let adam = Adam::new(config.optimizer.clone(), parameters);
        Self { tokenizer, loss, adam, config, step: 0 }
    }

    /// The model.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Takes a step on clips `[b, 3, t, h, w]` in [-1, 1].
    ///
    /// # Errors
    /// If the loss or a gradient is no finite number; the parameters are as before then.
    pub fn step(&mut self, clips: &Tensor) -> Result<StepReport, TrainError> {
        let clips = clips.to_device(self.tokenizer.device());
        let trained = self.tokenizer.forward_train(&clips, self.step)?;
        let reconstruction_loss = self.loss.forward(&clips, &trained.reconstruction);
        let quantizer_loss = trained.regularized.loss;
        let loss = &reconstruction_loss + &quantizer_loss * self.tokenizer.quantizer().loss_weight();

        self.adam.zero_grad();
        loss.backward();
        let gradient_norm = self.adam.clip_grad_norm(self.config.clip_norm);
        let loss = loss.double_value(&[]);
        if !(loss.is_finite() && gradient_norm.is_finite()) {
            return Err(TrainError::NotFinite { step: self.step, loss, gradient_norm });
        }
        let learning_rate = self.config.learning_rate(self.step);
        self.adam.step(learning_rate);

        let report = StepReport {
            step: self.step,
            loss,
            reconstruction_loss: reconstruction_loss.double_value(&[]),
            quantizer_loss: quantizer_loss.double_value(&[]),
            psnr: psnr(&clips, &trained.reconstruction.detach()),
            gradient_norm,
            learning_rate,
        };
        self.step += 1;
        Ok(report)
    }

    /// The mean PSNR in dB of the model's reconstructions of clips `[b, 3, t, h, w]` in [-1, 1]; none of no clips.
    ///
    /// # Errors
    /// If a clip's shape is another.
    pub fn validate(&self, clips: &[Tensor]) -> Result<Option<f64>, TrainError> {
        let mut metric = Psnr::default();
        for clip in clips {
            let reconstruction = self.tokenizer.reconstruct(clip)?;
            metric.update(&to_unit_range(&clip.to_device(reconstruction.device())), &to_unit_range(&reconstruction))?;
        }
        Ok(metric.value())
    }
}

fn psnr(target: &Tensor, reconstruction: &Tensor) -> f64 {
    Psnr::frames(&to_unit_range(target), &to_unit_range(reconstruction)).mean(Kind::Double).double_value(&[])
}

#[cfg(test)]
mod tests {
    use tch::Device;
    use vidtok::Config;
    use vidtok_loss::L1;

    use super::*;

    fn trainer(quantizer: &str) -> Trainer {
        // On a busy machine the threads of so small a model would mostly wait for each other.
        tch::set_num_threads(1);
        let text = format!(
            r#"
            name = "tiny"
            [model]
            causality = "v1.0"
            ch = 8
            ch_mult = [1, 1]
            num_res_blocks = 1
            spatial_down = [0]
            spatial_up = [1]
            temporal_down = [0]
            temporal_up = [1]
            [quantizer]
            {quantizer}
            "#
        );
        let tokenizer = Tokenizer::init(Config::parse(&text).unwrap(), 0, Device::Cpu).unwrap();
        let config = TrainConfig { clip_norm: 1.0, ..TrainConfig::example() };
        Trainer::new(tokenizer, Box::new(L1), config)
    }

    /// Two smooth clips.
    fn clips() -> Tensor {
        let ramp = Tensor::linspace(-1.0, 1.0, 8, (Kind::Float, Device::Cpu));
        let picture = ramp.view([1, 1, 1, 1, 8]) * ramp.view([1, 1, 1, 8, 1]);
        Tensor::cat(&[&picture, &(-&picture)], 0).expand([2, 3, 5, 8, 8], false).contiguous()
    }

    #[test]
    fn training_brings_the_reconstruction_closer() {
        for quantizer in ["kind = \"kl\"\nz_channels = 4", "kind = \"fsq\"\nlevels = [8, 8, 8]"] {
            let mut trainer = trainer(quantizer);
            let before = trainer.validate(&[clips()]).unwrap().unwrap();
            for step in 0..60 {
                assert_eq!(trainer.step(&clips()).unwrap().step, step);
            }
            let after = trainer.validate(&[clips()]).unwrap().unwrap();
            assert!(after > before + 8.0, "{quantizer}: {before} to {after} dB");
        }
    }

    #[test]
    fn no_clips_have_no_psnr() {
        assert_eq!(trainer("kind = \"kl\"\nz_channels = 4").validate(&[]).unwrap(), None);
    }

    #[test]
    fn a_clip_that_is_not_finite_changes_no_parameter() {
        let mut trainer = trainer("kind = \"kl\"\nz_channels = 4");
        let sum = |trainer: &Trainer| -> f64 {
            trainer.tokenizer.parameters().iter().map(|(_, p)| p.abs().sum(Kind::Double).double_value(&[])).sum()
        };
        let before = sum(&trainer);
        let error = trainer.step(&(clips() * f64::NAN)).unwrap_err();
        assert!(matches!(error, TrainError::NotFinite { step: 0, .. }), "{error}");
        assert_eq!(sum(&trainer), before);
    }
}
