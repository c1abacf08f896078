//! Streams compared with whole clips.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor};

use std::path::Path;

use vidtok_arch::StreamError;
use vidtok_golden::{device, unit};
use vidtok_torch::{TensorFile, write_tensors};

use super::*;
use crate::Causality;
use crate::coding::encoded::Encoded;
use crate::config::Config;
use crate::config::tests::TINY;
use crate::error::Error;
use crate::padding::Padding;
use crate::stream::decoder::StreamDecoder;
use crate::stream::encoder::StreamEncoder;
use crate::stream::reconstructor::StreamReconstructor;
use crate::tokenizer::Tokenizer;

const WHOLE: EncodeOptions = EncodeOptions { seed: None, window: None };

/// A model with a temporal factor of 2^halvings, all of whose weights differ from zero.
fn tokenizer(causality: Causality, halvings: usize) -> Tokenizer {
    let mut config = Config::parse(TINY).unwrap();
    config.model.causality = causality;
    config.model.ch_mult = vec![1; halvings.max(1) + 1];
    config.model.temporal_down = (0..halvings).collect();
    config.model.temporal_up = (1..=halvings).collect();
    let tokenizer = Tokenizer::init(config, 0, device()).unwrap();
    tch::no_grad(|| {
        for (name, parameter) in tokenizer.parameters().iter() {
            // By formula: other tests draw from libtorch's generator at the same time.
            let noise = unit(name, &parameter.size(), 0).to_device(parameter.device()) * 0.17;
            let _ = parameter.shallow_clone().g_add_(&noise);
        }
    });
    tokenizer
}

fn worst(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a.to_device(Device::Cpu) - b.to_device(Device::Cpu)).abs().max().double_value(&[])
}

/// Calls `take` on consecutive parts of `x`, with these lengths in turn, and joins the results.
fn in_chunks(x: &Tensor, lengths: &[i64], mut take: impl FnMut(&Tensor) -> Option<Tensor>) -> Tensor {
    let (t, mut start) = (x.size()[2], 0);
    let mut parts = Vec::new();
    for length in lengths.iter().cycle() {
        let length = *length.min(&(t - start));
        parts.extend(take(&x.narrow(2, start, length)));
        start += length;
        if start == t {
            break;
        }
    }
    Tensor::cat(&parts, 2)
}

fn encode(tokenizer: &Tokenizer, video: &Tensor, lengths: &[i64], options: EncodeOptions) -> Tensor {
    let size = video.size();
    let mut encoder = StreamEncoder::new(tokenizer, [size[2], size[3], size[4]], options);
    in_chunks(video, lengths, |frames| encoder.push(frames).unwrap().map(|quantized| quantized.latent))
}

fn decode(tokenizer: &Tokenizer, latent: &Tensor, padding: Padding, lengths: &[i64], window: Option<Window>) -> Tensor {
    let mut decoder = StreamDecoder::new(tokenizer, latent.size()[2], padding, window);
    in_chunks(latent, lengths, |part| decoder.push(part).unwrap())
}

fn random_video(t: i64, h: i64, w: i64) -> Tensor {
    Tensor::rand([1, 3, t, h, w], (Kind::Float, Device::Cpu)) * 2.0 - 1.0
}

#[test]
fn a_causal_stream_equals_the_whole_clip_for_any_chunks() {
    for causality in [Causality::V1_0, Causality::V1_1] {
        for halvings in [0, 1, 2, 3] {
            let tokenizer = tokenizer(causality, halvings);
            let video = random_video(19, 7, 10);
            let whole = tokenizer.encode(&video, WHOLE).unwrap();
            let reconstruction = tokenizer.decode(&whole).unwrap();
            for lengths in [&[1][..], &[2, 5, 1], &[18, 1]] {
                let error = worst(&encode(&tokenizer, &video, lengths, WHOLE), &whole.latent);
                assert!(error < 1e-5, "{causality} 2^{halvings} {lengths:?}: {error}");
                let decoded = decode(&tokenizer, &whole.latent, whole.padding, lengths, None);
                let error = worst(&decoded, &reconstruction);
                assert!(error < 1e-5, "{causality} 2^{halvings} {lengths:?}: {error}");
            }
        }
    }
}

