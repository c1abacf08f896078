//! Training a small decoder on the latents of a larger model.

#![allow(clippy::unwrap_used)]

mod runs;

use std::path::Path;

use runs::{MODEL, Silent, alone, options, steps};
use tch::Device;
use vidtok::{Config, Tokenizer};
use vidtok_train::{TrainingSummary, resume, train};

const QUANTIZER: &str = r#"
[quantizer]
kind = "kl"
z_channels = 4
"#;

/// A decoder on patches beside a linear map, unlike the encoder.
const STUDENT: &str = r#"
[model.decoder]
ch = 8
ch_mult = [1]
num_res_blocks = 0
patch = { time = 2, space = 2 }
resample = "shuffle"
middle = false
linear = true
[train]
steps = 6
batch_size = 1
optimizer.lr = 3e-3
ema_decay = 0.5
schedule.decay = "constant"
linear_batches = 2
[train.data]
frames = 5
size = [16, 16]
"#;

/// Writes a model with this seed and returns it.
fn teacher(path: &Path, seed: i64) -> Tokenizer {
    let config = Config::parse(&format!("name = \"distilled\"\n{MODEL}{QUANTIZER}")).unwrap();
    let teacher = Tokenizer::init(config, seed, Device::Cpu).unwrap();
    teacher.save(path, "test").unwrap();
    teacher
}

fn student(teacher: &Path, overrides: &[&str]) -> Config {
    let text = MODEL.replace("spatial_up = [1]", "spatial_up = []").replace("temporal_up = [1]", "temporal_up = []");
    let mut all = vec![format!("train.teacher.model={:?}", teacher.display().to_string())];
    all.extend(overrides.iter().map(|text| (*text).to_owned()));
    Config::parse(&format!("name = \"distilled\"\n{text}{QUANTIZER}{STUDENT}")).unwrap().with_overrides(&all).unwrap()
}

fn model(summary: &TrainingSummary) -> Tokenizer {
    Tokenizer::builder().open(&summary.stages[0].model).unwrap()
}

/// The loss to the teacher's reconstruction in each step.
fn teacher_losses(summary: &TrainingSummary) -> Vec<f64> {
    steps(summary).iter().filter_map(|report| report.other_losses.get("teacher").copied()).collect()
}

#[test]
fn a_decoder_learns_from_its_teacher_whose_encoder_it_keeps_and_training_resumes() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("teacher.safetensors");
    let teacher = teacher(&path, 3);
    let run = |name: &str, steps: &str| {
        train(&student(&path, &[steps]), &folder.path().join(name), &options(), &mut Silent).unwrap()
    };
    let whole = run("whole", "train.steps=60");
    let losses = teacher_losses(&whole);
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    assert!(losses.len() == 60 && mean(&losses[50..]) < 0.8 * mean(&losses[..10]), "{losses:?}");
    let student = model(&whole);
    for (name, tensor) in teacher.parameters().iter().filter(|(name, _)| name.starts_with("encoder.")) {
        assert!(student.parameters().get(name).unwrap() == tensor, "{name}");
    }

    let first = run("parts", "train.steps=30");
    let rest = resume(&first.folder, &["train.steps=60".to_owned()], &options(), &mut Silent).unwrap();
    assert_eq!(model(&rest).weights_sha256(), student.weights_sha256());

    // The file of the teacher now holds another model.
    let _ = self::teacher(&path, 4);
    let error = resume(&first.folder, &["train.steps=70".to_owned()], &options(), &mut Silent).unwrap_err();
    assert!(error.to_string().contains("its encoder differs"), "{error}");
}

#[test]
fn the_loss_to_the_teacher_has_its_weight() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("teacher.safetensors");
    let _ = teacher(&path, 3);
    let weights = [0.0, 0.5, 1.0].map(|weight| {
        let config = student(&path, &[&format!("train.teacher.weight={weight:?}"), "train.steps=1"]);
        let summary = train(&config, &folder.path().join(format!("{weight}")), &options(), &mut Silent).unwrap();
        steps(&summary)[0].loss
    });
    let [none, half, whole] = weights;
    assert!(none < half && ((whole - none) / (half - none) - 2.0).abs() < 1e-3, "{weights:?}");
}

#[test]
fn a_teacher_with_another_encoder_or_quantizer_is_refused_in_one_line() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("teacher.safetensors");
    let _ = teacher(&path, 3);
    for other in ["model.ch=16", "quantizer.z_channels=8", "model.causality=\"noncausal\""] {
        let config = student(&path, &[other]);
        let error = train(&config, &folder.path().join("run"), &options(), &mut Silent).unwrap_err().to_string();
        assert!(error.contains("teacher.safetensors: its encoder or quantizer"), "{error}");
        assert_eq!(error.lines().count(), 1);
    }
}
