//! A whole run with a quantizer of the program's own.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tch::{Device, Tensor};
use vidtok::{BoxError, Config, CustomConfig, Init, ParamPath, Quantized, Quantizer, Tokenizer};
use vidtok_train::{Observer, RunOptions, Start, StepReport, TrainingSummary, Validation, resume, train};

const CONFIG: &str = r#"
name = "rounding"
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

/// An observer that shows nothing.
struct Silent;

impl Observer for Silent {
    fn started(&mut self, _: &Start) {}
    fn stepped(&mut self, _: &StepReport, _: f64) {}
    fn validated(&mut self, _: &Validation) {}
    fn busy(&mut self, _: &str) {}
    fn warned(&mut self, _: &str) {}
}

fn options() -> RunOptions {
    RunOptions {
        device: Device::Cpu,
        stop: Arc::new(AtomicBool::new(false)),
        group: None,
        tokenizer: Tokenizer::builder().quantizer(Rounding::make),
    }
}

/// The quantizer's learned step in the model of a run.
fn learned(summary: &TrainingSummary) -> f64 {
    let model = options().tokenizer.open(&summary.stages[0].model).unwrap();
    let (_, step) = model.parameters().iter().find(|(name, _)| *name == "regularization.step").unwrap();
    step.double_value(&[0])
}

#[test]
fn a_run_trains_a_quantizer_of_the_programs_own_and_resumes_with_it() {
    tch::set_num_threads(1);
    let runs = tempfile::tempdir().unwrap();
    let config = |steps: u64| Config::parse(&CONFIG.replace("steps = 2", &format!("steps = {steps}"))).unwrap();
    let whole = train(&config(4), &runs.path().join("whole"), &options(), &mut Silent).unwrap();
    let first = train(&config(2), &runs.path().join("parts"), &options(), &mut Silent).unwrap();
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
