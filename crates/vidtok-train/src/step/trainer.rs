//! What one training step is.
//!
//! The losses are differentiated at the reconstruction first, so that their networks' activations are gone before the
//! tokenizer's own backward pass, which runs once: the adaptive weight needs gradients at the decoder's last layer
//! only. The discriminator's gradients come from the same reconstruction. Only then is anything changed, and only if all
//! losses and gradients are finite.
//!
//! Whatever is random in a step follows from the seed and the step, so that a run can go on at any step.
//!
//! Several processes may share a step, each with its part of every batch. What depends on the batch as a whole (gradients,
//! the adaptive weight, the norms' statistics, LeCAM, the use of codes) is joined, and noise is drawn for the whole batch,
//! so that they do together what one process does.

use std::rc::Rc;

use tch::{Kind, Tensor};
use vidtok::{Tokenizer, TrainingOptions};
use vidtok_core::{Differentiated, ProcessGroup, SingleProcess};
use vidtok_data::{Batch, to_unit_range};
use vidtok_loss::GanLoss;
use vidtok_metrics::Psnr;
use vidtok_torch::{C10dProcessGroup, GradientReducer, ProcessGroupError, with_gradient};

use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::error::caught;
use crate::step::adam::Adam;
use crate::step::ema::Ema;
use crate::step::losses::Losses;
use crate::step::report::average;
use crate::step::report::{GanReport, StepReport};
use crate::step::state::Progress;

/// A model that is being trained, with everything that belongs to its training.
#[derive(Debug)]
pub struct Trainer {
    pub(crate) tokenizer: Tokenizer,
    pub(crate) losses: Losses,
    pub(crate) generator: Adam,
    pub(crate) discriminator: Adam,
    pub(crate) ema: Option<Ema>,
    pub(crate) config: TrainConfig,
    pub(crate) progress: Progress,
    team: Option<Team>,
}

/// The processes that share this trainer's steps.
#[derive(Debug)]
struct Team {
    group: Rc<C10dProcessGroup>,
    generator: GradientReducer,
    discriminator: Option<GradientReducer>,
}

/// A batch's place among those of its step.
#[derive(Clone, Copy)]
struct Place {
    /// How much it counts in their mean.
    weight: f64,
    /// Whether it is the last, after which gradients are complete.
    last: bool,
}

/// What the generator's half of a step leaves for the discriminator's.
struct Generated {
    target: Tensor,
    reconstruction: Tensor,
}

impl Trainer {
    /// Trains `tokenizer`: all of it, or the decoder if the configuration freezes the encoder.
    #[must_use]
    pub fn new(tokenizer: Tokenizer, losses: Losses, config: TrainConfig) -> Self {
        tokenizer.parameters().set_requires_grad("", true);
        if config.freeze_encoder {
            tokenizer.parameters().set_requires_grad("encoder.", false);
        }
        let generated = tokenizer.parameters().trained().chain(losses.generator_parameters());
        let generator = Adam::new(config.optimizer.clone(), generated);
        let discriminator = Adam::new(config.optimizer.clone(), losses.discriminator_parameters());
        let ema = config.ema_decay.map(|decay| Ema::new(decay, tokenizer.parameters()));
        Self { tokenizer, losses, generator, discriminator, ema, config, progress: Progress::default(), team: None }
    }

    /// Shares the steps to come with the other processes of `group`, which have the same model and configuration; all go on
    /// from the first one's state. Each is then given its part of every batch.
    ///
    /// # Errors
    /// If another process is gone, or has another model.
    pub fn join(&mut self, group: &Rc<C10dProcessGroup>) -> Result<(), TrainError> {
        self.take_over_first(group)?;
        let generated = self.tokenizer.parameters().trained().chain(self.losses.generator_parameters());
        let generator = GradientReducer::new(group, generated.map(|(_, parameter)| parameter))?;
        let judging: Vec<&Tensor> = self.losses.discriminator_parameters().map(|(_, parameter)| parameter).collect();
        let discriminator = if judging.is_empty() { None } else { Some(GradientReducer::new(group, judging)?) };
        self.team = Some(Team { group: Rc::clone(group), generator, discriminator });
        Ok(())
    }

