//! Every released model compared with the reference implementation: parameters' names and shapes, and results.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a failure here is what the test is for

use std::collections::BTreeMap;
use std::path::PathBuf;

use tch::{Device, Kind, Tensor};
use vidtok::{Config, EncodeOptions, Padding, Tokenizer, Weights};
use vidtok_arch::{Encoder, StreamState};
use vidtok_golden::{device, golden, keys, names, unit, weight};
use vidtok_torch::{ParamPath, write_tensors};

/// Differences up to this are rounding: the reference differs from itself by 1e-5 in another memory layout.
const TOLERANCE: f64 = 1e-4;

fn config(name: &str, overrides: &[String]) -> Config {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../configs").join(format!("{name}.toml"));
    Config::load(&path, overrides).unwrap()
}

/// The model with formula weights, written to a file and read again.
fn formula_model(name: &str, ch: i64) -> Tokenizer {
    let config = config(name, &[format!("model.ch={ch}")]);
    let shapes = Tokenizer::shapes(config.clone()).unwrap();
    let tensors: BTreeMap<&str, Tensor> =
        shapes.parameters().iter().map(|(key, tensor)| (key, weight(key, &tensor.size(), 0))).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("{name}.safetensors"));
    write_tensors(&path, tensors.iter().map(|(key, tensor)| (*key, tensor)), []).unwrap();
    Tokenizer::with_weights(config, Weights::read(&path).unwrap(), device(), Kind::Float).unwrap()
}

/// The encoder's output, without the quantizer.
fn encoder_output(model: &Tokenizer, padded: &Tensor) -> Tensor {
    let tensors = model.parameters().iter().map(|(key, tensor)| (key.to_owned(), tensor.shallow_clone())).collect();
    let root = ParamPath::loaded(tensors, model.device(), Kind::Float);
    let channels = model.quantizer().encoder_channels();
    let encoder = Encoder::new(&root.sub("encoder"), &model.config().model, channels);
    encoder.forward(&padded.to_device(model.device()), &mut StreamState::whole_clip()).unwrap()
}

fn worst(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a.to_device(Device::Cpu) - b.to_device(Device::Cpu)).abs().max().double_value(&[])
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
fn every_released_model_reproduces_the_reference_numbers() {
    for name in names() {
        let reference = golden(name);
        let model = formula_model(name, reference.ch);
        let video = unit("input", &[1, 3, reference.frames, reference.height, reference.width], 0);

        let padded =
            Padding::new(&model.config().model, [reference.frames, reference.height, reference.width]).pad(&video);
        let error = worst(&encoder_output(&model, &padded), &reference.encoder_out);
        assert!(error < TOLERANCE, "{name}: encoder output {error}");

        let encoded = model.encode(&video, EncodeOptions::default()).unwrap();
        match (&reference.indices, &encoded.indices) {
            (Some(expected), Some(indices)) => {
                let differ = indices.to_device(Device::Cpu).ne_tensor(expected).sum(Kind::Int64).int64_value(&[]);
                assert_eq!(differ, 0, "{name}: indices");
            }
            (None, None) => {}
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
fn weights_of_another_version_are_refused_by_their_file_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vidtok_kl_causal_488_4chn_v1_1.safetensors");
    let nothing = Tensor::zeros([1], (Kind::Float, Device::Cpu));
    write_tensors(&path, [("x", &nothing)], []).unwrap();
    let config = config("vidtok_kl_causal_488_4chn", &[]);
    let error = Tokenizer::with_weights(config, Weights::read(&path).unwrap(), Device::Cpu, Kind::Float).unwrap_err();
    assert!(error.to_string().contains("v1.1"), "{error}");
}

#[test]
fn averaged_weights_replace_the_parameters_and_training_keys_are_ignored() {
    let config = config("vidtok_kl_causal_488_4chn", &["model.ch=4".to_owned()]);
    let model = Tokenizer::init(config.clone(), 0, Device::Cpu).unwrap();
    let averages: Vec<(String, Tensor)> = model
        .parameters()
        .iter()
        .map(|(key, tensor)| (format!("model_ema.{}", key.replace('.', "")), tensor + 1.0))
        .collect();
    let loss = Tensor::zeros([1], (Kind::Float, Device::Cpu));
    let all = model.parameters().iter().chain(averages.iter().map(|(key, tensor)| (key.as_str(), tensor)));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trained.safetensors");
    write_tensors(&path, all.chain([("loss.logvar", &loss)]), []).unwrap();

    let load = |weights| Tokenizer::with_weights(config.clone(), weights, Device::Cpu, Kind::Float).unwrap();
    let plain = load(Weights::read(&path).unwrap());
    let mut weights = Weights::read(&path).unwrap();
    weights.use_ema(model.parameters().names()).unwrap();
    let averaged = load(weights);
    for ((key, before), ((_, plain), (_, averaged))) in
        model.parameters().iter().zip(plain.parameters().iter().zip(averaged.parameters().iter()))
    {
        assert!(plain.equal(before) && averaged.equal(&(before + 1.0)), "{key}");
    }
    assert_ne!(plain.weights_sha256(), averaged.weights_sha256());
}

#[test]
fn half_precision_is_close_to_single() {
    let name = "vidtok_kl_causal_488_4chn_v1_1";
    let single = formula_model(name, 8);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    single.save(&path, "a test").unwrap();
    let video = unit("input", &[1, 3, 5, 16, 24], 0);
    let expected = single.reconstruct(&video).unwrap();
    // With the number of bits of the mantissa.
    for (kind, bits) in [(Kind::BFloat16, 8), (Kind::Half, 11)] {
        let half = Tokenizer::open(&path, Device::Cpu, kind).unwrap();
        assert_eq!(half.weights_sha256(), single.weights_sha256());
        let reconstruction = half.reconstruct(&video).unwrap();
        assert_eq!(reconstruction.kind(), Kind::Float);
        let error = (reconstruction - &expected).abs().mean(Kind::Float).double_value(&[]);
        assert!(error < 16.0 * 0.5_f64.powi(bits), "{kind:?}: {error}");
    }
}

#[test]
fn a_one_file_model_is_refused_with_another_configuration() {
    let load = |name: &str| {
        let overrides = ["model.ch=4".to_owned()];
        Tokenizer::init(config(name, &overrides), 0, Device::Cpu).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    load("vidtok_fsq_causal_488_4096").save(&path, "a test").unwrap();
    let other =
        config("vidtok_fsq_causal_488_4096", &["model.ch=4".to_owned(), "quantizer.levels=[7,5,5,5]".to_owned()]);
    let error = Tokenizer::with_weights(other, Weights::read(&path).unwrap(), Device::Cpu, Kind::Float).unwrap_err();
    assert!(error.to_string().contains("[quantizer]"), "{error}");
}
