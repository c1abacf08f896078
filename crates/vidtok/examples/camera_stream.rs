//! Encodes frames that arrive one by one, as from a camera. Each latent frame is sent as soon as it is complete.
//! `cargo run --release -p vidtok --example camera_stream`.
#![allow(clippy::print_stdout)]

use tch::Device;
use vidtok::{Config, EncodeOptions, Quantized, StreamEncoder, Tokenizer, to_model_range};
use vidtok_data::Scene;

const SIZE: [i64; 2] = [64, 96];

fn main() -> Result<(), vidtok::Error> {
    let config = Config::parse(include_str!("../../../configs/tiny_fsq.toml"))?;
    let tokenizer = Tokenizer::init(config, 0, Device::Cpu)?; // or Tokenizer::open
    let mut encoder = StreamEncoder::open_ended(&tokenizer, SIZE, EncodeOptions::default());
    let camera = Scene::new(0); // a made-up scene
    for frame in 0..12 {
        let image = camera.frames(&[f64::from(frame) / 30.0], SIZE); // uint8 [1, h, w, 3]
        if let Some(quantized) = encoder.push(&to_model_range(&image))? {
            send(frame, &quantized);
        }
    }
    if let Some(quantized) = encoder.finish()? {
        send(12, &quantized);
    }
    println!("the receiver needs {:?}", encoder.padding());
    Ok(())
}

fn send(frame: i32, quantized: &Quantized) {
    println!("frame {frame}: tokens {:?}", quantized.indices.as_ref().map(|indices| indices.size()));
}