    /// The processes that share the steps.
    pub(crate) fn process_group(&self) -> Rc<dyn ProcessGroup> {
        match &self.team {
            Some(team) => Rc::clone(&team.group) as Rc<dyn ProcessGroup>,
            None => Rc::new(SingleProcess),
        }
    }

    /// The model.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The losses.
    #[must_use]
    pub fn losses(&self) -> &Losses {
        &self.losses
    }

    /// The moving averages of its weights.
    #[must_use]
    pub fn ema(&self) -> Option<&Ema> {
        self.ema.as_ref()
    }

    /// Steps taken so far, skipped ones included: the number of the next one.
    #[must_use]
    pub fn step_number(&self) -> u64 {
        self.progress.step
    }

    /// Steps that changed nothing, because a number was not finite.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.progress.skipped
    }

    /// Takes a step on one batch, or on several whose gradients are averaged; clips are `[b, 3, t, h, w]` in [-1, 1].
    ///
    /// A step with a loss or gradients that are not finite, the discriminator's included, changes nothing but its own
    /// number and the count of skipped steps, and says so in its report.
    ///
    /// # Errors
    /// If a clip has another shape, if more than `max_skipped` steps in a row were skipped, if libtorch fails, or if a
    /// process that shares the step is gone; the trainer is of no more use then.
    pub fn step(&mut self, batches: &[Batch]) -> Result<StepReport, TrainError> {
        let step = self.progress.step;
        // What is joined in the middle of a pass fails as libtorch's functions do.
        caught(format!("step {step}"), || self.take_step(batches)).map_err(|error| match (error, &self.team) {
            (TrainError::Failed { place, message }, Some(team)) => match team.group.failed(&message) {
                lost @ ProcessGroupError::Lost { .. } => lost.into(),
                failed => TrainError::Failed { place, message: failed.to_string() },
            },
            (error, _) => error,
        })
    }

    fn take_step(&mut self, batches: &[Batch]) -> Result<StepReport, TrainError> {
        tch::manual_seed(step_seed(self.config.seed, self.progress.step));
        let weight = 1.0 / batches.len().max(1) as f64;
        let mut report = self.empty_report();
        let counts = self.losses.gan.as_ref().map(GanLoss::counts);
        self.generator.zero_grad();
        let mut generated = Vec::new();
        let group = self.process_group();
        for (i, batch) in batches.iter().enumerate() {
            let place = Place { weight, last: i + 1 == batches.len() };
            generated.push(self.generate(&batch.clips, place, &*group, &mut report)?);
        }
        average(&*group, report.of_generator());
        report.gradient_norm = self.generator.clip_grad_norm(self.config.clip_norm);
        if report.faults().is_empty() {
            self.discriminate(&generated, weight, &*group, &mut report)?;
        }
        report.skipped = !report.faults().is_empty();
        if report.skipped {
            if let (Some(gan), Some(counts)) = (&mut self.losses.gan, &counts) {
                gan.set_counts(counts);
            }
            self.skip(&report, batches)?;
        } else {
            self.update(&mut report);
        }
        self.progress.step += 1;
        Ok(report)
    }

    /// Moves everything along its gradients.
    fn update(&mut self, report: &mut StepReport) {
        self.generator.step(report.learning_rate);
        report.logvar = self.losses.reconstruction.logvar().double_value(&[]);
        if report.gan.is_some() {
            self.discriminator.step(report.learning_rate);
        }
        if let Some(ema) = &mut self.ema {
            ema.update(self.tokenizer.parameters());
        }
        self.progress.skipped_in_row = 0;
    }

    fn empty_report(&self) -> StepReport {
        let step = self.progress.step;
        let begun = |start: u64| step >= start;
        let gan = self.losses.gan.as_ref().filter(|gan| begun(gan.config().start));
        StepReport {
            step,
            loss: 0.0,
            nll: 0.0,
            rec: 0.0,
            lpips: None,
            quantizer: 0.0,
            logvar: self.losses.reconstruction.logvar().double_value(&[]),
            psnr: 0.0,
            gradient_norm: 0.0,
            learning_rate: self.config.learning_rate(step),
            gan: gan.map(|_| GanReport::default()),
            skipped: false,
        }
    }

    /// The generator's gradients of one batch.
    fn generate(
        &self,
        clips: &Tensor,
        Place { weight, last }: Place,
        group: &dyn ProcessGroup,
        report: &mut StepReport,
    ) -> Result<Generated, TrainError> {
        let target = clips.to_device(self.tokenizer.device());
        let options = TrainingOptions {
            step: report.step,
            freeze_encoder: self.config.freeze_encoder,
            recompute: self.config.gradient_checkpointing,
            autocast: self.config.precision.autocast(),
            group,
        };
        let pass = self.tokenizer.forward_train(&target, &options)?;
        let reconstruction = pass.reconstruction;
        let terms = self.losses.reconstruction.forward(&target, &reconstruction)?;
        let quantizer = pass.regularized.loss;
        let mut loss = &terms.nll + &quantizer * self.tokenizer.quantizer().loss_weight();
        if let (Some(gan), Some(report)) = (&self.losses.gan, &mut report.gan) {
            let Differentiated { value, gradient } = gan.generator_loss(&reconstruction, group);
            let generator_loss = with_gradient(&value, &reconstruction, &gradient);
            let last_layer = self.tokenizer.decoder_output_weight();
            let adaptive = gan.adaptive_weight(&terms.nll, &generator_loss, last_layer, group);
            report.generator += value.double_value(&[]) * weight;
            report.adaptive_weight += adaptive.double_value(&[]) * weight;
            loss += generator_loss * adaptive;
        }
        if let Some(team) = self.team.as_ref().filter(|_| last) {
            team.generator.prepare()?;
        }
        (&loss * weight).backward();

        report.loss += loss.double_value(&[]) * weight;
        report.nll += terms.nll.double_value(&[]) * weight;
        report.rec += terms.rec.double_value(&[]) * weight;
        if let Some(lpips) = terms.perceptual {
            *report.lpips.get_or_insert(0.0) += lpips.double_value(&[]) * weight;
        }
        report.quantizer += quantizer.double_value(&[]) * weight;
        let reconstruction = reconstruction.detach();
        report.psnr += psnr(&target, &reconstruction) * weight;
        Ok(Generated { target, reconstruction })
    }

    /// The discriminator's gradients of the same batches.
    fn discriminate(
        &mut self,
        generated: &[Generated],
        weight: f64,
        group: &dyn ProcessGroup,
        report: &mut StepReport,
    ) -> Result<(), TrainError> {
        let (Some(gan), Some(numbers)) = (&mut self.losses.gan, &mut report.gan) else {
            return Ok(());
        };
        self.discriminator.zero_grad();
        for (i, Generated { target, reconstruction }) in generated.iter().enumerate() {
            let terms = gan.discriminate(target, reconstruction, group);
            let reducer = self.team.as_ref().and_then(|team| team.discriminator.as_ref());
            if let Some(reducer) = reducer.filter(|_| i + 1 == generated.len()) {
                reducer.prepare()?;
            }
            (&terms.loss * weight).backward();
            numbers.discriminator += terms.loss.double_value(&[]) * weight;
            numbers.discriminator_logits += terms.logits_loss.double_value(&[]) * weight;
            numbers.lecam += terms.lecam.double_value(&[]) * weight;
            numbers.logits_real += terms.real.double_value(&[]) * weight;
            numbers.logits_fake += terms.fake.double_value(&[]) * weight;
        }
        average(group, numbers.of_discriminator());
        numbers.discriminator_gradient_norm = self.discriminator.clip_grad_norm(self.config.clip_norm);
        Ok(())
    }

    fn skip(&mut self, report: &StepReport, batches: &[Batch]) -> Result<(), TrainError> {
        self.progress.skipped += 1;
        self.progress.skipped_in_row += 1;
        if self.progress.skipped_in_row > self.config.max_skipped {
            return Err(TrainError::NotFinite {
                step: report.step,
                steps: self.progress.skipped_in_row,
                faults: report.faults(),
                clips: batches.iter().flat_map(|batch| batch.names.iter().cloned()).collect(),
            });
        }
        Ok(())
    }
}

