//! One training step.
//!
//! The gradients of the losses with respect to the reconstruction are computed first, so that the activations of their
//! networks are freed before the tokenizer's own backward pass, which runs once: the adaptive weight needs gradients at
//! the decoder's last layer only. The discriminator's gradients come from the same reconstruction. Parameters change
//! only after that, and only if all losses and gradients are finite.
//!
//! All randomness of a step follows from the seed and the step, so that a run can resume at any step.
//!
//! Several processes may train together, each with its part of every batch. Everything that depends on the whole batch
//! (gradients, the adaptive weight, the norms' statistics, LeCAM, the use of codes) is averaged over the process group,
//! and noise is drawn for the whole batch, so that together they compute what one process computes.

use std::collections::BTreeMap;
use std::rc::Rc;

use tch::{Kind, Tensor};
use vidtok::{Tokenizer, TrainingOptions};
use vidtok_core::{Differentiated, ProcessGroup, SingleProcess};
use vidtok_data::{Batch, to_unit_range};
use vidtok_loss::{GanLoss, ReconstructionTerms};
use vidtok_metrics::{FrameMetric, Psnr};
use vidtok_optim::{Adam, Ema, Optimizer};
use vidtok_torch::{C10dProcessGroup, GradientReducer, ProcessGroupError, autocast, with_gradient};

use crate::config::TrainConfig;
use crate::error::{TrainError, caught};
use crate::step::counts::StepCounts;
use crate::step::losses::Losses;
use crate::step::optimizers::{generator_optimizer, select_trained};
use crate::step::report::{GanReport, StepReport, add_scalars, average};
use crate::step::seed::step_seed;
use crate::step::teacher::Teacher;

/// A model in training, with its losses, optimizers and averages.
#[derive(Debug)]
pub struct Trainer {
    pub(crate) tokenizer: Tokenizer,
    pub(crate) losses: Losses,
    pub(crate) generator_optimizer: Optimizer,
    pub(crate) discriminator_optimizer: Optimizer,
    pub(crate) ema: Option<Ema>,
    teacher: Option<Teacher>,
    pub(crate) config: TrainConfig,
    pub(crate) counts: StepCounts,
    earlier_steps: u64,
    distributed: Option<Distributed>,
}

/// The process group of a distributed run, and its gradient reducers.
#[derive(Debug)]
struct Distributed {
    group: Rc<C10dProcessGroup>,
    generator_reducer: GradientReducer,
    discriminator_reducer: Option<GradientReducer>,
}

/// The role of a batch in its step.
#[derive(Clone, Copy)]
struct BatchRole {
    /// The weight of the batch in the mean over the batches.
    weight: f64,
    /// Whether it is the last, after which the gradients are complete.
    last: bool,
}

/// The output of the generator's half of a step, for the discriminator's half.
struct Generated {
    target: Tensor,
    reconstruction: Tensor,
}

impl Trainer {
    /// Trains the whole tokenizer, or only its decoder if the configuration freezes the encoder (and with it the
    /// quantizer) or has a teacher, which [`set_teacher`](Self::set_teacher) then brings. Linear maps beside the networks
    /// stay as they were [fitted](Tokenizer::fit_linear). The losses are those of `losses`; `config.loss` is not read.
    #[must_use]
    pub fn new(tokenizer: Tokenizer, losses: Losses, config: TrainConfig) -> Self {
        select_trained(tokenizer.parameters(), &config);
        let generated = tokenizer.parameters().trained().chain(losses.generator_parameters());
        let generator_optimizer = generator_optimizer(&config, generated);
        let discriminator_optimizer =
            Optimizer::new(Adam::new(config.optimizer.clone(), losses.discriminator_parameters()), None);
        let ema = config.ema_decay.map(|decay| Ema::new(decay, tokenizer.parameters()));
        let counts = StepCounts::default();
        Self {
            tokenizer,
            losses,
            generator_optimizer,
            discriminator_optimizer,
            ema,
            teacher: None,
            config,
            counts,
            earlier_steps: 0,
            distributed: None,
        }
    }

    /// Trains the decoder on the losses to the teacher's reconstruction too.
    ///
    /// # Errors
    /// If the model does not have the teacher's encoder and quantizer.
    pub fn set_teacher(&mut self, teacher: Teacher) -> Result<(), TrainError> {
        teacher.check(&self.tokenizer)?;
        self.teacher = Some(teacher);
        Ok(())
    }

