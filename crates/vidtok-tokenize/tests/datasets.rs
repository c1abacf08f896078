//! Token datasets: what they contain, how they grow, and which errors are reported.

#![allow(clippy::unwrap_used)] // a failure here is what the test is for

mod bench;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use bench::{Bench, contents, files, model, run};
use tch::{Device, Kind, Tensor};
use vidtok::{EncodeOptions, Encoded, Tokenizer, Window};
use vidtok_core::{FrameSink, FrameSource, VideoError};
use vidtok_data::{
    Destination, Ffmpeg, Hdr, Notice, Preparation, Timeline, VideoQuality, VideoReader, VideoWriter, WriteOptions,
    to_frames, to_model_range,
};
use vidtok_tokenize::{
    Dataset, DetokenizeOptions, Manifest, NumberType, Shard, ShardFormat, TokenizeError, TokenizeProgress, Tokens,
    detokenize, shards, tokenize,
};

const FORMATS: [ShardFormat; 2] = [ShardFormat::Safetensors, ShardFormat::Webdataset];

/// All frames of a video, `[1, 3, t, h, w]`.
fn clip(bench: &Bench, name: &str) -> Tensor {
    let mut reader = VideoReader::open(&Ffmpeg::locate().unwrap(), bench.path(name)).unwrap();
    to_model_range(&reader.next_frames(1000).unwrap().unwrap())
}

/// Writes a frame, uint8 `[h, w, 3]`, as a PNG file.
fn save_png(path: &Path, frame: &Tensor) {
    let size = frame.size();
    let pixels = Vec::<u8>::try_from(frame.flatten(0, -1)).unwrap();
    image::save_buffer(path, &pixels, size[1] as u32, size[0] as u32, image::ExtendedColorType::Rgb8).unwrap();
}

fn encode(tokenizer: &Tokenizer, clip: &Tensor) -> Encoded {
    let window = (!tokenizer.config().model.causality.is_causal()).then_some(Window::PUBLISHED);
    tokenizer.encode(clip, EncodeOptions { seed: None, window }).unwrap()
}