#[test]
fn a_non_causal_model_takes_the_whole_clip_unless_a_window_is_given() {
    let tokenizer = tokenizer(Causality::NonCausal, 1);
    let video = random_video(22, 8, 8);
    let whole = tokenizer.encode(&video, WHOLE).unwrap();
    for lengths in [&[22][..], &[3]] {
        assert!(worst(&encode(&tokenizer, &video, lengths, WHOLE), &whole.latent) < 1e-6);
    }
    let windowed = EncodeOptions { window: Some(Window::PUBLISHED), seed: None };
    let first = tokenizer.encode(&video.narrow(2, 0, 16), WHOLE).unwrap();
    for lengths in [&[22][..], &[3]] {
        let latent = encode(&tokenizer, &video, lengths, windowed);
        assert_eq!(latent.size(), whole.latent.size());
        assert!(worst(&latent.narrow(2, 0, 8), &first.latent) < 1e-6);
        let frames = decode(&tokenizer, &latent, whole.padding, &[5, 2], windowed.window);
        assert_eq!(frames.size(), video.size());
        assert!(worst(&frames.narrow(2, 0, 16), &tokenizer.decode(&first).unwrap()) < 1e-6);
    }
}

#[test]
fn a_seed_samples_the_same_latent_in_a_stream_and_from_the_whole_clip() {
    let tokenizer = tokenizer(Causality::V1_0, 1);
    let video = random_video(9, 8, 8);
    let seeded = EncodeOptions { seed: Some(7), window: None };
    let whole = tokenizer.encode(&video, seeded).unwrap().latent;
    assert!(worst(&encode(&tokenizer, &video, &[3], seeded), &whole) < 1e-5);
    assert!(worst(&tokenizer.encode(&video, WHOLE).unwrap().latent, &whole) > 1e-3);
}

#[test]
fn the_state_of_a_stream_does_not_grow_and_a_whole_clip_has_none() {
    let tokenizer = tokenizer(Causality::V1_1, 2);
    let padding = Padding { front: 3, back: 0, bottom: 0, right: 0 };
    let latent = Tensor::rand([1, 4, 2, 4, 4], (Kind::Float, Device::Cpu));
    let mut decoder = StreamDecoder::new(&tokenizer, 12, padding, None);
    let bytes: Vec<usize> = (0..6)
        .map(|_| {
            let _ = decoder.push(&latent).unwrap();
            decoder.state_bytes()
        })
        .collect();
    assert!(bytes[1] > 0 && bytes[1..5].iter().all(|&n| n == bytes[1]) && bytes[5] == 0, "{bytes:?}");
    let mut whole = StreamDecoder::new(&tokenizer, 2, padding, None);
    let _ = whole.push(&latent).unwrap();
    assert_eq!(whole.state_bytes(), 0);
}

#[test]
fn clips_of_any_size_are_decoded_to_that_size() {
    for causality in [Causality::V1_0, Causality::V1_1, Causality::NonCausal] {
        let tokenizer = tokenizer(causality, 2);
        for [t, h, w] in [[1, 1, 1], [2, 3, 5], [5, 8, 8], [8, 7, 2]] {
            let video = random_video(t, h, w);
            let encoded: Encoded = tokenizer.encode(&video, WHOLE).unwrap();
            assert_eq!(tokenizer.decode(&encoded).unwrap().size(), video.size(), "{causality}");
        }
    }
}

#[test]
fn frames_of_another_size_or_beyond_the_clips_end_are_refused() {
    let tokenizer = tokenizer(Causality::V1_0, 1);
    let mut encoder = StreamEncoder::new(&tokenizer, [4, 8, 8], WHOLE);
    assert!(encoder.push(&random_video(2, 8, 9)).is_err());
    assert!(encoder.push(&random_video(2, 8, 8)).is_ok());
    assert!(encoder.push(&random_video(3, 8, 8)).is_err());
    assert!(encoder.push(&Tensor::cat(&[random_video(1, 8, 8), random_video(1, 8, 8)], 0)).is_err());
    let padding = Padding::natural(&tokenizer.config().model);
    let mut decoder = StreamDecoder::new(&tokenizer, 1, padding, None);
    assert!(decoder.push(&Tensor::zeros([1, 4, 2, 4, 4], (Kind::Float, Device::Cpu))).is_err());
    assert!(decoder.push(&Tensor::zeros([1, 3, 1, 4, 4], (Kind::Float, Device::Cpu))).is_err());
}

