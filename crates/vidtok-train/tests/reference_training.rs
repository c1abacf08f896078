//! Short training runs compared with the reference: logged values, gradient norms and changes of parameters.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use tch::{Device, Kind, Tensor};
use vidtok::{Config, Tokenizer};
use vidtok_data::Batch;
use vidtok_golden::{TrainingRun, device, fill, training_runs, unit, weights};
use vidtok_loss::{GanConfig, PatchKind, PerceptualConfig};
use vidtok_metrics::{Lpips, LpipsNet};
use vidtok_torch::ParamPath;
use vidtok_train::{LossConfig, Losses, StepReport, TrainConfig, Trainer};

/// LPIPS with formula weights. (Construction converts the layout of the weights, so it needs their values.)
fn lpips() -> Rc<Lpips> {
    let root = ParamPath::shapes();
    let _ = Lpips::new(&root, LpipsNet::Vgg);
    let shapes = root.finish().unwrap();
    let root = ParamPath::loaded(weights(shapes.iter(), "loss.perceptual_loss."), device(), Kind::Float);
    Rc::new(Lpips::new(&root, LpipsNet::Vgg))
}

fn trainer(run: &TrainingRun) -> Trainer {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../configs/{}.toml", run.config));
    let mut overrides = vec![format!("model.ch={}", run.ch)];
    if run.config.contains("_kl_") {
        overrides.push("quantizer.sample=false".to_owned());
    }
    let config = Config::load(&path, &overrides).unwrap();
    let patches = if run.disc_type == "3d" { PatchKind::Clips } else { PatchKind::Frames };
    let gan = GanConfig { patches, start: run.disc_start, ..GanConfig::default() };
    let loss = LossConfig { perceptual: Some(PerceptualConfig::default()), gan: Some(gan), ..LossConfig::default() };
    let table = format!(
        "steps = 3\nbatch_size = {}\noptimizer.lr = {}\nfreeze_encoder = {}\ndata = {{ frames = {}, size = [{}, {}] }}",
        run.batch, run.lr, run.fix_encoder, run.frames, run.height, run.width
    );
    let train = TrainConfig::from_table(toml::from_str(&table).unwrap()).unwrap();
    let train = TrainConfig { loss: loss.clone(), ..train };

    let tokenizer = Tokenizer::init(config, 0, device()).unwrap();
    fill(tokenizer.parameters().iter());
    let losses = Losses::new(&loss, Some(lpips()), device());
    fill(losses.parameters().iter());
    Trainer::new(tokenizer, losses, train)
}

/// The clips of a run; `nudge` other than 0 changes them by less than the rounding of the networks' outputs.
fn clips(run: &TrainingRun, nudge: u32) -> Batch {
    let shape = [run.batch, 3, run.frames, run.height, run.width];
    let mut clips = unit("input", &shape, 0) * 0.8;
    if nudge > 0 {
        clips += unit("nudge", &shape, nudge) * 1e-6;
    }
    Batch { clips, names: vec!["input".to_owned(); run.batch as usize] }
}

/// Our values under the reference's names.
fn by_reference_names(report: &StepReport) -> BTreeMap<&'static str, f64> {
    let gan = report.gan.as_ref().unwrap();
    BTreeMap::from([
        ("train/total_loss", report.loss),
        ("ae_loss", report.loss),
        ("train/logvar", report.logvar),
        ("train/nll_loss", report.nll),
        ("train/rec_loss", report.rec),
        ("train/p_loss", report.lpips.unwrap()),
        ("train/kl_loss", report.quantizer),
        ("train/aux_loss", report.quantizer),
        ("fsq_aux_loss", report.quantizer),
        ("ae_grad_norm", report.gradient_norm),
        ("train/d_weight", gan.adaptive_weight),
        ("train/disc_factor", 1.0),
        ("train/g_loss", gan.generator),
        ("train/disc_loss", gan.discriminator),
        ("disc_loss", gan.discriminator),
        ("train/logits_real", gan.logits_real),
        ("train/logits_fake", gan.logits_fake),
        ("train/non_saturated_d_loss", gan.discriminator_logits),
        ("train/lecam_loss", gan.lecam),
        ("disc_grad_norm", gan.discriminator_gradient_norm),
    ])
}

fn values(trainer: &Trainer) -> BTreeMap<String, Tensor> {
    let all = trainer.tokenizer().parameters().iter().chain(trainer.losses().parameters().iter());
    all.map(|(name, tensor)| (name.to_owned(), tensor.detach().to_device(Device::Cpu).copy())).collect()
}

/// The number of slightly different inputs to try.
///
/// LPIPS divides by the length of feature vectors. With formula weights some are so short that a single ReLU decides 0.2 %
/// of its gradient. Both outcomes lie within rounding of the same input, so one of several nearby inputs must agree.
const NUDGES: u32 = 8;

fn compare(name: &str) {
    let run = training_runs().remove(name).unwrap();
    let mut first = None;
    for nudge in 0..=NUDGES {
        let wrong = differences(&run, nudge);
        if wrong.is_empty() {
            return;
        }
        first.get_or_insert(wrong);
    }
    panic!("{name}:\n{}", first.unwrap_or_default().join("\n"));
}

/// Takes all steps and returns a line for each number that differs.
fn differences(run: &TrainingRun, nudge: u32) -> Vec<String> {
    let mut trainer = trainer(run);
    let before = values(&trainer);
    let mut wrong = Vec::new();
    for (step, expected) in run.steps.iter().enumerate() {
        let report = trainer.step(&[clips(run, nudge)]).unwrap();
        let found = by_reference_names(&report);
        let tolerance = if step == 0 { 1e-3 } else { 0.05 };
        for (key, expected) in expected {
            let found = found[key.as_str()];
            let error = (found - expected).abs() / expected.abs();
            if error.is_nan() || error > tolerance {
                wrong.push(format!("step {step} {key}: {found} instead of {expected}"));
            }
        }
    }
    let after = values(&trainer);
    // A softmax ignores a constant added to all keys, so this gradient is zero except for rounding.
    let moved = run.after.iter().filter(|(key, _)| !(key.contains("attn_1.k.") && key.ends_with("bias")));
    for (key, [change, mean]) in moved {
        let (before, after) = (&before[key], &after[key]);
        let found = (after - before).abs().mean(Kind::Double).double_value(&[]);
        // Steps follow the signs of the gradients, which rounding decides for gradients near zero.
        let off = if *change == 0.0 { found != 0.0 } else { (found / change - 1.0).abs() > 0.25 };
        let mean_off = (after.mean(Kind::Double).double_value(&[]) - mean).abs() > 2e-4;
        if off || mean_off {
            wrong.push(format!("{key}: changed by {found} instead of {change}"));
        }
    }
    wrong
}

#[test]
fn fsq_with_a_discriminator_of_frames_trains_like_the_reference() {
    compare("fsq_2d");
}

#[test]
fn kl_with_a_discriminator_of_clips_trains_like_the_reference() {
    compare("kl_3d");
}

#[test]
fn a_decoder_of_version_1_1_trains_like_the_reference() {
    compare("kl_v11_frozen_encoder");
}

#[test]
fn a_non_causal_model_trains_like_the_reference() {
    compare("kl_noncausal");
}
