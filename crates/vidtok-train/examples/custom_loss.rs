//! Trains a small tokenizer with L1 and a loss of your own, on procedural clips.
#![allow(clippy::print_stdout)]

use std::rc::Rc;

use tch::{Device, Kind, Tensor};
use vidtok::{Config, Tokenizer};
use vidtok_core::{Loss, MetricError};
use vidtok_data::{Batch, Scene, to_model_range};
use vidtok_loss::L1;
use vidtok_train::{LossParts, Losses, TrainConfig, Trainer};

/// The mean error of the differences between neighbouring frames, which makes motion smooth.
#[derive(Debug)]
struct Motion;

impl Loss for Motion {
    fn name(&self) -> &'static str {
        "motion"
    }

    fn forward(&self, target: &Tensor, reconstruction: &Tensor) -> Result<Tensor, MetricError> {
        let error = reconstruction - target; // [b, 3, t, h, w] in [-1, 1]
        Ok((error.slice(2, 1, None, 1) - error.slice(2, None, -1, 1)).abs().mean(Kind::Float))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let table = "steps = 30\nbatch_size = 1\noptimizer.lr = 3e-3\ndata = { frames = 5, size = [16, 16] }";
    let tokenizer = Tokenizer::init(Config::parse(include_str!("../../../configs/tiny_kl.toml"))?, 0, Device::Cpu)?;
    let reconstruction: Vec<(Rc<dyn Loss>, f64)> = vec![(Rc::new(L1), 1.0), (Rc::new(Motion), 0.5)];
    let losses = Losses::from_parts(LossParts { reconstruction, ..LossParts::default() }, Device::Cpu);
    let mut trainer = Trainer::new(tokenizer, losses, TrainConfig::from_table(table.parse()?)?);
    let times: Vec<f64> = (0..5).map(|frame| f64::from(frame) / 8.0).collect();
    for step in 0..30 {
        let clips = to_model_range(&Scene::new(step % 4).frames(&times, [16, 16]));
        let report = trainer.step(&[Batch { clips, names: vec!["scene".to_owned()] }])?;
        println!("{step}: rec {:.3}, motion {:.3}", report.rec, report.other_losses["motion"]);
    }
    Ok(())
}