#[test]
fn an_encoder_output_that_is_not_finite_is_an_error() {
    let tokenizer = tokenizer(Causality::V1_0, 1);
    let video = random_video(3, 8, 8) * f64::NAN;
    assert!(matches!(tokenizer.encode(&video, WHOLE), Err(Error::NotFinite)));
}

#[test]
fn a_decoder_output_that_is_not_finite_is_an_error() {
    let tokenizer = tokenizer(Causality::V1_0, 1);
    let encoded = tokenizer.encode(&random_video(5, 8, 8), WHOLE).unwrap();
    assert!(tokenizer.decode(&encoded).is_ok());
    let bias = tokenizer.parameters().get("decoder.conv_out.conv.bias").unwrap();
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let _ = bias.get(1).fill_(bad);
        assert!(matches!(tokenizer.decode(&encoded), Err(Error::DecodedNotFinite)), "{bad}");
        let mut stream = StreamReconstructor::new(&tokenizer, [5, 8, 8], None);
        assert!(matches!(stream.push(&random_video(5, 8, 8)), Err(Error::DecodedNotFinite)), "{bad}");
    }
}

#[test]
fn floating_point_latents_are_converted_and_integers_refused() {
    let tokenizer = tokenizer(Causality::V1_0, 1);
    let encoded = tokenizer.encode(&random_video(3, 8, 8), WHOLE).unwrap();
    let decode = |latent: Tensor| {
        let mut decoder = StreamDecoder::open_ended(&tokenizer, encoded.padding, None);
        decoder.push(&latent).map(|_| ())
    };
    assert!(decode(encoded.latent.to_kind(Kind::Half)).is_ok());
    let error = decode(encoded.latent.to_kind(Kind::Int64)).unwrap_err().to_string();
    assert_eq!(error, "the latent: expected floats [b, 4, t, h, w], found Int64 [1, 4, 2, 4, 4]");
    let padding = Padding { front: -1, ..encoded.padding };
    let mut decoder = StreamDecoder::new(&tokenizer, 2, padding, None);
    assert!(decoder.push(&encoded.latent).unwrap_err().to_string().starts_with("the padding: "));
    let huge = Padding { front: i64::MAX, back: i64::MAX, ..encoded.padding };
    assert!(tokenizer.decode(&Encoded { padding: huge, ..encoded }).is_err());
}

#[test]
fn strips_cannot_change_after_the_first_push() {
    fn is_refused<T>(result: Result<T, Error>) -> bool {
        matches!(result, Err(Error::Stream(StreamError::Changed { .. })))
    }
    for causality in [Causality::V1_0, Causality::V1_1, Causality::NonCausal] {
        let tokenizer = tokenizer(causality, 1);
        let video = random_video(9, 32, 8);
        let options = EncodeOptions { seed: None, window: Some(Window { frames: 2, overlap: 0 }) };
        let whole = tokenizer.encode(&video, options).unwrap();
        for (before, after) in [(Some(8), 4096), (Some(8), 16), (None, 8)] {
            let mut encoder = StreamEncoder::new(&tokenizer, [9, 32, 8], options).in_strips(before);
            let mut latents: Vec<Tensor> = Vec::new();
            latents.extend(encoder.push(&video.narrow(2, 0, 5)).unwrap().map(|quantized| quantized.latent));
            encoder = encoder.in_strips(Some(after));
            assert!(is_refused(encoder.push(&video.narrow(2, 5, 4))), "{causality} {before:?} {after}");
            // The error has no effect: with the earlier strips the stream goes on.
            encoder = encoder.in_strips(before);
            latents.extend(encoder.push(&video.narrow(2, 5, 4)).unwrap().map(|quantized| quantized.latent));
            assert!(worst(&Tensor::cat(&latents, 2), &whole.latent) < 1e-5, "{causality} {before:?} {after}");

            let mut decoder = StreamDecoder::open_ended(&tokenizer, whole.padding, options.window).in_strips(before);
            decoder.push(&whole.latent.narrow(2, 0, 3)).unwrap();
            decoder = decoder.in_strips(Some(after));
            assert!(is_refused(decoder.push(&whole.latent.narrow(2, 3, 1))) && is_refused(decoder.finish(0)));
            let mut both = StreamReconstructor::new(&tokenizer, [9, 32, 8], options.window).in_strips(before);
            both.push(&video.narrow(2, 0, 5)).unwrap();
            assert!(is_refused(both.in_strips(Some(after)).push(&video.narrow(2, 5, 4))));
        }
    }
}

