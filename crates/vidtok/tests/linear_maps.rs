//! Models with linear maps beside their networks.

#![allow(clippy::unwrap_used)]

use tch::{Device, Kind, Tensor};
use vidtok::{Config, EncodeOptions, KltFit, Padding, Tokenizer};

const LITE: &str = include_str!("../../../configs/vidtok_lite_kl_causal_488_16chn.toml");

/// Clips whose blocks are correlated: smooth noise.
fn clips() -> Vec<Tensor> {
    let smooth = |_| {
        let noise = Tensor::randn([2, 3, 9, 6, 6], (Kind::Float, Device::Cpu)) * 0.4;
        noise.upsample_trilinear3d([9, 48, 48], false, None, None, None).tanh()
    };
    (0..4).map(smooth).collect()
}

fn mean_square(x: &Tensor) -> f64 {
    x.square().mean(Kind::Double).double_value(&[])
}

/// The error of the best linear codec of 4x8x8 blocks with this many numbers, after the padding of a causal model.
fn best_linear_error(config: &Config, numbers: i64, clips: &[Tensor]) -> f64 {
    let padding = Padding::new(&config.model, [9, 48, 48]);
    let padded: Vec<Tensor> = clips.iter().map(|clip| padding.pad(clip)).collect();
    let mut fit = KltFit::new(4, 8);
    padded.iter().for_each(|clip| fit.add(clip));
    let klt = fit.finish(numbers);
    let code = |clip: &Tensor| padding.crop(&klt.decode(&klt.encode(clip)));
    let errors = padded.iter().zip(clips).map(|(padded, clip)| mean_square(&(code(padded) - clip)));
    errors.sum::<f64>() / clips.len() as f64
}

#[test]
fn a_fitted_model_is_the_best_linear_codec_before_its_first_step() {
    tch::manual_seed(0);
    let clips = clips();
    // The share of what the best linear codec explains: all without rounding, most with it.
    for (quantizer, least_share) in
        [("kind = \"kl\"\nz_channels = 16\nsample = false", 0.99), ("kind = \"fsq\"\nlevels = [32, 8, 8, 4, 4]", 0.9)]
    {
        let text = LITE.replace("kind = \"kl\"\nz_channels = 16", quantizer);
        let config = Config::parse(&text).unwrap();
        let tokenizer = Tokenizer::init(config.clone(), 0, Device::Cpu).unwrap();
        tokenizer.fit_linear(&clips).unwrap();
        let numbers = tokenizer.quantizer().latent_channels();
        let best = best_linear_error(&config, numbers, &clips);
        let error = |clip: &Tensor| {
            let encoded = tokenizer.encode(clip, EncodeOptions::default()).unwrap();
            mean_square(&(tokenizer.decode(&encoded).unwrap() - clip))
        };
        let found = clips.iter().map(error).sum::<f64>() / clips.len() as f64;
        let all = clips.iter().map(mean_square).sum::<f64>() / clips.len() as f64;
        let share = (all - found) / (all - best);
        assert!((least_share..1.001).contains(&share), "{quantizer}: {share}");
        if numbers == 16 {
            let latents: Vec<Tensor> =
                clips.iter().map(|clip| tokenizer.encode(clip, EncodeOptions::default()).unwrap().latent).collect();
            let channels = Tensor::cat(&latents, 0).transpose(0, 1).flatten(1, -1);
            let deviations = channels.std_dim(1, true, false);
            assert!((deviations - 1.0).abs().max().double_value(&[]) < 0.05, "channels have variance 1");
        }
    }
}

#[test]
fn a_model_without_linear_maps_is_not_changed_by_fitting() {
    let config = Config::parse(include_str!("../../../configs/tiny_kl.toml")).unwrap();
    let tokenizer = Tokenizer::init(config, 0, Device::Cpu).unwrap();
    let before = tokenizer.weights_sha256();
    tokenizer.fit_linear(&clips()).unwrap();
    assert_eq!(tokenizer.weights_sha256(), before);
}
