//! Streams that are saved between two chunks.

use std::path::Path;

use tch::{Device, Kind, Tensor};
use vidtok::{EncodeOptions, Error, Padding, StreamDecoder, StreamEncoder, Tokenizer, Window};

use super::tiny::with_models;
use crate::{Format, Outcome, Target, scratch};

pub(super) const TARGET: Target = Target { name: "saved_stream", format: Format::Safetensors, seeds, read };

const NAME: &str = "a.safetensors";
/// The height and width of clips.
const SIZE: i64 = 8;

/// Encoders and decoders of a causal model, in whole frames and in strips, and of a model with windows.
fn seeds() -> Vec<Vec<u8>> {
    with_models(|[causal, _, windowed]| {
        let window = Some(Window { frames: 4, overlap: 2 });
        let streams = [(causal, None, false), (causal, None, true), (windowed, window, false)];
        let encoders = streams.map(|(model, window, in_strips)| {
            let encoder = StreamEncoder::new(model, [9, SIZE, SIZE], EncodeOptions { seed: Some(1), window });
            let mut encoder = if in_strips { encoder.in_strips(Some(4)) } else { encoder };
            saved(|path| encoder.push(&clip(5, 3)).and(encoder.save(path)))
        });
        let decoders = streams.map(|(model, window, in_strips)| {
            let padding = Padding { front: 1, back: 0, bottom: 0, right: 1 };
            let decoder = StreamDecoder::open_ended(model, padding, window);
            let mut decoder = if in_strips { decoder.in_strips(Some(4)) } else { decoder };
            saved(|path| decoder.push(&latent(4)).and(decoder.save(path)))
        });
        [encoders, decoders].concat()
    })
}

/// The file that `save` writes, with a sorted header.
fn saved(save: impl FnOnce(&Path) -> Result<(), Error>) -> Vec<u8> {
    let file = scratch::with_path(NAME, |path| match save(path) {
        Ok(()) => scratch::read(path),
        Err(error) => panic!("{error}"),
    });
    let Some(mut parts) = TARGET.format.split(&file) else { panic!("not a safetensors file") };
    match serde_json::from_slice::<serde_json::Value>(&parts[0].bytes) {
        Ok(header) => parts[0].bytes = header.to_string().into_bytes(),
        Err(error) => panic!("{error}"),
    }
    TARGET.format.join(&parts)
}

fn clip(t: i64, channels: i64) -> Tensor {
    Tensor::zeros([1, channels, t, SIZE, SIZE], (Kind::Float, Device::Cpu))
}

fn latent(t: i64) -> Tensor {
    clip(t, 4).slice(3, 0, SIZE / 2, 1).slice(4, 0, SIZE / 2, 1)
}

/// Checks that a restored stream can be saved, and that it and its copy continue in the same way, with frames or with
/// an error.
fn read(file: &[u8]) -> Outcome {
    with_models(|[causal, _, windowed]| {
        scratch::with_file(NAME, file, |path| {
            let check = |model| encoder(model, path).or_else(|_| decoder(model, path));
            check(causal).or_else(|_| check(windowed))
        })
    })
}

fn encoder(model: &Tokenizer, path: &Path) -> Outcome {
    let mut encoder = StreamEncoder::restore(model, path)?;
    let copy = path.with_file_name("b.safetensors");
    encoder.save(&copy)?;
    let mut again = StreamEncoder::restore(model, &copy)?;
    assert_eq!((again.padding(), again.latent_frames()), (encoder.padding(), encoder.latent_frames()));
    let pushed = encoder.push(&clip(2, 3));
    let same = again.push(&clip(2, 3));
    assert_eq!(pushed.is_ok(), same.is_ok());
    if pushed.is_ok() {
        // This may fail, since the file determines the number of remaining frames.
        let _ = encoder.push(&clip(5, 3)).and(encoder.finish());
    }
    Ok(())
}

fn decoder(model: &Tokenizer, path: &Path) -> Outcome {
    let mut decoder = StreamDecoder::restore(model, path)?;
    let copy = path.with_file_name("b.safetensors");
    decoder.save(&copy)?;
    let mut again = StreamDecoder::restore(model, &copy)?;
    let pushed = decoder.push(&latent(1));
    let same = again.push(&latent(1));
    assert_eq!(pushed.is_ok(), same.is_ok());
    if pushed.is_ok() {
        let _ = decoder.push(&latent(2)).and(decoder.finish(0));
    }
    Ok(())
}