/// Copies a state file with the tensor `name` changed by `change`, or without it.
fn rewrite(from: &Path, to: &Path, name: &str, change: &dyn Fn(&Tensor) -> Option<Tensor>) {
    let file = TensorFile::open(from).unwrap();
    let mut tensors = file.tensors().unwrap();
    if let Some(changed) = tensors.remove(name).and_then(|tensor| change(&tensor)) {
        tensors.insert(name.to_owned(), changed);
    }
    let texts = ["vidtok.stream", "vidtok.weights_sha256"];
    let texts = texts.map(|key| (key, file.metadata(key).unwrap().to_owned()));
    write_tensors(to, tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)), texts).unwrap();
}

#[test]
fn a_damaged_state_file_is_an_error_that_names_the_file_the_tensor_and_the_expected_value() {
    type Change = (&'static str, fn(&Tensor) -> Option<Tensor>);
    /// Changes of clips.
    const SHAPES: [Change; 7] = [
        ("fewer rows", |x| Some(x.narrow(3, 0, x.size()[3] / 2).contiguous())),
        ("fewer columns", |x| Some(x.narrow(2, 0, x.size()[2] / 2).contiguous())),
        ("other channels", |x| Some(Tensor::cat(&[x, x], 4))),
        ("no clips", |x| Some(x.narrow(0, 0, 0).contiguous())),
        ("more frames", |x| Some(Tensor::cat(&[x, x, x], 1))),
        ("integers", |x| Some(x.to_kind(Kind::Int64))),
        ("fewer axes", |x| Some(x.flatten(0, 1))),
    ];
    /// Changes of numbers.
    const NUMBERS: [Change; 6] = [
        ("negative", |x| Some(-x - 1)),
        ("least", |x| Some(x.full_like(i64::MIN))),
        ("greatest", |x| Some(x.full_like(i64::MAX))),
        ("doubled", |x| Some(Tensor::cat(&[x.flatten(0, -1), x.flatten(0, -1)], 0))),
        ("floats", |x| Some(x.to_kind(Kind::Float) + 0.5)),
        ("missing", |_| None),
    ];
    let folder = tempfile::tempdir().unwrap();
    let [saved, changed] = ["saved", "changed.safetensors"].map(|name| folder.path().join(name));
    for (causality, strips) in [(Causality::V1_0, 4), (Causality::V1_1, 100), (Causality::NonCausal, 4)] {
        let tokenizer = tokenizer(causality, 1);
        let window = Some(Window { frames: 8, overlap: 4 });
        let options = EncodeOptions { seed: Some(3), window };
        let video = random_video(12, 8, 8);
        let mut encoder = StreamEncoder::new(&tokenizer, [19, 8, 8], options).in_strips(Some(strips));
        let latent = encoder.push(&video).unwrap().unwrap().latent;
        encoder.save(&saved).unwrap();
        let names = TensorFile::open(&saved).unwrap().names();
        let restored = |path: &Path| -> Result<(), Error> {
            let mut encoder = StreamEncoder::restore(&tokenizer, path)?;
            encoder.push(&video.narrow(2, 0, 7)).map(|_| ())
        };
        assert!(restored(&saved).is_ok());
        check_changes(&names, &saved, &changed, &SHAPES, &NUMBERS, &restored);

        let mut decoder = StreamDecoder::open_ended(&tokenizer, encoder.padding(), window).in_strips(Some(strips));
        decoder.push(&latent).unwrap();
        decoder.save(&saved).unwrap();
        let names = TensorFile::open(&saved).unwrap().names();
        let restored = |path: &Path| -> Result<(), Error> {
            let mut decoder = StreamDecoder::restore(&tokenizer, path)?;
            decoder.push(&latent)?;
            decoder.finish(0).map(|_| ())
        };
        assert!(restored(&saved).is_ok());
        check_changes(&names, &saved, &changed, &SHAPES, &NUMBERS, &restored);
    }

    fn check_changes(
        names: &[String],
        saved: &Path,
        changed: &Path,
        shapes: &[Change],
        numbers: &[Change],
        restored: &dyn Fn(&Path) -> Result<(), Error>,
    ) {
        for name in names {
            let is_clip = name.ends_with(".kept") || ["steps.pending", "tail"].contains(&name.as_str());
            for (label, change) in if is_clip { shapes } else { numbers } {
                // Pending frames, whose time axis is the third, may be any number.
                if name == "steps.pending" && *label == "fewer columns" {
                    continue;
                }
                rewrite(saved, changed, name, change);
                // Some numbers have other valid values; then it only matters that nothing panics.
                let result = restored(changed);
                if is_clip || name.ends_with(".seen") {
                    let error = result.unwrap_err().to_string();
                    let parts = ["changed.safetensors: ", ": expected ", ", found "];
                    assert!(parts.iter().all(|part| error.contains(part)), "{name} {label}: {error}");
                    assert!(error.contains(name.as_str()) || name.ends_with(".seen"), "{name} {label}: {error}");
                }
            }
        }
    }
}

/// A random partition of `t`.
fn random_lengths(t: i64, rng: &mut ChaCha8Rng) -> Vec<i64> {
    let mut lengths = Vec::new();
    while lengths.iter().sum::<i64>() < t {
        lengths.push(rng.random_range(1..=t / 2 + 1));
    }
    lengths
}

#[test]
fn random_chunks_and_strips_of_random_clips_equal_the_whole_clip() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for causality in [Causality::V1_0, Causality::V1_1, Causality::NonCausal] {
        for halvings in [1, 2, 3] {
            let tokenizer = tokenizer(causality, halvings);
            for _ in 0..3 {
                let [t, h, w] = [rng.random_range(1..22), rng.random_range(1..40), rng.random_range(1..24)];
                let video = random_video(t, h, w);
                let whole = tokenizer.encode(&video, WHOLE).unwrap();
                let reconstruction = tokenizer.decode(&whole).unwrap();
                let (lengths, rows) = (random_lengths(t, &mut rng), rng.random_range(1..=h));
                let mut encoder = StreamEncoder::new(&tokenizer, [t, h, w], WHOLE).in_strips(Some(rows));
                let latent = in_chunks(&video, &lengths, |frames| encoder.push(frames).unwrap().map(|q| q.latent));
                let error = worst(&latent, &whole.latent);
                assert!(error < 1e-5, "{causality} 2^{halvings} {t}x{h}x{w} {lengths:?} {rows}: {error}");
                let count = whole.latent.size()[2];
                let mut decoder = StreamDecoder::new(&tokenizer, count, whole.padding, None).in_strips(Some(rows));
                let lengths = random_lengths(count, &mut rng);
                let frames = in_chunks(&whole.latent, &lengths, |part| decoder.push(part).unwrap());
                let error = worst(&frames, &reconstruction);
                assert!(error < 1e-5, "{causality} 2^{halvings} {t}x{h}x{w} {lengths:?} {rows}: {error}");
            }
        }
    }
}

