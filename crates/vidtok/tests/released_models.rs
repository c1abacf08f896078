//! Every released model against the numbers, names and shapes of the reference implementation.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a failure here is what the test is for

use std::collections::BTreeMap;
use std::path::PathBuf;

use tch::{Device, Kind, Tensor};
use vidtok::{Config, EncodeOptions, Tokenizer, Weights};
use vidtok_golden::{golden, keys, names, unit, weight};
use vidtok_torch::write_tensors;

/// Within this is the same function; the reference in another memory layout differs from itself by 1e-5.
const TOLERANCE: f64 = 1e-4;

fn config(name: &str, overrides: &[String]) -> Config {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../configs").join(format!("{name}.toml"));
    Config::load(&path, overrides).unwrap()
}

/// The model with formula weights, by way of a file.
fn formula_model(name: &str, ch: i64) -> Tokenizer {
    let config = config(name, &[format!("model.ch={ch}")]);
    let shapes = Tokenizer::shapes(config.clone()).unwrap();
    let tensors: BTreeMap<&str, Tensor> =
        shapes.parameters().iter().map(|(key, tensor)| (key, weight(key, &tensor.size(), 0))).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("{name}.safetensors"));
    write_tensors(&path, tensors.iter().map(|(key, tensor)| (*key, tensor)), []).unwrap();
    Tokenizer::with_weights(config, Weights::read(&path).unwrap(), Device::Cpu, Kind::Float).unwrap()
}

fn worst(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a - b).abs().max().double_value(&[])
}

#[test]
fn every_released_model_has_the_published_names_and_shapes() {
    for name in names() {
        let model = Tokenizer::shapes(config(name, &[])).unwrap();
        let ours: Vec<(String, Vec<i64>)> =
            model.parameters().iter().map(|(key, tensor)| (key.to_owned(), tensor.size())).collect();
        let mut published = keys(name);
        published.sort();
        assert_eq!(ours, published, "{name}");
    }
}

#[test]
fn every_released_model_gives_the_reference_numbers() {
    for name in names() {
        let reference = golden(name);
        let model = formula_model(name, reference.ch);
        let video = unit("input", &[1, 3, reference.frames, reference.height, reference.width], 0);

        let encoded = model.encode(&video, EncodeOptions::default()).unwrap();
        match (&reference.indices, &encoded.indices) {
            (Some(expected), Some(indices)) => {
                let differ = indices.ne_tensor(expected).sum(Kind::Int64).int64_value(&[]);
                assert_eq!(differ, 0, "{name}: indices");
            }
            (None, None) => {
                let moments = Tensor::cat(&[&encoded.latent, encoded.logvar.as_ref().unwrap()], 1);
                let error = worst(&moments, &reference.encoder_out);
                assert!(error < TOLERANCE, "{name}: encoder output {error}");
            }
            _ => panic!("{name}: one is discrete, the other is not"),
        }
        let error = worst(&encoded.latent, &reference.z);
        assert!(error < TOLERANCE, "{name}: z {error}");

        let reconstruction = model.decode(&encoded).unwrap();
        assert_eq!(reconstruction.size(), video.size(), "{name}");
        let sample = reconstruction.flatten(0, -1).slice(0, 0, None, reference.stride);
        let error = worst(&sample, &reference.reconstruction_sample);
        assert!(error < TOLERANCE, "{name}: reconstruction {error}");
        println!("{name}: reconstruction {error:.1e}");
    }
}

#[test]
fn the_published_model_has_157_million_parameters() {
    let model = Tokenizer::shapes(config("vidtok_kl_causal_488_4chn", &[])).unwrap();
    assert_eq!(model.parameters().count(""), 157_451_663);
}

#[test]
fn weights_of_another_version_are_refused_by_their_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vidtok_kl_causal_488_4chn_v1_1.safetensors");
    let nothing = Tensor::zeros([1], (Kind::Float, Device::Cpu));
    write_tensors(&path, [("x", &nothing)], []).unwrap();
    let config = config("vidtok_kl_causal_488_4chn", &[]);
    let error = Tokenizer::with_weights(config, Weights::read(&path).unwrap(), Device::Cpu, Kind::Float).unwrap_err();
    assert!(error.to_string().contains("v1.1"), "{error}");
}
