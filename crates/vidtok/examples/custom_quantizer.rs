//! A quantizer of the program's own with a learned codebook (VQ-VAE, arXiv 1711.00937), trained for a few steps:
//! `cargo run --release -p vidtok --example custom_quantizer`.
#![allow(clippy::print_stdout)]

use tch::{Kind, Reduction::Mean, Tensor};
use vidtok::{Config, Init, ProcessGroup, Quantized, Quantizer, Regularized, Tokenizer, TrainingOptions};
use vidtok_data::{Scene, to_model_range};

#[derive(Debug)]
struct Vq(Tensor); // the codebook, [codes, z]

#[rustfmt::skip]
impl Quantizer for Vq {
    fn latent_channels(&self) -> i64 { self.0.size()[1] }
    fn codebook_size(&self) -> Option<i64> { Some(self.0.size()[0]) }
    fn indices_to_codes(&self, indices: &Tensor) -> Option<Tensor> {
        Some(Tensor::embedding(&self.0, indices, -1, false, false).movedim_int(-1, 1))
    }
    fn quantize(&self, encoded: &Tensor, _: Option<&Tensor>) -> Quantized {
        let distances = Tensor::cdist(&encoded.movedim_int(1, -1), &self.0, 2.0, None);
        let indices = distances.argmin(-1, false).to_kind(Kind::Int);
        let latent = Tensor::embedding(&self.0, &indices, -1, false, false).movedim_int(-1, 1);
        Quantized { latent, indices: Some(indices), logvar: None }
    }
    fn regularize(&self, encoded: &Tensor, _: u64, _: &dyn ProcessGroup) -> Regularized {
        let Quantized { latent, indices, .. } = self.quantize(encoded, None);
        let loss = latent.mse_loss(&encoded.detach(), Mean) + encoded.mse_loss(&latent.detach(), Mean) * 0.25;
        Regularized { latent: encoded + (latent - encoded).detach(), loss, indices }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tokenizer = Tokenizer::builder()
        .quantizer(|_, path| Ok(Box::new(Vq(path.get("codebook", &[64, 4], Init::Uniform { bound: 0.5 })))))
        .init(Config::parse(include_str!("vq.toml"))?, 0)?;
    tokenizer.parameters().set_requires_grad("", true);
    let clip = to_model_range(&Scene::new(0).frames(&[0.0, 0.1, 0.2, 0.3, 0.4], [32, 32]));
    for step in 0..20 {
        let pass = tokenizer.forward_train(&clip, &TrainingOptions { step, ..Default::default() })?;
        let loss = pass.reconstruction.l1_loss(&clip, Mean) + pass.regularized.loss;
        loss.backward();
        for (_, parameter) in tokenizer.parameters().trained() {
            let _ = parameter.detach().g_sub_(&(parameter.grad() * 0.01));
            parameter.shallow_clone().zero_grad();
        }
        println!("step {step}: loss {:.4}", loss.double_value(&[]));
    }
    Ok(tokenizer.save("vq.safetensors", "an example")?) // with the tensor regularization.codebook
}