#[test]
fn an_open_ended_clip_is_decoded_to_its_own_length() {
    for causality in [Causality::V1_0, Causality::V1_1, Causality::NonCausal] {
        let tokenizer = tokenizer(causality, 2);
        let window = (causality == Causality::NonCausal).then_some(Window { frames: 8, overlap: 4 });
        let natural = if causality.is_causal() { 13 } else { 12 };
        for t in [natural, natural + 1, natural + 2] {
            let video = random_video(t, 8, 6);
            let options = EncodeOptions { seed: None, window };
            let mut encoder = StreamEncoder::open_ended(&tokenizer, [8, 6], options);
            let mut latents = Vec::new();
            for start in 0..t {
                latents.extend(encoder.push(&video.narrow(2, start, 1)).unwrap().map(|q| q.latent));
            }
            let before = latents.len();
            latents.extend(encoder.finish().unwrap().map(|q| q.latent));
            assert!(before > 1, "latents are returned before the end");
            let latent = Tensor::cat(&latents, 2);
            let padding = encoder.padding();
            if t == natural {
                assert_eq!(padding.back, 0);
                let whole = tokenizer.encode(&video, options).unwrap().latent;
                assert!(worst(&latent, &whole) < 1e-5);
            }
            let mut decoder = StreamDecoder::open_ended(&tokenizer, Padding { back: 0, ..padding }, window);
            let mut frames = Vec::new();
            for start in 0..latent.size()[2] {
                frames.extend(decoder.push(&latent.narrow(2, start, 1)).unwrap());
            }
            frames.extend(decoder.finish(padding.back).unwrap());
            let frames = Tensor::cat(&frames, 2);
            assert_eq!(frames.size(), video.size(), "{causality} {t}");
            let known = decode(&tokenizer, &latent, padding, &[100], window);
            assert!(worst(&frames, &known) < 1e-5);
        }
    }
}

