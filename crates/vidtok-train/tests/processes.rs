//! A model trained by several processes, compared with the same training in one process.
//!
//! Each process runs this test program again, restricted to [`one_of_several`].

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a failure here is what the test is for

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use tch::{Device, Kind, Tensor};
use vidtok::{Config, Tokenizer};
use vidtok_core::{Launch, ProcessGroup, WorldRank};
use vidtok_data::Batch;
use vidtok_loss::{GanConfig, PatchKind};
use vidtok_torch::{C10dProcessGroup, TensorFile};
use vidtok_train::{LossConfig, Losses, StepReport, TrainConfig, Trainer};

/// Clips per batch, over all processes.
const CLIPS: i64 = 6;
const FRAMES: i64 = 3;
const SIDE: i64 = 24;
const STEPS: u64 = 3;
/// Batches per step.
const ACCUMULATE: u64 = 2;

/// The cases, each with its number of processes.
const CASES: [(&str, usize); 4] = [("kl", 2), ("kl, spoilt", 3), ("fsq, recomputed", 2), ("kl, decoder", 3)];

fn trainer(case: &str) -> Trainer {
    tch::set_num_threads(1);
    tch::manual_seed(0);
    // Even and odd levels round differently.
    let (name, overrides) = match case.starts_with("fsq") {
        true => ("tiny_fsq", vec!["quantizer.levels=[8, 5, 5]".to_owned()]),
        false => ("tiny_kl", Vec::new()),
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../configs/{name}.toml"));
    let tokenizer = Tokenizer::init(Config::load(&path, &overrides).unwrap(), 0, Device::Cpu).unwrap();
    let patches = if case.starts_with("fsq") { PatchKind::Clips } else { PatchKind::Frames };
    // The GAN loss starts at the second step, so there are steps with and without it.
    let gan = GanConfig { start: 1, patches, ..GanConfig::default() };
    let loss = LossConfig { gan: Some(gan), ..LossConfig::default() };
    // Adam divides by the size of the gradient, which amplifies rounding where gradients vanish, unless eps is large.
    let table = format!(
        "steps = {STEPS}\nbatch_size = {CLIPS}\noptimizer = {{ lr = 1e-4, eps = 1e-3 }}\naccumulate = {ACCUMULATE}\nema_decay = 0.9\nfreeze_encoder = {}\n\
         gradient_checkpointing = {}\ndata = {{ frames = {FRAMES}, size = [{SIDE}, {SIDE}] }}",
        case.ends_with("decoder"),
        case.ends_with("recomputed")
    );
    let config = TrainConfig::from_table(toml::from_str(&table).unwrap()).unwrap();
    let losses = Losses::new(&loss, None, Device::Cpu);
    Trainer::new(tokenizer, losses, TrainConfig { loss, ..config })
}

/// Takes all steps on this rank's part of the batches.
fn train(trainer: &mut Trainer, case: &str, nudge: u32, rank: WorldRank) -> Vec<StepReport> {
    let indices = rank.of(CLIPS as usize).unwrap();
    let batch = |number: u64| {
        let ramp = Tensor::linspace(-1.0, 1.0, SIDE, (Kind::Float, Device::Cpu));
        let clip = |clip: i64| {
            let phase = (number as i64 * CLIPS + clip) as f64 + f64::from(nudge) * 1e-3;
            let wave = ramp.view([1, SIDE]) * (1.0 + phase) + ramp.view([SIDE, 1]) * 3.0;
            let wave = wave.sin().expand([3, FRAMES, SIDE, SIDE], false);
            // One clip, on one rank, spoils the second step, which all ranks must skip.
            let spoilt = case.ends_with("spoilt") && number == ACCUMULATE && clip == CLIPS - 1;
            if spoilt { wave * f64::NAN } else { wave }
        };
        let clips: Vec<Tensor> = indices.clone().map(|index| clip(index as i64)).collect();
        Batch { clips: Tensor::stack(&clips, 0), names: vec!["waves".to_owned(); clips.len()] }
    };
    let step = |step: u64| {
        let batches: Vec<Batch> = (0..ACCUMULATE).map(|i| batch(step * ACCUMULATE + i)).collect();
        trainer.step(&batches).unwrap()
    };
    (0..STEPS).map(step).collect()
}

fn state(path: &Path) -> BTreeMap<String, Tensor> {
    let tensors = TensorFile::open(path).unwrap().tensors().unwrap();
    tensors.into_iter().map(|(name, tensor)| (name, tensor.copy())).collect()
}

#[test]
#[ignore = "started by the test below"]
fn one_of_several() {
    let Some(launch) = Launch::from_env().unwrap() else { return };
    let group = C10dProcessGroup::connect(&launch, Device::Cpu).unwrap();
    let (case, nudge) = (env::var("CASE").unwrap(), env::var("NUDGE").unwrap().parse().unwrap());
    let mut trainer = trainer(&case);
    if group.rank() > 0 {
        // The initial weights of other ranks must not matter.
        trainer.tokenizer().parameters().iter().for_each(|(_, parameter)| {
            let _ = tch::no_grad(|| parameter.shallow_clone().zero_());
        });
    }
    trainer.join(&group).unwrap();
    let reports = train(&mut trainer, &case, nudge, launch.world_rank());
    let folder = PathBuf::from(env::var("FOLDER").unwrap());
    trainer.save(&folder.join(format!("{}.safetensors", group.rank()))).unwrap();
    let numbers: Vec<Vec<f64>> =
        reports.iter().map(|report| report.numbers().iter().map(|(_, x)| *x).collect()).collect();
    std::fs::write(folder.join(format!("{}.txt", group.rank())), format!("{numbers:?}")).unwrap();
}

/// Trains in `count` processes and returns the state and the text of the reports of each.
fn distributed(case: &str, count: usize, nudge: u32) -> Vec<(BTreeMap<String, Tensor>, String)> {
    let folder = tempfile::tempdir().unwrap();
    let start = |launch: Launch| {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "one_of_several", "--ignored", "--nocapture"]).envs(launch.variables());
        command.env("CASE", case).env("NUDGE", nudge.to_string()).env("FOLDER", folder.path()).spawn().unwrap()
    };
    let started: Vec<_> = Launch::locals(count).unwrap().into_iter().map(start).collect();
    for mut process in started {
        assert!(process.wait().unwrap().success());
    }
    let file = |rank: usize, kind: &str| folder.path().join(format!("{rank}.{kind}"));
    let read = |rank| (state(&file(rank, "safetensors")), std::fs::read_to_string(file(rank, "txt")).unwrap());
    (0..count).map(read).collect()
}

