//! Networks on patches of pixels, with shuffled resampling and linear maps: chunks and strips equal the whole clip, and
//! the memory models hold.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor, no_grad};
use vidtok_arch::{
    ArchConfig, Causality, Decoder, DecoderConfig, Encoder, Patch, PatchTransform, Resample, StreamState,
};
use vidtok_torch::{ParamPath, Parameters};

const CHANNELS: i64 = 6;

fn config(causality: Causality, resample: Resample, transform: PatchTransform) -> ArchConfig {
    ArchConfig {
        causality,
        ch: 4,
        ch_mult: vec![1, 2],
        num_res_blocks: 1,
        spatial_down: vec![0],
        spatial_up: vec![1],
        temporal_down: vec![0],
        temporal_up: vec![1],
        patch: Patch { time: 2, space: 2, transform },
        resample,
        middle: false,
        linear: true,
        decoder: Some(DecoderConfig::new(3, vec![1, 2], 0)),
    }
}

/// Networks with random weights everywhere, also where new ones start at zero.
fn networks(config: &ArchConfig) -> (Encoder, Decoder, Parameters) {
    config.validate().unwrap();
    tch::manual_seed(0);
    let root = ParamPath::fresh(Device::Cpu);
    let networks =
        (Encoder::new(&root.sub("encoder"), config, CHANNELS), Decoder::new(&root.sub("decoder"), config, CHANNELS));
    let parameters = root.finish().unwrap();
    no_grad(|| parameters.iter().for_each(|(_, tensor)| drop(tensor.shallow_clone().uniform_(-0.3, 0.3))));
    (networks.0, networks.1, parameters)
}

fn configs() -> Vec<ArchConfig> {
    let mut all = Vec::new();
    for causality in [Causality::V1_0, Causality::NonCausal] {
        for resample in [Resample::Conv, Resample::Shuffle] {
            all.push(config(causality, resample, PatchTransform::Pixels));
        }
    }
    all.push(config(Causality::V1_0, Resample::Shuffle, PatchTransform::Haar));
    // A decoder that differs from its encoder in everything.
    let decoder = DecoderConfig {
        patch: Some(Patch { time: 4, space: 4, transform: PatchTransform::Haar }),
        resample: Some(Resample::Shuffle),
        middle: Some(true),
        linear: Some(false),
        ..DecoderConfig::new(3, vec![2], 0)
    };
    let like = config(Causality::V1_0, Resample::Conv, PatchTransform::Pixels);
    all.push(ArchConfig { decoder: Some(decoder), spatial_up: vec![], temporal_up: vec![], ..like });
    all
}

fn assert_close(found: &Tensor, expected: &Tensor, what: &str) {
    assert_eq!(found.size(), expected.size(), "{what}");
    let worst = (found - expected).abs().max().double_value(&[]);
    assert!(worst < 1e-5, "{what}: {worst}");
}

#[test]
fn strips_of_any_height_equal_the_whole_frame() {
    for config in configs() {
        let (encoder, decoder, _) = networks(&config);
        let video = Tensor::rand([1, 3, 8, 24, 12], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
        no_grad(|| {
            let latent = encoder.forward(&video, &mut StreamState::whole_clip()).unwrap();
            assert_eq!(latent.size(), [1, CHANNELS, 2, 6, 3]);
            let decoded = decoder.forward(&latent, &mut StreamState::whole_clip()).unwrap();
            assert_eq!(decoded.size(), video.size());
            for rows in [1, 2, 3, 4, 6, 8, 10, 14, 23] {
                let mut state = StreamState::whole_clip().in_strips(rows);
                assert_close(&encoder.forward(&video, &mut state).unwrap(), &latent, &format!("{config:?} {rows}"));
                let mut state = StreamState::whole_clip().in_strips(rows);
                assert_close(&decoder.forward(&latent, &mut state).unwrap(), &decoded, &format!("{config:?} {rows}"));
            }
        });
    }
}

#[test]
fn causal_chunks_of_any_length_equal_the_whole_clip_and_resume_from_saved_states() {
    for config in configs().into_iter().filter(|config| config.causality.is_causal()) {
        let (encoder, decoder, _) = networks(&config);
        let video = Tensor::rand([1, 3, 16, 8, 12], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
        no_grad(|| {
            let latent = encoder.forward(&video, &mut StreamState::whole_clip()).unwrap();
            let decoded = decoder.forward(&latent, &mut StreamState::whole_clip()).unwrap();
            for rows in [None, Some(4)] {
                let start =
                    || rows.map_or_else(StreamState::streaming, |rows| StreamState::streaming().in_strips(rows));
                let (mut encoding, mut decoding) = (start(), start());
                let (mut latents, mut videos) = (Vec::new(), Vec::new());
                for (from, frames) in [(0, 4), (4, 8), (12, 4)] {
                    let chunk = encoder.forward(&video.narrow(2, from, frames), &mut encoding).unwrap();
                    videos.push(decoder.forward(&chunk, &mut decoding).unwrap());
                    latents.push(chunk);
                    let saved: BTreeMap<String, Tensor> = encoding.tensors().into_iter().collect();
                    encoding = encoder.restore(&saved, [1, 8, 12], rows).unwrap();
                    let saved: BTreeMap<String, Tensor> = decoding.tensors().into_iter().collect();
                    decoding = decoder.restore(&saved, [1, 2, 3], rows).unwrap();
                }
                assert_close(&Tensor::cat(&latents, 2), &latent, &format!("{config:?} {rows:?}"));
                assert_close(&Tensor::cat(&videos, 2), &decoded, &format!("{config:?} {rows:?}"));
            }
        });
    }
}

#[test]
fn a_new_network_with_linear_maps_is_linear() {
    let config = config(Causality::V1_0, Resample::Shuffle, PatchTransform::Pixels);
    let root = ParamPath::fresh(Device::Cpu);
    let encoder = Encoder::new(&root.sub("encoder"), &config, CHANNELS);
    let decoder = Decoder::new(&root.sub("decoder"), &config, CHANNELS);
    let _parameters = root.finish().unwrap();
    let [x, y] = [(); 2].map(|()| Tensor::rand([1, 3, 8, 8, 8], (Kind::Float, Device::Cpu)));
    let code = |video: &Tensor| {
        let latent = encoder.forward(video, &mut StreamState::whole_clip()).unwrap();
        decoder.forward(&latent, &mut StreamState::whole_clip()).unwrap()
    };
    no_grad(|| assert_close(&((code(&x) + code(&y)) / 2.0), &code(&((&x + &y) / 2.0)), "mean"));
}

#[test]
fn a_causal_network_on_patches_ignores_later_blocks_of_frames() {
    let config = config(Causality::V1_0, Resample::Shuffle, PatchTransform::Haar);
    let (encoder, decoder, _) = networks(&config);
    let video = Tensor::rand([1, 3, 12, 8, 8], (Kind::Float, Device::Cpu));
    let changed = Tensor::cat(&[video.narrow(2, 0, 4), video.narrow(2, 4, 8) * 0.5], 2);
    no_grad(|| {
        let [a, b] = [&video, &changed].map(|x| {
            let latent = encoder.forward(x, &mut StreamState::whole_clip()).unwrap();
            decoder.forward(&latent, &mut StreamState::whole_clip()).unwrap()
        });
        assert_close(&a.narrow(2, 0, 4), &b.narrow(2, 0, 4), "first frames");
        assert!((a - b).abs().max().double_value(&[]) > 1e-3);
    });
}
