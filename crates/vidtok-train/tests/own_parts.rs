//! Whole runs with a quantizer and with a loss of the program's own.

#![allow(clippy::unwrap_used)]

mod runs;

use std::rc::Rc;

use runs::{MODEL, Silent, alone, steps};
use tch::{Kind, Tensor};
use vidtok::{BoxError, Config, CustomConfig, Init, ParamPath, Quantized, Quantizer, Tokenizer};
use vidtok_core::{Loss, MetricError};
use vidtok_train::{RunOptions, TrainingSummary, resume, train};

const QUANTIZER_AND_TRAINING: &str = r#"
[quantizer]
kind = "custom"
name = "rounding"
step = 0.5
[train]
steps = 2
batch_size = 1
optimizer.lr = 1e-2
schedule.decay = "constant"
[train.data]
frames = 5
size = [16, 16]
"#;

/// Rounds to multiples of a learned step.
#[derive(Debug)]
struct Rounding(Tensor);

impl Rounding {
    fn make(config: &CustomConfig, path: &ParamPath) -> Result<Box<dyn Quantizer>, BoxError> {
        let step = config.settings.get("step").and_then(|step| step.as_float()).ok_or("step: expected a number")?;
        Ok(Box::new(Self(path.get("step", &[1], Init::Constant(step)))))
    }
}

impl Quantizer for Rounding {
    fn latent_channels(&self) -> i64 {
        4
    }

    fn codebook_size(&self) -> Option<i64> {
        None
    }

    fn quantize(&self, encoded: &Tensor, _: Option<&Tensor>) -> Quantized {
        let latent = (encoded.detach() / self.0.detach()).round() * &self.0;
        Quantized { latent, indices: None, logvar: None }
    }

    fn indices_to_codes(&self, _: &Tensor) -> Option<Tensor> {
        None
    }
}

/// The mean difference of the pixels' means.
#[derive(Debug)]
struct Brightness;

impl Loss for Brightness {
    fn name(&self) -> &'static str {
        "brightness"
    }

    fn forward(&self, target: &Tensor, reconstruction: &Tensor) -> Result<Tensor, MetricError> {
        Ok((target.mean(Kind::Float) - reconstruction.mean(Kind::Float)).abs())
    }
}

fn options() -> RunOptions {
    RunOptions { tokenizer: Tokenizer::builder().quantizer(Rounding::make), ..runs::options() }
}

/// The quantizer's learned step in the model of a run.
fn learned(summary: &TrainingSummary) -> f64 {
    let model = options().tokenizer.open(&summary.stages[0].model).unwrap();
    let (_, step) = model.parameters().iter().find(|(name, _)| *name == "regularization.step").unwrap();
    step.double_value(&[0])
}

fn config(steps: u64) -> Config {
    let rest = QUANTIZER_AND_TRAINING.replace("steps = 2", &format!("steps = {steps}"));
    Config::parse(&format!("name = \"rounding\"\n{MODEL}{rest}")).unwrap()
}

#[test]
fn a_run_trains_a_quantizer_of_the_programs_own_and_resumes_with_it() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let whole = train(&config(4), &folder.path().join("whole"), &options(), &mut Silent).unwrap();
    let first = train(&config(2), &folder.path().join("parts"), &options(), &mut Silent).unwrap();
    let after_two = learned(&first);
    assert_ne!(after_two, 0.5);
    let rest = resume(&first.folder, &["train.steps=4".to_owned()], &options(), &mut Silent).unwrap();
    assert_ne!(learned(&rest), after_two);
    assert_eq!(learned(&rest), learned(&whole));

    // Without the quantizer the run cannot continue, and the error names it.
    let without = RunOptions { tokenizer: Tokenizer::builder(), ..options() };
    let error = resume(&first.folder, &["train.steps=5".to_owned()], &without, &mut Silent).unwrap_err().to_string();
    assert!(error.contains("\"rounding\""), "{error}");
}

/// The hash of the weights of a run's model.
fn weights(summary: &TrainingSummary) -> String {
    options().tokenizer.open(&summary.stages[0].model).unwrap().weights_sha256()
}

/// The values of the loss "brightness" in the log of a run.
fn logged(summary: &TrainingSummary) -> Vec<f64> {
    steps(summary).iter().filter_map(|report| report.other_losses.get("brightness").copied()).collect()
}

#[test]
fn a_run_trains_with_a_loss_of_the_programs_own_logs_it_and_resumes_with_it() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let with = RunOptions { losses: vec![(Rc::new(Brightness), 0.5)], ..options() };
    let run = |name: &str, steps, options: &RunOptions| {
        train(&config(steps), &folder.path().join(name), options, &mut Silent).unwrap()
    };
    let (without, whole) = (run("without", 4, &options()), run("whole", 4, &with));
    assert!(logged(&without).is_empty() && weights(&without) != weights(&whole));
    assert!(logged(&whole).len() == 4 && logged(&whole).iter().all(|&value| value > 0.0));

    let first = run("parts", 2, &with);
    let rest = resume(&first.folder, &["train.steps=4".to_owned()], &with, &mut Silent).unwrap();
    assert_eq!((weights(&rest), logged(&rest)), (weights(&whole), logged(&whole)));
}