#[test]
fn overlapping_windows_equal_separate_windows_outside_the_overlap() {
    let tokenizer = tokenizer(Causality::NonCausal, 1);
    let video = random_video(20, 8, 8);
    let window = Some(Window { frames: 8, overlap: 2 });
    let encoded = tokenizer.encode(&video, EncodeOptions { seed: None, window }).unwrap();
    // Frames 0 to 8, 6 to 14, 12 to 20.
    assert_eq!(encoded.latent.size()[2], 12);
    let decoded = tokenizer.decode(&encoded).unwrap();
    let second = tokenizer.reconstruct(&video.narrow(2, 6, 8)).unwrap();
    assert!(worst(&decoded.narrow(2, 8, 4), &second.narrow(2, 2, 4)) < 1e-5);
    let first = tokenizer.reconstruct(&video.narrow(2, 0, 8)).unwrap();
    let faded = first.narrow(2, 6, 1) * (2.0 / 3.0) + second.narrow(2, 0, 1) * (1.0 / 3.0);
    assert!(worst(&decoded.narrow(2, 6, 1), &faded) < 1e-5);
    let again = decode(&tokenizer, &encoded.latent, encoded.padding, &[1, 3], window);
    assert!(worst(&again, &decoded) < 1e-6);
}

#[test]
fn a_restored_stream_continues_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    for (causality, strips) in [(Causality::V1_0, 4), (Causality::V1_1, 100), (Causality::NonCausal, 4)] {
        let tokenizer = tokenizer(causality, 2);
        let window = (causality == Causality::NonCausal).then_some(Window { frames: 8, overlap: 4 });
        let options = EncodeOptions { seed: Some(3), window };
        let video = random_video(19, 12, 8);
        let start = || StreamEncoder::new(&tokenizer, [19, 12, 8], options).in_strips(Some(strips));
        let mut without = start();
        let expected =
            in_chunks(&video, &[11, 8], |frames| without.push(frames).unwrap().map(|quantized| quantized.latent));
        let mut first = start();
        let before = first.push(&video.narrow(2, 0, 11)).unwrap().unwrap().latent;
        first.save(&path).unwrap();
        let mut second = StreamEncoder::restore(&tokenizer, &path).unwrap();
        let after = second.push(&video.narrow(2, 11, 8)).unwrap().unwrap().latent;
        assert!(Tensor::cat(&[before, after], 2).equal(&expected), "{causality}");
        assert!(StreamDecoder::restore(&tokenizer, &path).is_err());

        let (padding, count) = (without.padding(), expected.size()[2]);
        let start = || StreamDecoder::new(&tokenizer, count, padding, window).in_strips(Some(strips));
        let mut without = start();
        let frames = in_chunks(&expected, &[3, count - 3], |part| without.push(part).unwrap());
        let mut first = start();
        let before = first.push(&expected.narrow(2, 0, 3)).unwrap();
        first.save(&path).unwrap();
        let mut second = StreamDecoder::restore(&tokenizer, &path).unwrap();
        let after = second.push(&expected.narrow(2, 3, count - 3)).unwrap();
        let parts: Vec<Tensor> = before.into_iter().chain(after).collect();
        assert!(Tensor::cat(&parts, 2).equal(&frames), "{causality}");
        let other = crate::stream::tests::tokenizer(causality, 1);
        let error = StreamDecoder::restore(&other, &path).unwrap_err().to_string();
        assert!(error.ends_with("the state is of a model with other weights"), "{error}");
    }
}