#[test]
fn shards_hold_exactly_what_the_model_encodes() {
    let bench = Bench::new();
    for (config, causality) in [("tiny_fsq", "v1.0"), ("tiny_fsq", "noncausal"), ("tiny_kl", "v1.1")] {
        let tokenizer = model(config, causality);
        for format in FORMATS {
            let out = format!("{config} {causality} {format:?}");
            let (summary, skipped) = run(&tokenizer, &bench.options(&out, format)).unwrap();
            assert_eq!((summary.meter.videos, summary.meter.frames, summary.finished, skipped.len()), (4, 36, 2, 0));
            let found = contents(&bench.path(&out));
            let keys: Vec<&str> = found.iter().map(|(entry, _)| entry.key.as_str()).collect();
            assert_eq!(keys, ["a", "b_c", "more/d_v2", "more/e"], "{out}");
            for (entry, tensors) in found {
                let clip = clip(&bench, &format!("videos/{}", entry.path));
                let encoded = encode(&tokenizer, &clip);
                assert_eq!(entry.padding, encoded.padding);
                assert_eq!([entry.frames, entry.size[0], entry.size[1]], clip.size()[2..]);
                match &encoded.indices {
                    Some(indices) => assert!(tensors["indices"].equal(&indices.squeeze_dim(0)), "{out} {}", entry.key),
                    None => {
                        for (name, tensor) in [("mean", &encoded.latent), ("logvar", encoded.logvar.as_ref().unwrap())]
                        {
                            let stored = tensor.to_kind(Kind::Half).squeeze_dim(0);
                            assert!(tensors[name].equal(&stored), "{out} {} {name}", entry.key);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_range_of_latent_frames_is_read_as_part_of_the_whole() {
    let bench = Bench::new();
    for config in ["tiny_fsq", "tiny_kl"] {
        run(&model(config, "v1.0"), &bench.options(config, ShardFormat::Webdataset)).unwrap();
        let dataset = Dataset::open(bench.path(config)).unwrap();
        for path in shards(bench.path(config), &dataset).unwrap() {
            let shard = Shard::open(&path, dataset.latent).unwrap();
            for (index, entry) in shard.videos().enumerate() {
                let read = |start, count| match shard.tokens(index, start, count).unwrap() {
                    Tokens::Indices(indices) => vec![indices.unsqueeze(1)],
                    Tokens::Moments { mean, logvar } => vec![mean, logvar],
                };
                let t = entry.tokens[0];
                let whole = read(0, t);
                for (start, count) in [(0, 1), (t - 1, 1), (t / 2, t - t / 2)] {
                    for (part, whole) in read(start, count).iter().zip(&whole) {
                        assert!(part.equal(&whole.narrow(2, start, count)), "{} {start}", entry.key);
                    }
                }
                assert!(shard.tokens(index, t, 1).is_err() && shard.tokens(index, 0, t + 1).is_err());
            }
        }
    }
}

#[test]
fn the_manifest_adds_up_what_the_shards_hold() {
    let bench = Bench::new();
    for (config, bits) in [("tiny_fsq", 9.0), ("tiny_kl", 2.0 * 4.0 * 16.0)] {
        let tokenizer = model(config, "v1.0");
        let (summary, _) = run(&tokenizer, &bench.options(config, ShardFormat::Safetensors)).unwrap();
        let manifest = Manifest::open(bench.path(config)).unwrap();
        assert_eq!(summary.manifest.as_ref(), Some(&manifest));
        let found = contents(&bench.path(config));
        let totals = &manifest.totals;
        let tokens: i64 = found.iter().map(|(entry, _)| entry.tokens.iter().product::<i64>()).sum();
        assert_eq!((totals.videos, totals.frames, totals.tokens), (4, 36, tokens as u64));
        assert!((totals.seconds - 3.6).abs() < 1e-9);
        assert!((manifest.tokens_per_second - tokens as f64 / 3.6).abs() < 1e-6);
        // Each video's last byte is padded.
        let stored = tokens as f64 * bits / 8.0;
        assert!((stored..stored + 4.0).contains(&(totals.token_bytes as f64)), "{stored} {}", totals.token_bytes);
        let sources: u64 =
            found.iter().map(|(entry, _)| bench.path("videos").join(&entry.path).metadata().unwrap().len()).sum();
        assert_eq!(totals.source_bytes, sources);
        // The frames and sizes of the bench's videos.
        let pixels = 9 * 16 * 24 + 17 * 31 + 20 * 16 * 16 + 6 * 20 * 16;
        assert_eq!(totals.source_pixels, pixels);
        assert!((manifest.source_bits_per_pixel - 8.0 * sources as f64 / pixels as f64).abs() < 1e-9);
        let bytes: u64 = manifest.shards.iter().map(|shard| shard.bytes).sum();
        assert_eq!((totals.shard_bytes, manifest.shards.iter().map(|shard| shard.videos).sum()), (bytes, 4));

        let latents: Vec<Tensor> = found
            .iter()
            .map(|(_, tensors)| match tensors.get("mean") {
                Some(mean) => mean.flatten(1, -1),
                None => tokenizer
                    .quantizer()
                    .indices_to_codes(&tensors["indices"].unsqueeze(0))
                    .unwrap()
                    .squeeze_dim(0)
                    .flatten(1, -1),
            })
            .collect();
        let all = Tensor::cat(&latents, 1).to_kind(Kind::Double);
        let expect = |found: &[f64], tensor: Tensor| {
            let expected = Vec::<f64>::try_from(tensor).unwrap();
            assert_eq!(found.len(), expected.len());
            assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?} {expected:?}");
        };
        expect(&manifest.latent.mean, all.mean_dim(1, false, Kind::Double));
        expect(&manifest.latent.std, all.std_dim(1, false, false));

        let codes = manifest.codes.as_ref().map(|codes| (codes.size, codes.used));
        let used = found.iter().filter_map(|(_, tensors)| tensors.get("indices").map(|indices| indices.flatten(0, -1)));
        let used: Vec<Tensor> = used.collect();
        let expected = (!used.is_empty()).then(|| {
            let (distinct, ..) = Tensor::cat(&used, 0).unique_dim(0, true, false, false);
            (512, distinct.numel())
        });
        assert_eq!(codes, expected);
        assert_eq!(bench.path(config).join("codes.safetensors").exists(), codes.is_some());
    }
}

#[test]
fn new_videos_are_tokenized_into_new_shards_and_finished_shards_stay() {
    let bench = Bench::new();
    let tokenizer = model("tiny_fsq", "v1.0");
    let options = bench.options("tokens", ShardFormat::Webdataset);
    run(&tokenizer, &options).unwrap();
    let before = files(&options.out.join("shards"));
    assert_eq!(run(&tokenizer, &options).unwrap().0.meter.videos, 0);
    bench.video("videos/0 first by name.mkv", 3, [16, 16]);
    let (summary, _) = run(&tokenizer, &options).unwrap();
    assert_eq!((summary.meter.videos, summary.shards, summary.finished), (1, 3, 3));
    let after = files(&options.out.join("shards"));
    assert!(after.len() == 3 && before.iter().all(|(path, bytes)| after[path] == *bytes));
    assert_eq!(Manifest::open(&options.out).unwrap().totals.videos, 5);
    // No other files remain.
    let left: Vec<_> = files(&options.out).into_keys().filter(|path| path.starts_with("parts")).collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(fs::read_dir(options.out.join("claims")).unwrap().count(), 1);
}

#[test]
fn unusable_videos_are_skipped_listed_and_retried_once_they_have_changed() {
    let bench = Bench::new();
    fs::write(bench.path("videos/bad.mp4"), "no video").unwrap();
    let tokenizer = model("tiny_fsq", "v1.0");
    let mut options = bench.options("tokens", ShardFormat::Safetensors);
    options.preparation = Preparation { shorter_side: None, crop: Some([16, 16]), ..Preparation::default() };
    bench.video("videos/small.mkv", 2, [8, 8]);
    let (summary, skipped) = run(&tokenizer, &options).unwrap();
    assert_eq!((summary.meter.videos, summary.manifest.unwrap().totals.skipped), (4, 2));
    assert!(skipped["small.mkv"].contains("8x8") && skipped["small.mkv"].contains("16x16"), "{skipped:?}");
    let lines = || fs::read_to_string(options.out.join("skipped.jsonl")).unwrap();
    assert!(lines().lines().count() == 2 && lines().contains("bad.mp4"), "{}", lines());

    let (summary, skipped) = run(&tokenizer, &options).unwrap();
    assert_eq!((summary.meter.videos, summary.shards, skipped.len()), (0, 2, 0));
    bench.video("videos/bad.mkv", 5, [16, 16]);
    fs::rename(bench.path("videos/bad.mkv"), bench.path("videos/bad.mp4")).unwrap();
    let (summary, skipped) = run(&tokenizer, &options).unwrap();
    assert_eq!((summary.meter.videos, summary.shards, skipped.len()), (1, 3, 0));
    options.retry = true;
    let (summary, skipped) = run(&tokenizer, &options).unwrap();
    // A shard without videos has no file.
    assert_eq!((summary.meter.videos, summary.finished, skipped.len()), (0, 4, 1));
    assert_eq!(summary.manifest.unwrap().shards[3].file, None);
    assert_eq!(contents(&options.out).iter().filter(|(entry, _)| entry.key == "bad").count(), 1);
}

#[test]
fn videos_whose_names_are_not_utf8_are_skipped_and_counted() {
    let bench = Bench::new();
    for name in [&b"videos/bad\xff.mkv"[..], b"videos/bad\xfe.mkv"] {
        fs::copy(bench.path("videos/a.mkv"), bench.folder.path().join(OsStr::from_bytes(name))).unwrap();
    }
    let tokenizer = model("tiny_fsq", "v1.0");
    let options = bench.options("tokens", ShardFormat::Safetensors);
    for run_number in 1..=2 {
        let (summary, skipped) = run(&tokenizer, &options).unwrap();
        let totals = summary.manifest.unwrap().totals;
        assert_eq!((totals.videos, totals.skipped), (4, 2));
        assert_eq!(skipped.len(), if run_number == 1 { 2 } else { 0 });
        let lines = fs::read_to_string(options.out.join("skipped.jsonl")).unwrap();
        for name in [r"bad\\xff.mkv", r"bad\\xfe.mkv"] {
            assert_eq!(lines.matches(name).count(), 1, "{lines}");
        }
        assert_eq!(lines.matches("not UTF-8").count(), 2, "{lines}");
    }
}

#[test]
fn a_folder_that_disappears_is_an_error_and_no_video_is_skipped() {
    let bench = Bench::new();
    let tokenizer = model("tiny_fsq", "v1.0");
    let whole = bench.options("whole", ShardFormat::Safetensors);
    run(&tokenizer, &whole).unwrap();
    for drive in ["gone", "empty"] {
        let mut options = bench.options(drive, ShardFormat::Safetensors);
        (options.shard_videos, options.decoders) = (1, 1);
        options.preparation.input.retry.pauses = vec![Duration::ZERO; 2];
        let (videos, away) = (bench.path("videos"), bench.path("away"));
        let ended = tokenize(&tokenizer, &options, &mut |event| match event {
            TokenizeProgress::Video { path: "a.mkv", .. } => {
                fs::rename(&videos, &away).unwrap();
                if drive == "empty" {
                    fs::create_dir(&videos).unwrap();
                }
            }
            TokenizeProgress::Skipped { path, reason } => panic!("{path}: {reason}"),
            _ => {}
        });
        let error = ended.unwrap_err();
        assert!(matches!(error, TokenizeError::Video(VideoError::Unreachable { .. })), "{error:?}");
        assert!(error.to_string().contains("cannot be reached: "), "{error}");
        assert!(!options.out.join("manifest.json").exists());
        assert_eq!(fs::read_to_string(options.out.join("skipped.jsonl")).unwrap_or_default(), "");
        let _ = fs::remove_dir(&videos);
        fs::rename(&away, &videos).unwrap();
        let (summary, _) = run(&tokenizer, &options).unwrap();
        let totals = summary.manifest.unwrap().totals;
        assert_eq!((totals.videos, totals.skipped), (4, 0));
        let tokens = |folder| contents(folder).into_iter().map(|(entry, tensors)| (entry.key, tensors));
        for ((key, a), (other, b)) in tokens(&options.out).zip(tokens(&whole.out)) {
            assert!(key == other && a["indices"].equal(&b["indices"]), "{key} {other}");
        }
    }
}

#[test]
fn a_folder_of_frames_has_the_tokens_of_the_video_and_the_requested_rate() {
    let bench = Bench::new();
    let frames = to_frames(&clip(&bench, "videos/a.mkv"));
    fs::create_dir(bench.path("videos/frames")).unwrap();
    for i in 0..frames.size()[0] {
        save_png(&bench.path(&format!("videos/frames/{:06}.png", i + 1)), &frames.get(i));
    }
    fs::write(bench.path("videos/notes.txt"), "").unwrap();
    let tokenizer = model("tiny_fsq", "v1.0");
    let mut options = bench.options("tokens", ShardFormat::Safetensors);
    options.preparation.input.frame_rate = "12".parse().unwrap();
    let mut left_out = String::new();
    tokenize(&tokenizer, &options, &mut |event| {
        if let TokenizeProgress::LeftOut(what) = event {
            left_out = what.to_string();
        }
    })
    .unwrap();
    assert_eq!(left_out, "left out: 1 file (.txt 1)");
    let found = contents(&options.out);
    let of = |key: &str| found.iter().find(|(entry, _)| entry.key == key).unwrap();
    let ((video, tokens), (images, same)) = (of("a"), of("frames"));
    assert!(tokens["indices"].equal(&same["indices"]));
    assert_eq!((images.frames, images.size, images.fps.to_string().as_str()), (video.frames, video.size, "12"));
    let bytes: u64 =
        fs::read_dir(bench.path("videos/frames")).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert_eq!(images.source.bytes, bytes);
    // Another rate needs another dataset. A single folder of frames can be a dataset too.
    let error = run(&tokenizer, &bench.options("tokens", ShardFormat::Safetensors)).unwrap_err().to_string();
    assert!(error.contains("frame_rate"), "{error}");
    let mut alone = bench.options("alone", ShardFormat::Safetensors);
    alone.data = bench.path("videos/frames");
    run(&tokenizer, &alone).unwrap();
    assert_eq!(contents(&alone.out)[0].0.path, "frames");
}

#[test]
fn frames_are_sampled_resized_and_cropped_as_requested() {
    let bench = Bench::new();
    let tokenizer = model("tiny_kl", "v1.0");
    let mut options = bench.options("tokens", ShardFormat::Safetensors);
    options.preparation =
        Preparation { sample_fps: Some(5.0), shorter_side: Some(12), crop: Some([12, 8]), ..Preparation::default() };
    options.latents = NumberType::Bf16;
    run(&tokenizer, &options).unwrap();
    let found = contents(&options.out);
    assert_eq!(found.iter().map(|(entry, _)| entry.frames).collect::<Vec<_>>(), [5, 1, 10, 3]);
    for (entry, tensors) in found {
        assert_eq!((entry.size, entry.fps.to_string().as_str()), ([12, 8], "5"));
        assert_eq!(tensors["mean"].kind(), Kind::BFloat16);
        assert_eq!(entry.source.fps.to_string(), "10");
    }
}

#[test]
fn other_settings_and_other_weights_are_refused_in_one_line() {
    let bench = Bench::new();
    let (tokenizer, other) = (model("tiny_kl", "v1.0"), model("tiny_kl", "v1.1"));
    let options = bench.options("tokens", ShardFormat::Safetensors);
    run(&tokenizer, &options).unwrap();
    let before = files(&options.out);
    let mut changed = Vec::new();
    for change in ["fps", "shorter_side", "crop", "reading.hdr", "reading.interlaced", "shards", "latent.dtype"] {
        let mut options = options.clone();
        match change {
            "fps" => options.preparation.sample_fps = Some(5.0),
            "shorter_side" => options.preparation.shorter_side = Some(8),
            "crop" => options.preparation.crop = Some([8, 8]),
            "reading.hdr" => options.preparation.input.read.hdr = Hdr::Keep,
            "reading.interlaced" => options.preparation.input.read.deinterlace = true,
            "shards" => options.format = ShardFormat::Webdataset,
            _ => options.latents = NumberType::Bf16,
        }
        changed.push((change, run(&tokenizer, &options).unwrap_err()));
    }
    changed.push(("model.model.causality", run(&other, &options).unwrap_err()));
    let back = DetokenizeOptions {
        data: options.out.clone(),
        out: bench.path("back"),
        only: vec![],
        max_memory: 4 << 30,
        write: WriteOptions::default(),
        stop: std::sync::Arc::default(),
    };
    let reseeded = Tokenizer::init(tokenizer.config().clone(), 1, Device::Cpu).unwrap();
    changed.push(("sha256", detokenize(&reseeded, &back, &mut |_, _| ()).unwrap_err()));
    for (what, error) in changed {
        let error = error.to_string();
        assert!(error.contains(what) && error.contains("tokens") && !error.contains('\n'), "{what}: {error}");
    }
    assert_eq!(files(&options.out), before);
    let bf16 = run(&tokenizer, &{
        let mut options = bench.options("bf16", ShardFormat::Webdataset);
        options.latents = NumberType::Bf16;
        options
    });
    assert!(matches!(bf16.unwrap_err(), TokenizeError::Setting { .. }));
    let absent = DetokenizeOptions { data: bench.path("videos"), ..back };
    assert!(detokenize(&tokenizer, &absent, &mut |_, _| ()).unwrap_err().to_string().contains("dataset.json"));
}

#[test]
fn detokenize_writes_the_videos_that_the_model_decodes() {
    let bench = Bench::new();
    for (config, causality) in [("tiny_fsq", "v1.1"), ("tiny_kl", "noncausal")] {
        let tokenizer = model(config, causality);
        run(&tokenizer, &bench.options(config, ShardFormat::Safetensors)).unwrap();
        let mut options = DetokenizeOptions {
            data: bench.path(config),
            out: bench.path("back"),
            only: vec!["more/*".to_owned(), "a.mkv".to_owned()],
            max_memory: 4 << 30,
            write: WriteOptions::default(),
            stop: std::sync::Arc::default(),
        };
        assert_eq!(detokenize(&tokenizer, &options, &mut |_, _| ()).unwrap(), 3);
        assert!(!bench.path("back/b_c.mp4").exists());
        for (video, back) in [("a", "a"), ("more/d.v2", "more/d_v2"), ("more/e", "more/e")] {
            let input = clip(&bench, &format!("videos/{video}.mkv"));
            let encoded = encode(&tokenizer, &input);
            // The rounding of stored moments, which leaves codes unchanged.
            let latent = encoded.latent.to_kind(Kind::Half).to_kind(Kind::Float);
            let decoded = tokenizer.decode(&Encoded { latent, ..encoded }).unwrap();
            bench.write("expected.mp4", &to_frames(&decoded), VideoQuality::default());
            let off = clip(&bench, &format!("back/{back}.mp4")) - clip(&bench, "expected.mp4");
            let off = off.abs().mean(Kind::Float).double_value(&[]);
            assert!(off < 1e-4, "{video}: {off}");
        }
        options.only = vec!["nobody".to_owned()];
        let error = detokenize(&tokenizer, &options, &mut |_, _| ()).unwrap_err().to_string();
        assert!(error.contains("nobody"), "{error}");
    }
}

#[test]
fn errors_about_damaged_shards_name_the_file() {
    let bench = Bench::new();
    for format in FORMATS {
        let out = format!("{format:?}");
        run(&model("tiny_kl", "v1.0"), &bench.options(&out, format)).unwrap();
        let dataset = Dataset::open(bench.path(&out)).unwrap();
        let path = shards(bench.path(&out), &dataset).unwrap().remove(0);
        let whole = fs::read(&path).unwrap();
        for length in [0, 7, 100, whole.len() / 2] {
            fs::write(&path, &whole[..length]).unwrap();
            let error = Shard::open(&path, dataset.latent).unwrap_err().to_string();
            assert!(error.contains("shard-000000") && !error.contains('\n'), "{length}: {error}");
        }
        // The size of the first video becomes negative.
        let size = whole.windows(7).position(|bytes| bytes == b"[16,24]").unwrap();
        let mut negative = whole.clone();
        negative[size + 1] = b'-';
        fs::write(&path, negative).unwrap();
        let error = Shard::open(&path, dataset.latent).unwrap_err().to_string();
        assert!(error.contains("shard-000000") && error.contains("are invalid"), "{error}");
        let other = vidtok_tokenize::Latent::Indices { codes: 512, bits: 9 };
        fs::write(&path, &whole).unwrap();
        assert!(Shard::open(&path, other).is_err());
    }
}

#[test]
fn pixels_keep_their_aspect_ratio_and_odd_sizes_become_even_on_request() {
    let bench = Bench::new();
    fs::remove_dir_all(bench.path("videos/more")).unwrap();
    let timeline = Timeline::even("10".parse().unwrap()).with_pixel_aspect("16:11".parse().unwrap());
    let (ffmpeg, wide) = (Ffmpeg::locate().unwrap(), bench.path("videos/a.mkv"));
    let mut writer =
        VideoWriter::with_timeline(&ffmpeg, Destination::File(wide), [16, 24], &timeline, VideoQuality::Lossless)
            .unwrap();
    writer.write(&Tensor::zeros([2, 16, 24, 3], (Kind::Uint8, Device::Cpu))).unwrap();
    writer.finish().unwrap();

    let tokenizer = model("tiny_fsq", "v1.0");
    run(&tokenizer, &bench.options("tokens", ShardFormat::Safetensors)).unwrap();
    let shapes: Vec<_> = contents(&bench.path("tokens")).iter().map(|(entry, _)| entry.pixel_aspect).collect();
    let shape = |video: &str| {
        let video = VideoReader::open(&ffmpeg, bench.path(video)).unwrap();
        (video.timeline().unwrap().pixel_aspect().to_string(), [video.info().height, video.info().width])
    };
    // Matroska rounds the display width.
    assert_eq!(shapes[0].to_string(), shape("videos/a.mkv").0);
    assert!(!shapes[0].is_square() && shapes[1].is_square(), "{shapes:?}");
    for (player_friendly, size, count) in [(false, [17, 31], 1), (true, [18, 32], 0)] {
        let options = DetokenizeOptions {
            data: bench.path("tokens"),
            out: bench.path("back"),
            only: vec![],
            max_memory: 4 << 30,
            write: WriteOptions { player_friendly, ..WriteOptions::default() },
            stop: std::sync::Arc::default(),
        };
        let mut notices = Vec::new();
        detokenize(&tokenizer, &options, &mut |_, new: &[Notice]| notices.extend_from_slice(new)).unwrap();
        assert_eq!(notices, vec![Notice::FullChroma([17, 31]); count]);
        assert_eq!(shape("back/a.mp4"), (shapes[0].to_string(), [16, 24]));
        assert_eq!(shape("back/b_c.mp4"), ("1:1".to_owned(), size));
    }
}