/// What seeds libtorch's generator at a step: a bijective mix (splitmix64) of both numbers.
fn step_seed(seed: u64, step: u64) -> i64 {
    let mix = |x: u64| {
        let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    };
    mix(mix(seed).wrapping_add(step)) as i64
}

fn psnr(target: &Tensor, reconstruction: &Tensor) -> f64 {
    Psnr::frames(&to_unit_range(target), &to_unit_range(reconstruction)).mean(Kind::Double).double_value(&[])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tch::Device;
    use vidtok::Config;

    use super::*;
    use crate::step::losses::LossConfig;
    use crate::step::state::Saved;

    const KL: &str = "tiny_kl";
    const FSQ: &str = "tiny_fsq";

    /// Of this configuration.
    fn trainer(name: &str, loss: LossConfig) -> Trainer {
        // On a busy machine the threads of so small a model would mostly wait for each other.
        tch::set_num_threads(1);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../configs/{name}.toml"));
        let tokenizer = Tokenizer::init(Config::load(&path, &[]).unwrap(), 0, Device::Cpu).unwrap();
        let config = TrainConfig { clip_norm: 1.0, max_skipped: 1, loss: loss.clone(), ..TrainConfig::example() };
        Trainer::new(tokenizer, Losses::new(&loss, None, Device::Cpu), config)
    }

    /// Two smooth clips.
    fn batch(side: i64) -> Batch {
        let ramp = Tensor::linspace(-1.0, 1.0, side, (Kind::Float, Device::Cpu));
        let picture = ramp.view([1, 1, 1, 1, side]) * ramp.view([1, 1, 1, side, 1]);
        let clips = Tensor::cat(&[&picture, &(-&picture)], 0).expand([2, 3, 5, side, side], false).contiguous();
        Batch { clips, names: vec!["a".to_owned(), "b".to_owned()] }
    }

    /// All that a step can change, but for the step's number and the count of skipped steps.
    fn everything(trainer: &Trainer) -> (Vec<Tensor>, Saved) {
        let tensors = trainer.tensors().values().map(|tensor| tensor.detach().copy()).collect();
        let mut numbers = trainer.numbers();
        numbers.progress = Progress::default();
        (tensors, numbers)
    }

    fn parameters(trainer: &Trainer) -> Vec<Tensor> {
        trainer.tokenizer.parameters().iter().map(|(_, parameter)| parameter.detach().copy()).collect()
    }

    #[test]
    fn training_brings_the_reconstruction_closer() {
        for name in [KL, FSQ] {
            let mut trainer = trainer(name, LossConfig::default());
            let psnr: Vec<f64> = (0..60).map(|_| trainer.step(&[batch(8)]).unwrap().psnr).collect();
            assert!(psnr[59] > psnr[0] + 8.0, "{name}: {} to {} dB", psnr[0], psnr[59]);
        }
    }

    #[test]
    fn the_adversary_begins_at_its_step_and_learns() {
        let gan = vidtok_loss::GanConfig { start: 1, ..Default::default() };
        let mut trainer = trainer(KL, LossConfig { gan: Some(gan), ..LossConfig::default() });
        assert_eq!(trainer.step(&[batch(32)]).unwrap().gan, None);
        let first = trainer.step(&[batch(32)]).unwrap().gan.unwrap();
        assert!(first.adaptive_weight > 0.0 && first.discriminator_gradient_norm > 0.0);
        assert_eq!(trainer.discriminator.updates(), 1);
    }

    #[test]
    fn equal_batches_give_the_gradient_of_one_of_them() {
        let step = |batches: usize| {
            let mut trainer = trainer(KL, LossConfig::default());
            trainer.config.clip_norm = 1e9;
            let batch = batch(8);
            let batches: Vec<Batch> = (0..batches)
                .map(|_| Batch { clips: batch.clips.shallow_clone(), names: batch.names.clone() })
                .collect();
            // The mean, so that both halves draw the same latent.
            trainer.tokenizer = Tokenizer::init(
                trainer.tokenizer.config().with_overrides(&["quantizer.sample=false".to_owned()]).unwrap(),
                0,
                Device::Cpu,
            )
            .unwrap();
            // Other tests draw from the same generator meanwhile.
            vidtok_golden::fill(trainer.tokenizer.parameters().iter());
            let mut trainer = Trainer::new(trainer.tokenizer, trainer.losses, trainer.config);
            trainer.step(&batches).unwrap().gradient_norm
        };
        let (one, two) = (step(1), step(2));
        assert!((one / two - 1.0).abs() < 1e-4, "{one} {two}");
    }

    #[test]
    fn clips_that_are_not_finite_change_no_parameter_and_end_the_run_when_they_go_on() {
        let gan = vidtok_loss::GanConfig { start: 0, ..Default::default() };
        let mut trainer = trainer(KL, LossConfig { gan: Some(gan), ..LossConfig::default() });
        let spoilt = || {
            let Batch { clips, names } = batch(32);
            Batch { clips: clips * f64::NAN, names }
        };
        let before = everything(&trainer);
        // The discriminator has seen the first batch when the second one spoils the step.
        assert!(trainer.step(&[batch(32), spoilt()]).unwrap().skipped);
        assert!(everything(&trainer) == before);
        assert!(!trainer.step(&[batch(32)]).unwrap().skipped);
        assert!(everything(&trainer) != before);
        assert!(trainer.step(&[spoilt()]).unwrap().skipped, "one in a row is allowed again");
        let error = trainer.step(&[spoilt()]).unwrap_err();
        assert!(matches!(&error, TrainError::NotFinite { step: 3, steps: 2, .. }), "{error}");
        assert!(error.to_string().contains("loss is NaN, gradient_norm is NaN on a, b)"), "{error}");
        let finite = |tensor: &Tensor| tensor.isfinite().all().int64_value(&[]) == 1;
        assert!(trainer.losses.parameters().iter().all(|(_, tensor)| finite(tensor)));
    }

    #[test]
    fn a_discriminator_whose_loss_is_not_finite_makes_the_whole_step_change_nothing() {
        let gan = vidtok_loss::GanConfig { start: 0, ..Default::default() };
        let mut trainer = trainer(KL, LossConfig { gan: Some(gan), ..LossConfig::default() });
        trainer.ema = Some(Ema::new(0.9, trainer.tokenizer.parameters()));
        assert!(!trainer.step(&[batch(32)]).unwrap().skipped);
        // Finite, but not squared.
        let means = vidtok_loss::LeCam { real: 1e30, fake: 0.0 };
        trainer.losses.gan.as_mut().unwrap().set_lecam(means);
        let before = everything(&trainer);
        let report = trainer.step(&[batch(32)]).unwrap();
        let faults: Vec<&str> = report.faults().into_iter().map(|(name, _)| name).collect();
        assert!(report.skipped && report.loss.is_finite() && faults.contains(&"discriminator"), "{faults:?}");
        assert!(everything(&trainer) == before);
        assert_eq!((trainer.step_number(), trainer.skipped()), (2, 1));
        let error = trainer.step(&[batch(32)]).unwrap_err();
        assert!(error.to_string().contains("discriminator is inf"), "{error}");
    }

    #[test]
    fn what_libtorch_panics_with_in_a_step_is_an_error() {
        let gan = vidtok_loss::GanConfig { start: 0, ..Default::default() };
        let mut trainer = trainer(KL, LossConfig { gan: Some(gan), ..LossConfig::default() });
        let error = trainer.step(&[batch(8)]).unwrap_err(); // smaller than the discriminator's kernels
        assert!(matches!(&error, TrainError::Failed { place, .. } if place == "step 0"), "{error}");
        assert!(error.to_string().starts_with("step 0: libtorch failed: ") && error.to_string().lines().count() == 1);
    }

    #[test]
    fn a_frozen_encoder_stays_as_it_is() {
        let frozen = trainer(KL, LossConfig::default());
        let config = TrainConfig { freeze_encoder: true, ..frozen.config };
        let mut trainer = Trainer::new(frozen.tokenizer, frozen.losses, config);
        let before = parameters(&trainer);
        let _ = trainer.step(&[batch(8)]).unwrap();
        for ((name, after), before) in trainer.tokenizer.parameters().iter().zip(&before) {
            if name.starts_with("encoder.") {
                assert!(after.equal(before), "{name}");
            }
        }
        assert!(parameters(&trainer) != before, "the decoder learns");
    }

    #[test]
    fn a_step_draws_the_same_numbers_whatever_came_before() {
        let seeds: std::collections::BTreeSet<i64> =
            (0..100).flat_map(|seed| (0..100).map(move |step| step_seed(seed, step))).collect();
        assert_eq!(seeds.len(), 10_000);
    }
}