#[test]
fn a_state_file_cannot_pad_a_clip_by_more_than_any_clip_needs() {
    let folder = tempfile::tempdir().unwrap();
    let [saved, changed] = ["saved", "changed.safetensors"].map(|name| folder.path().join(name));
    for causality in [Causality::V1_0, Causality::NonCausal] {
        let tokenizer = tokenizer(causality, 1);
        StreamEncoder::open_ended(&tokenizer, [8, 8], EncodeOptions::default()).save(&saved).unwrap();
        let restored = |padding: [i64; 4]| {
            rewrite(&saved, &changed, "padding", &|_| Some(Tensor::from_slice(&padding)));
            StreamEncoder::restore(&tokenizer, &changed).map(|encoder| encoder.padding().front)
        };
        let most = 2 * (tokenizer.config().model.temporal_factor() - 1);
        assert_eq!(restored([most, 0, 0, 0]).unwrap(), most);
        for padding in [[most + 1, 0, 0, 0], [1 << 34, 0, 0, 0], [0, most + 2, 0, 0]] {
            let error = restored(padding).unwrap_err().to_string();
            assert!(error.contains("padding: expected"), "{error}");
        }
    }
}

#[test]
fn streams_are_restored_before_their_first_frame_and_after_their_last() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    for causality in [Causality::V1_0, Causality::NonCausal] {
        let tokenizer = tokenizer(causality, 1);
        let video = random_video(6, 8, 8);
        let whole = tokenizer.encode(&video, WHOLE).unwrap();
        StreamEncoder::new(&tokenizer, [6, 8, 8], WHOLE).in_strips(Some(4)).save(&path).unwrap();
        let mut encoder = StreamEncoder::restore(&tokenizer, &path).unwrap();
        assert!(worst(&encoder.push(&video).unwrap().unwrap().latent, &whole.latent) < 1e-5);
        encoder.save(&path).unwrap();
        let mut ended = StreamEncoder::restore(&tokenizer, &path).unwrap();
        assert!(ended.push(&video).is_err() && ended.finish().unwrap().is_none());

        StreamDecoder::open_ended(&tokenizer, whole.padding, None).save(&path).unwrap();
        let mut decoder = StreamDecoder::restore(&tokenizer, &path).unwrap();
        let mut frames: Vec<Tensor> = decoder.push(&whole.latent).unwrap().into_iter().collect();
        frames.extend(decoder.finish(0).unwrap());
        assert!(worst(&Tensor::cat(&frames, 2), &tokenizer.decode(&whole).unwrap()) < 1e-5);
        decoder.save(&path).unwrap();
        assert!(StreamDecoder::restore(&tokenizer, &path).unwrap().finish(0).unwrap().is_none());
    }
}

#[test]
fn the_state_holds_two_frames_for_each_temporal_convolution() {
    // One residual block per level, no temporal resampling: 1 + 2 * 2 causal convolutions before the middle, then 5.
    let tokenizer = tokenizer(Causality::V1_0, 0);
    let model = &tokenizer.config().model;
    let mut encoder = StreamEncoder::open_ended(&tokenizer, [16, 16], WHOLE);
    let _ = encoder.push(&random_video(9, 16, 16)).unwrap();
    let layer = |side: i64| 2 * side * side * model.ch * 4;
    // conv_in has 3 channels; two layers per level; four in the middle and one in the head.
    let expected = 2 * 16 * 16 * 3 * 4 + 2 * layer(16) + 2 * layer(8) + 5 * layer(8);
    assert_eq!(encoder.state_bytes() as i64, expected);
}
