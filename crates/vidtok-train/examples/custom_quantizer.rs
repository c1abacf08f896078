//! Trains a small tokenizer with a quantizer of your own: a learned codebook of 64 vectors.
#![allow(clippy::print_stdout)]

use tch::{Device, Kind, Tensor};
use vidtok::{Config, Init, Quantized, Quantizer, Tokenizer};
use vidtok_data::{Batch, Scene, to_model_range};
use vidtok_train::{LossParts, Losses, TrainConfig, Trainer};

#[derive(Debug)]
struct Vq(Tensor); // the codebook, [codes, z]

#[rustfmt::skip] // short methods on one line
impl Quantizer for Vq {
    fn latent_channels(&self) -> i64 { self.0.size()[1] }
    fn codebook_size(&self) -> Option<i64> { Some(self.0.size()[0]) }
    fn indices_to_codes(&self, indices: &Tensor) -> Option<Tensor> {
        Some(Tensor::embedding(&self.0, indices, -1, false, false).movedim_int(-1, 1))
    }
    fn quantize(&self, encoded: &Tensor, _: Option<&Tensor>) -> Quantized {
        let distances = Tensor::cdist(&encoded.movedim_int(1, -1), &self.0, 2.0, None);
        let indices = distances.argmin(-1, false).to_kind(Kind::Int); // the nearest vectors, [b, t, h, w]
        let latent = Tensor::embedding(&self.0, &indices, -1, false, false).movedim_int(-1, 1);
        Quantized { latent, indices: Some(indices), logvar: None }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tokenizer = Tokenizer::builder()
        .quantizer(|_, path| Ok(Box::new(Vq(path.get("codebook", &[64, 4], Init::Uniform { bound: 0.5 })))))
        .init(Config::parse(include_str!("vq.toml"))?, 0)?;
    let table = "steps = 30\nbatch_size = 1\noptimizer.lr = 3e-3\ndata = { frames = 5, size = [32, 32] }";
    let losses = Losses::from_parts(LossParts::default(), Device::Cpu);
    let mut trainer = Trainer::new(tokenizer, losses, TrainConfig::from_table(table.parse()?)?);
    for step in 0..30 {
        let clips = to_model_range(&Scene::new(step % 4).frames(&[0.0, 0.1, 0.2, 0.3, 0.4], [32, 32]));
        println!("{step}: rec {:.3}", trainer.step(&[Batch { clips, names: vec!["scene".to_owned()] }])?.rec);
    }
    Ok(trainer.tokenizer().save("vq.safetensors", "an example")?) // with the tensor regularization.codebook
}
