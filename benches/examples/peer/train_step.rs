//! Whole training steps: the first one is for its losses, the others are timed.

use std::rc::Rc;

use anyhow::Result;
use serde_json::{Map, Value, json};
use tch::{Device, Kind};
use vidtok_benches::memory;
use vidtok_data::Batch;
use vidtok_golden::{fill, weights};
use vidtok_metrics::{Lpips, LpipsNet};
use vidtok_torch::ParamPath;
use vidtok_train::{Losses, TrainConfig, Trainer};

use crate::{Arguments, time_repeats, tokenizer, video};

pub(crate) fn measure(arguments: &Arguments) -> Result<Value> {
    let tokenizer = tokenizer(arguments)?;
    let train = config(arguments)?;
    let losses = Losses::new(&train.loss, Some(lpips()?), Device::Cpu);
    fill(losses.parameters().iter());
    let names = vec!["input".to_owned(); arguments.batch as usize];
    let batch = [Batch { clips: video(arguments), names }];

    memory::forget_peak()?;
    let base = memory::held()?;
    // PyTorch's optimizers allocate their state in the first step, so ours is created here.
    let mut trainer = Trainer::new(tokenizer, losses, train);
    let first = trainer.step(&batch)?;
    let seconds = time_repeats(arguments.steps, || {
        trainer.step(&batch)?;
        Ok(())
    })?;
    let first: Map<String, Value> =
        first.numbers().into_iter().map(|(name, value)| (name.into(), json!([value]))).collect();
    Ok(json!({ "seconds": seconds, "base_mb": base, "peak_mb": memory::peak()?, "first": first }))
}

/// The published recipe, with the discriminator from the first step on.
fn config(arguments: &Arguments) -> Result<TrainConfig> {
    let Arguments { batch, frames, size, .. } = arguments;
    let table = format!(
        "steps = 1000\nbatch_size = {batch}\ndata = {{ frames = {frames}, size = [{size}, {size}] }}\n\
         loss = {{ perceptual = {{}}, gan = {{ start = 0 }} }}"
    );
    Ok(TrainConfig::from_table(toml::from_str(&table)?)?)
}

/// LPIPS with formula weights.
fn lpips() -> Result<Rc<Lpips>> {
    let root = ParamPath::shapes();
    let _ = Lpips::new(&root, LpipsNet::Vgg);
    let tensors = weights(root.finish()?.iter(), "loss.perceptual_loss.");
    let root = ParamPath::loaded(tensors, Device::Cpu, Kind::Float);
    Ok(Rc::new(Lpips::new(&root, LpipsNet::Vgg)))
}