    /// Sets the steps that the model took in earlier stages: the quantizer's own schedules, such as noise in place of
    /// rounding, go on from there.
    pub fn set_earlier_steps(&mut self, steps: u64) {
        self.earlier_steps = steps;
    }

    /// Joins the processes of `group`, which must have the same model and configuration; all load the state of rank 0.
    /// From then on, pass each process only its part of every batch.
    ///
    /// # Errors
    /// If another process is lost or has another model.
    pub fn join(&mut self, group: &Rc<C10dProcessGroup>) -> Result<(), TrainError> {
        self.load_from_first_rank(group)?;
        let generated = self.tokenizer.parameters().trained().chain(self.losses.generator_parameters());
        let generator_reducer = GradientReducer::new(group, generated.map(|(_, parameter)| parameter))?;
        let parameters: Vec<&Tensor> = self.losses.discriminator_parameters().map(|(_, parameter)| parameter).collect();
        let discriminator_reducer =
            if parameters.is_empty() { None } else { Some(GradientReducer::new(group, parameters)?) };
        self.distributed = Some(Distributed { group: Rc::clone(group), generator_reducer, discriminator_reducer });
        Ok(())
    }

    /// The process group, or [`SingleProcess`] without one.
    pub(crate) fn process_group(&self) -> Rc<dyn ProcessGroup> {
        match &self.distributed {
            Some(distributed) => Rc::clone(&distributed.group) as Rc<dyn ProcessGroup>,
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

    /// The moving averages of the weights.
    #[must_use]
    pub fn ema(&self) -> Option<&Ema> {
        self.ema.as_ref()
    }

    /// Steps taken so far, skipped ones included: the index of the next step.
    #[must_use]
    pub fn step_number(&self) -> u64 {
        self.counts.step
    }

    /// Steps that were skipped because a number was not finite.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.counts.skipped
    }

    /// Takes a step on one batch, or on several whose gradients are averaged; clips are `[b, 3, t, h, w]` in [-1, 1].
    ///
    /// A step with a loss or a gradient that is not finite, the discriminator's included, is skipped: it changes nothing but
    /// the counts of steps and of skipped steps, and its report says so.
    ///
    /// # Errors
    /// If a clip has an unexpected shape, more than `max_skipped` steps in a row are skipped, libtorch fails, or another
    /// process is lost. The trainer cannot be used after an error.
    pub fn step(&mut self, batches: &[Batch]) -> Result<StepReport, TrainError> {
        let step = self.counts.step;
        // If a process is lost, collective calls during the pass panic, as libtorch's functions do when they fail.
        caught(format!("step {step}"), || self.take_step(batches)).map_err(|error| match (error, &self.distributed) {
            (TrainError::Failed { context, message }, Some(distributed)) => match distributed.group.failed(&message) {
                lost @ ProcessGroupError::Lost { .. } => lost.into(),
                failed => TrainError::Failed { context, message: failed.to_string() },
            },
            (error, _) => error,
        })
    }

    fn take_step(&mut self, batches: &[Batch]) -> Result<StepReport, TrainError> {
        tch::manual_seed(step_seed(self.config.seed, self.counts.step));
        let weight = 1.0 / batches.len().max(1) as f64;
        let mut report = self.empty_report();
        let statistics = self.losses.gan.as_ref().map(GanLoss::statistics);
        self.generator_optimizer.zero_grad();
        let mut generated = Vec::new();
        let group = self.process_group();
        for (i, batch) in batches.iter().enumerate() {
            let role = BatchRole { weight, last: i + 1 == batches.len() };
            generated.push(self.generator_backward(&batch.clips, role, &*group, &mut report)?);
        }
        average(&*group, report.generator_numbers_mut());
        report.gradient_norm = self.generator_optimizer.clip_grad_norm(self.config.clip_norm);
        if report.faults().is_empty() {
            self.discriminator_backward(&generated, weight, &*group, &mut report)?;
        }
        report.skipped = !report.faults().is_empty();
        if report.skipped {
            if let (Some(gan), Some(statistics)) = (&mut self.losses.gan, &statistics) {
                gan.set_statistics(statistics);
            }
            self.record_skip(&report, batches)?;
        } else {
            self.update(&mut report);
        }
        self.counts.step += 1;
        Ok(report)
    }

    /// Updates all parameters and averages.
    fn update(&mut self, report: &mut StepReport) {
        self.generator_optimizer.step(report.learning_rate);
        report.logvar = self.losses.reconstruction.logvar().double_value(&[]);
        if report.gan.is_some() {
            self.discriminator_optimizer.step(report.learning_rate);
        }
        if let Some(ema) = &mut self.ema {
            ema.update(self.tokenizer.parameters());
        }
        self.counts.consecutive_skips = 0;
    }

    fn empty_report(&self) -> StepReport {
        let step = self.counts.step;
        let gan = self.losses.gan.as_ref().filter(|gan| step >= gan.config().start);
        StepReport {
            step,
            loss: 0.0,
            nll: 0.0,
            rec: 0.0,
            lpips: None,
            other_losses: BTreeMap::new(),
            quantizer: 0.0,
            logvar: self.losses.reconstruction.logvar().double_value(&[]),
            psnr: 0.0,
            gradient_norm: 0.0,
            learning_rate: self.config.learning_rate(step),
            gan: gan.map(|_| GanReport::default()),
            skipped: false,
        }
    }

    /// Computes the generator's gradients on one batch.
    fn generator_backward(
        &self,
        clips: &Tensor,
        BatchRole { weight, last }: BatchRole,
        group: &dyn ProcessGroup,
        report: &mut StepReport,
    ) -> Result<Generated, TrainError> {
        let target = clips.to_device(self.tokenizer.device());
        let options = TrainingOptions {
            step: self.earlier_steps + report.step,
            freeze_encoder: self.config.trains_decoder_only(),
            recompute: self.config.gradient_checkpointing,
            teacher: self.teacher.as_ref().map(|teacher| &teacher.tokenizer),
            autocast: self.config.precision.autocast(),
            group,
        };
        let pass = self.tokenizer.forward_train(&target, &options)?;
        let reconstruction = pass.reconstruction;
        let terms = self.reconstruction_terms(&target, &reconstruction)?;
        let quantizer = pass.regularized.loss;
        let quantizer_weight = self.tokenizer.quantizer().loss_weight() * self.config.loss.quantizer;
        let mut loss = &terms.nll + &quantizer * quantizer_weight;
        if let (Some(teacher), Some(taught)) = (&self.teacher, &pass.taught) {
            let terms = self.reconstruction_terms(taught, &reconstruction)?;
            loss += &terms.nll * teacher.weight;
            if let Some(number) = report.loss_named("teacher") {
                add_scalars([number], [&terms.rec], weight);
            }
        }
        let mut gan_terms = None;
        if let Some(gan) = self.losses.gan.as_ref().filter(|_| report.gan.is_some()) {
            let Differentiated { value, gradient } = gan.generator_loss(&reconstruction, group);
            let generator_loss = with_gradient(&value, &reconstruction, &gradient);
            let last_layer = self.tokenizer.decoder_output_weight();
            let adaptive = gan.adaptive_weight(&terms.nll, &generator_loss, last_layer, group);
            loss += generator_loss * &adaptive;
            gan_terms = Some([value, adaptive]);
        }
        if let Some(distributed) = self.distributed.as_ref().filter(|_| last) {
            distributed.generator_reducer.prepare()?;
        }
        (&loss * weight).backward();

        let reconstruction = reconstruction.detach();
        let psnr = Psnr.frames(&to_unit_range(&target), &to_unit_range(&reconstruction))?.mean(Kind::Double);
        let numbers = [&mut report.loss, &mut report.nll, &mut report.rec, &mut report.quantizer, &mut report.psnr];
        add_scalars(numbers, [&loss, &terms.nll, &terms.rec, &quantizer, &psnr], weight);
        if let (Some(gan), Some([generator, adaptive])) = (&mut report.gan, &gan_terms) {
            add_scalars([&mut gan.generator, &mut gan.adaptive_weight], [generator, adaptive], weight);
        }
        for (name, value) in &terms.losses {
            if let Some(number) = report.loss_named(name) {
                add_scalars([number], [value], weight);
            }
        }
        Ok(Generated { target, reconstruction })
    }

    /// The reconstruction losses in the run's precision. Only those with a network, like LPIPS, differ from float32.
    fn reconstruction_terms(
        &self,
        target: &Tensor,
        reconstruction: &Tensor,
    ) -> Result<ReconstructionTerms, TrainError> {
        let terms = || self.losses.reconstruction.forward(target, reconstruction);
        Ok(match self.config.precision.autocast() {
            Some(kind) => autocast(self.tokenizer.device(), kind, terms).map_err(vidtok::Error::MixedPrecision)?,
            None => terms(),
        }?)
    }

    /// Computes the discriminator's gradients on the same batches.
    fn discriminator_backward(
        &mut self,
        generated: &[Generated],
        weight: f64,
        group: &dyn ProcessGroup,
        report: &mut StepReport,
    ) -> Result<(), TrainError> {
        let (Some(gan), Some(numbers)) = (&mut self.losses.gan, &mut report.gan) else {
            return Ok(());
        };
        self.discriminator_optimizer.zero_grad();
        for (i, Generated { target, reconstruction }) in generated.iter().enumerate() {
            let terms = gan.discriminate(target, reconstruction, group);
            let reducer = self.distributed.as_ref().and_then(|distributed| distributed.discriminator_reducer.as_ref());
            if let Some(reducer) = reducer.filter(|_| i + 1 == generated.len()) {
                reducer.prepare()?;
            }
            (&terms.loss * weight).backward();
            let scalars = [&terms.loss, &terms.logits_loss, &terms.lecam, &terms.real, &terms.fake];
            add_scalars(numbers.discriminator_numbers_mut(), scalars, weight);
        }
        average(group, numbers.discriminator_numbers_mut());
        numbers.discriminator_gradient_norm = self.discriminator_optimizer.clip_grad_norm(self.config.clip_norm);
        Ok(())
    }

    fn record_skip(&mut self, report: &StepReport, batches: &[Batch]) -> Result<(), TrainError> {
        self.counts.skipped += 1;
        self.counts.consecutive_skips += 1;
        if self.counts.consecutive_skips > self.config.max_skipped {
            return Err(TrainError::NotFinite {
                step: report.step,
                steps: self.counts.consecutive_skips,
                faults: report.faults(),
                clips: batches.iter().flat_map(|batch| batch.names.iter().cloned()).collect(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;

    use tch::Device;
    use vidtok::Config;
    use vidtok_core::{Loss, MetricError};
    use vidtok_loss::L1;

    use super::*;
    use crate::config::losses::LossConfig;
    use crate::step::losses::LossParts;
    use crate::step::state::SavedNumbers;

    pub(crate) const KL: &str = "tiny_kl";
    const FSQ: &str = "tiny_fsq";

    /// A trainer of the configuration `name`.
    pub(crate) fn trainer(name: &str, loss: LossConfig) -> Trainer {
        trainer_of(name, &[], loss)
    }

    /// A trainer of the configuration `name` with overrides.
    fn trainer_of(name: &str, overrides: &[String], loss: LossConfig) -> Trainer {
        // On a busy machine, so small a model would spend most of its time waiting for its threads.
        tch::set_num_threads(1);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../configs/{name}.toml"));
        let tokenizer = Tokenizer::init(Config::load(&path, overrides).unwrap(), 0, Device::Cpu).unwrap();
        let config = TrainConfig { clip_norm: 1.0, max_skipped: 1, loss: loss.clone(), ..TrainConfig::example() };
        Trainer::new(tokenizer, Losses::new(&loss, None, Device::Cpu), config)
    }

    /// Two smooth clips.
    pub(crate) fn batch(side: i64) -> Batch {
        let ramp = Tensor::linspace(-1.0, 1.0, side, (Kind::Float, Device::Cpu));
        let image = ramp.view([1, 1, 1, 1, side]) * ramp.view([1, 1, 1, side, 1]);
        let clips = Tensor::cat(&[&image, &(-&image)], 0).expand([2, 3, 5, side, side], false).contiguous();
        Batch { clips, names: vec!["a".to_owned(), "b".to_owned()] }
    }

    /// Everything that a step can change, except the counts of steps.
    pub(crate) fn full_state(trainer: &Trainer) -> (Vec<Tensor>, SavedNumbers) {
        let tensors = trainer.tensors().values().map(|tensor| tensor.detach().copy()).collect();
        let mut numbers = trainer.numbers();
        numbers.counts = StepCounts::default();
        (tensors, numbers)
    }

    pub(crate) fn parameters(trainer: &Trainer) -> Vec<Tensor> {
        trainer.tokenizer.parameters().iter().map(|(_, parameter)| parameter.detach().copy()).collect()
    }

    #[test]
    fn training_improves_the_reconstruction() {
        for name in [KL, FSQ] {
            let mut trainer = trainer(name, LossConfig::default());
            let psnr: Vec<f64> = (0..60).map(|_| trainer.step(&[batch(8)]).unwrap().psnr).collect();
            assert!(psnr[59] > psnr[0] + 8.0, "{name}: {} to {} dB", psnr[0], psnr[59]);
        }
    }

    #[test]
    fn the_gan_loss_starts_at_its_step_and_trains_the_discriminator() {
        let gan = vidtok_loss::GanConfig { start: 1, ..Default::default() };
        let mut trainer = trainer(KL, LossConfig { gan: Some(gan), ..LossConfig::default() });
        assert_eq!(trainer.step(&[batch(32)]).unwrap().gan, None);
        let first = trainer.step(&[batch(32)]).unwrap().gan.unwrap();
        assert!(first.adaptive_weight > 0.0 && first.discriminator_gradient_norm > 0.0);
        assert_eq!(trainer.discriminator_optimizer.updates(), 1);
    }

    #[test]
    fn two_equal_batches_have_the_gradient_of_one() {
        let step = |batches: usize| {
            let mut trainer = trainer(KL, LossConfig::default());
            trainer.config.clip_norm = 1e9;
            let batch = batch(8);
            let batches: Vec<Batch> = (0..batches)
                .map(|_| Batch { clips: batch.clips.shallow_clone(), names: batch.names.clone() })
                .collect();
            // Without sampling, equal batches have equal latents.
            trainer.tokenizer = Tokenizer::init(
                trainer.tokenizer.config().with_overrides(&["quantizer.sample=false".to_owned()]).unwrap(),
                0,
                Device::Cpu,
            )
            .unwrap();
            // Other tests draw from the same generator at the same time.
            vidtok_golden::fill(trainer.tokenizer.parameters().iter());
            let mut trainer = Trainer::new(trainer.tokenizer, trainer.losses, trainer.config);
            trainer.step(&batches).unwrap().gradient_norm
        };
        let (one, two) = (step(1), step(2));
        assert!((one / two - 1.0).abs() < 1e-4, "{one} {two}");
    }

    #[test]
    fn steps_on_clips_that_are_not_finite_change_nothing_and_too_many_in_a_row_are_an_error() {
        let gan = vidtok_loss::GanConfig { start: 0, ..Default::default() };
        let mut trainer = trainer(KL, LossConfig { gan: Some(gan), ..LossConfig::default() });
        let non_finite_batch = || {
            let Batch { clips, names } = batch(32);
            Batch { clips: clips * f64::NAN, names }
        };
        let before = full_state(&trainer);
        // The second batch makes the step non-finite after the discriminator has seen the first.
        assert!(trainer.step(&[batch(32), non_finite_batch()]).unwrap().skipped);
        assert!(full_state(&trainer) == before);
        assert!(!trainer.step(&[batch(32)]).unwrap().skipped);
        assert!(full_state(&trainer) != before);
        assert!(
            trainer.step(&[non_finite_batch()]).unwrap().skipped,
            "the count of consecutive skipped steps restarts"
        );
        let error = trainer.step(&[non_finite_batch()]).unwrap_err();
        assert!(matches!(&error, TrainError::NotFinite { step: 3, steps: 2, .. }), "{error}");
        assert!(error.to_string().contains("loss is NaN, gradient_norm is NaN on a, b)"), "{error}");
        let finite = |tensor: &Tensor| tensor.isfinite().all().int64_value(&[]) == 1;
        assert!(trainer.losses.parameters().iter().all(|(_, tensor)| finite(tensor)));
    }

    #[test]
    fn a_step_whose_discriminator_loss_is_not_finite_changes_nothing() {
        let gan = vidtok_loss::GanConfig { start: 0, ..Default::default() };
        let mut trainer = trainer(KL, LossConfig { gan: Some(gan), ..LossConfig::default() });
        trainer.ema = Some(Ema::new(0.9, trainer.tokenizer.parameters()));
        assert!(!trainer.step(&[batch(32)]).unwrap().skipped);
        // Finite, but its square is not.
        let means = vidtok_loss::LeCam { real: 1e30, fake: 0.0 };
        trainer.losses.gan.as_mut().unwrap().set_lecam(means);
        let before = full_state(&trainer);
        let report = trainer.step(&[batch(32)]).unwrap();
        let faults: Vec<&str> = report.faults().into_iter().map(|(name, _)| name).collect();
        assert!(report.skipped && report.loss.is_finite() && faults.contains(&"discriminator"), "{faults:?}");
        assert!(full_state(&trainer) == before);
        assert_eq!((trainer.step_number(), trainer.skipped()), (2, 1));
        let error = trainer.step(&[batch(32)]).unwrap_err();
        assert!(error.to_string().contains("discriminator is inf"), "{error}");
    }

    #[test]
    fn a_panic_of_libtorch_in_a_step_is_an_error() {
        let gan = vidtok_loss::GanConfig { start: 0, ..Default::default() };
        let mut trainer = trainer(KL, LossConfig { gan: Some(gan), ..LossConfig::default() });
        let error = trainer.step(&[batch(8)]).unwrap_err(); // smaller than the discriminator's kernels
        assert!(matches!(&error, TrainError::Failed { context, .. } if context == "step 0"), "{error}");
        assert!(error.to_string().starts_with("step 0: libtorch failed: ") && error.to_string().lines().count() == 1);
    }

    #[test]
    fn losses_of_your_own_are_reported_by_name_and_training_with_them_resumes() {
        #[derive(Debug)]
        struct Squares;

        impl Loss for Squares {
            fn name(&self) -> &'static str {
                "squares"
            }

            fn forward(&self, target: &Tensor, reconstruction: &Tensor) -> Result<Tensor, MetricError> {
                Ok((target - reconstruction).square().mean(Kind::Float))
            }
        }

        let parts = || {
            let reconstruction: Vec<(Rc<dyn Loss>, f64)> = vec![(Rc::new(L1), 1.0), (Rc::new(Squares), 0.5)];
            LossParts { reconstruction, ..LossParts::default() }
        };
        let Trainer { tokenizer, config, .. } = trainer(KL, LossConfig::default());
        let mut trainer = Trainer::new(tokenizer, Losses::from_parts(parts(), Device::Cpu), config);
        let report = trainer.step(&[batch(8)]).unwrap();
        let squares = report.other_losses["squares"];
        assert!(squares > 0.0 && report.rec > 0.5 * squares && report.other_losses.len() == 1, "{report:?}");
        assert!(report.numbers().contains(&("squares", squares)));

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.safetensors");
        trainer.save(&path).unwrap();
        let model = trainer.tokenizer.config().clone();
        let tokenizer = |weights| Tokenizer::with_weights(model, weights, Device::Cpu, Kind::Float);
        let resumed = Trainer::resume(&path, tokenizer, parts(), trainer.config.clone()).unwrap();
        assert!(full_state(&resumed) == full_state(&trainer) && resumed.step_number() == 1);
    }

    #[test]
    fn a_frozen_encoder_does_not_change() {
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
    fn linear_maps_do_not_change_and_the_networks_beside_them_learn() {
        let overrides = ["model.linear=true", "model.resample=shuffle"].map(str::to_owned);
        let mut trainer = trainer_of(KL, &overrides, LossConfig { mse: 0.5, ..LossConfig::default() });
        let before = parameters(&trainer);
        for _ in 0..2 {
            let report = trainer.step(&[batch(8)]).unwrap();
            assert!(report.other_losses["mse"] > 0.0);
        }
        for ((name, after), before) in trainer.tokenizer.parameters().iter().zip(&before) {
            // Layers before others that start at zero get gradients only later.
            let is_map = name.contains(".linear.");
            assert!(after.equal(before) == is_map || !(is_map || name.contains("conv_out")), "{name}");
        }
    }

    #[test]
    fn the_quantizers_schedule_goes_on_where_earlier_stages_ended() {
        let losses = |noise_steps: u64, earlier: u64| -> Vec<f64> {
            let overrides = [format!("quantizer.noise_steps={noise_steps}")];
            let mut trainer = trainer_of(FSQ, &overrides, LossConfig::default());
            vidtok_golden::fill(trainer.tokenizer.parameters().iter());
            trainer.set_earlier_steps(earlier);
            (0..2).map(|_| trainer.step(&[batch(8)]).unwrap().rec).collect()
        };
        let rounded = losses(0, 5);
        assert_eq!(losses(5, 5), rounded);
        let last_is_noisy = losses(6, 5);
        assert!(last_is_noisy[0] != rounded[0]);
    }
}