/// |found - expected| over all tensors whose names have this prefix, relative to the norm of the expected ones.
fn distance(found: &BTreeMap<String, Tensor>, expected: &BTreeMap<String, Tensor>, prefix: &str) -> f64 {
    let mut sums = [0.0, 0.0];
    for (name, expected) in expected.iter().filter(|(name, _)| name.starts_with(prefix)) {
        let square = |tensor: Tensor| tensor.to_kind(Kind::Double).square().sum(Kind::Double).double_value(&[]);
        sums[0] += square(&found[name] - expected);
        sums[1] += square(expected.shallow_clone());
    }
    assert!(sums[1] > 0.0, "{prefix}");
    (sums[0] / sums[1]).sqrt()
}

/// The number of slightly different inputs to try.
///
/// The losses and the discriminator have kinks. A value within rounding of a kink may fall on either side, which changes a
/// gradient by 1e-4; among several nearby inputs, at least one must have no such value.
const NUDGES: u32 = 12;

#[test]
fn gradients_and_weights_of_several_processes_equal_those_of_one() {
    for (case, count) in CASES {
        let distance = (0..NUDGES).map(|nudge| compare(case, count, nudge)).find(|distance| *distance < 1e-5);
        assert!(distance.is_some(), "{case}: {count} processes differ from one for each of {NUDGES} inputs");
    }
}

/// The largest relative distance between the results of several processes and of one: weights, moving averages, and
/// moments, which are sums of gradients. It also compares the reported numbers.
fn compare(case: &str, count: usize, nudge: u32) -> f64 {
    let mut alone = trainer(case);
    let reports = train(&mut alone, case, nudge, WorldRank::SINGLE);
    assert_eq!(reports[1].skipped, case.ends_with("spoilt"));
    assert!(reports[2].gan.as_ref().is_some_and(|gan| gan.adaptive_weight > 0.0));
    let folder = tempfile::tempdir().unwrap();
    alone.save(&folder.path().join("alone.safetensors")).unwrap();
    let expected = state(&folder.path().join("alone.safetensors"));
    let all = distributed(case, count, nudge);
    for (found, reports) in &all {
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        assert_eq!(*reports, all[0].1, "all ranks report the same numbers");
        for (name, tensor) in found {
            assert!(tensor.equal(&all[0].0[name]), "{name} differs between processes");
        }
    }
    let (found, text) = &all[0];
    let mut farthest: f64 = 0.0;
    for prefix in ["decoder.", "loss.", "model_ema.", "optimizer.generator.mean.", "optimizer.discriminator.mean."] {
        let distance = distance(found, &expected, prefix);
        println!("{case}, {count} processes, input {nudge}: {prefix:30} {distance:.1e}");
        farthest = farthest.max(distance);
    }
    let numbers: Vec<f64> = text.split(['[', ']', ',']).filter_map(|number| number.trim().parse().ok()).collect();
    let expected: Vec<(&str, f64)> = reports.iter().flat_map(StepReport::numbers).collect();
    assert_eq!(numbers.len(), expected.len());
    for ((name, expected), found) in expected.into_iter().zip(numbers) {
        // Wide enough for kinks; real errors are larger.
        let close = (found - expected).abs() <= 1e-3 * expected.abs().max(1e-2) || found.is_nan() && expected.is_nan();
        assert!(close, "{case}, {count} processes, {name}: {found} {expected}");
    }
    farthest
}
