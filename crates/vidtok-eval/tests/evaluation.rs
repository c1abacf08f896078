//! Evaluations of small videos by baselines.

#![allow(clippy::unwrap_used)] // a failure here is what the test is for

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tch::{CModule, Device, Kind, Tensor};
use vidtok_core::{Codec, CodecError, FrameRate, FrameSink, Reconstructed, Reconstructor};
use vidtok_data::{Ffmpeg, Hdr, ReadOptions, VideoQuality, VideoWriter, find_videos};
use vidtok_eval::{
    Downsample, EvalError, EvaluateOptions, Evaluation, EvaluationProgress, H264, Identity, Jpeg, MetricKind, Protocol,
    SkippedVideo, TorchScript, evaluate,
};

/// Moving waves, uint8 `[t, 32, 48, 3]`.
fn frames(t: i64, speed: f64) -> Tensor {
    let axis = |n: i64, shape: [i64; 4]| Tensor::arange(n, (Kind::Float, Device::Cpu)).view(shape);
    let phase = axis(48, [1, 1, 48, 1]) * 0.3 + axis(32, [1, 32, 1, 1]) * 0.2 + axis(t, [t, 1, 1, 1]) * speed;
    let waves = (phase + axis(3, [1, 1, 1, 3])).sin() * 100.0 + 128.0;
    waves.round().to_kind(Kind::Uint8)
}

/// Writes two videos, of 20 and of 34 frames.
fn videos(folder: &Path) -> Vec<PathBuf> {
    let ffmpeg = Ffmpeg::locate().unwrap();
    for (name, t, speed) in [("a.mkv", 20, 0.1), ("b.mkv", 34, 0.4)] {
        let rate = FrameRate::new(30, 1).unwrap();
        let mut writer =
            VideoWriter::create(&ffmpeg, folder.join(name), [32, 48], rate, VideoQuality::Lossless).unwrap();
        writer.write(&frames(t, speed)).unwrap();
        writer.finish().unwrap();
    }
    find_videos(folder).unwrap().videos
}

fn protocol() -> Protocol {
    let metrics = vec![MetricKind::Psnr, MetricKind::Ssim, MetricKind::Flicker, MetricKind::Seam];
    Protocol { size: [32, 32], metrics, ..Protocol::default() }
}

struct Case {
    folder: tempfile::TempDir,
    videos: Vec<PathBuf>,
}

impl Case {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let videos = videos(folder.path());
        Self { folder, videos }
    }

    fn options(&self, out: &str, batch: usize) -> EvaluateOptions {
        EvaluateOptions { out: self.folder.path().join(out), batch, players: batch == 1, stop: Arc::default() }
    }

    fn run(
        &self,
        codecs: &[Box<dyn Codec>],
        protocol: &Protocol,
        out: &str,
        batch: usize,
    ) -> Result<Evaluation, EvalError> {
        let options = self.options(out, batch);
        let evaluation =
            evaluate(codecs, self.folder.path(), &self.videos, protocol, Device::Cpu, &options, &mut |_| ())?;
        evaluation.write(&options.out)?;
        evaluation.page(&options.out)?.save(options.out.join("report.html"))?;
        Ok(evaluation)
    }
}

fn total(evaluation: &Evaluation, codec: usize, metric: &str) -> f64 {
    evaluation.codecs[codec].metrics[metric].unwrap()
}

#[test]
fn baselines_rank_by_how_much_they_lose() {
    let codecs: [Box<dyn Codec>; 6] = [
        Box::new(Identity),
        Box::new(Jpeg::new(90).unwrap()),
        Box::new(Jpeg::new(10).unwrap()),
        Box::new(H264::new(2000).unwrap()),
        Box::new(Downsample::new(1, 2).unwrap()),
        Box::new(Downsample::new(4, 2).unwrap()),
    ];
    let evaluation = Case::new().run(&codecs, &protocol(), "out", 1).unwrap();
    let psnr: Vec<f64> = (0..6).map(|codec| total(&evaluation, codec, "psnr")).collect();
    assert!((psnr[0] - 80.0).abs() < 1e-3 && total(&evaluation, 0, "seam") == 1.0);
    assert!(total(&evaluation, 0, "flicker") < 1e-9);
    assert!(psnr[1] > psnr[2] + 3.0 && psnr[4] > psnr[5] + 3.0 && psnr[3] > 20.0, "{psnr:?}");
    let bits = |codec: usize| evaluation.codecs[codec].bits_per_pixel;
    assert!(bits(0).is_none() && bits(1) > bits(2) && bits(3).unwrap() > 0.0);
    // Both 20 and 34 frames are two windows of 17.
    assert_eq!((evaluation.codecs[0].windows, evaluation.codecs[0].frames), (4, 54));
    assert_eq!(evaluation.codecs[0].repeated_frames, 14);
}

#[test]
fn a_second_run_reuses_results_and_the_files_hold_all_numbers() {
    let mut case = Case::new();
    let codecs: [Box<dyn Codec>; 1] = [Box::new(Jpeg::new(50).unwrap())];
    case.run(&codecs, &protocol(), "out", 1).unwrap();
    let read = |name: &str| fs::read_to_string(case.folder.path().join("out").join(name)).unwrap();
    let first = read("evaluation.json");
    // Seconds would differ if anything was measured again.
    case.run(&codecs, &protocol(), "out", 1).unwrap();
    assert_eq!(read("evaluation.json"), first);
    let table = read("videos.csv");
    assert!(table.starts_with("codec,video,frames,fps,bits_per_pixel,psnr,ssim,flicker,seam\njpeg:50,a.mkv,20,30,"));
    assert_eq!(table.lines().count(), 3);
    assert!(first.contains("\"sample_fps\": 30.0") && first.contains("-10 log10(mse + 1e-8)"));
    assert!(read("report.html").contains("player-0-1"));
    // A video that is added is measured; one that cannot be read is skipped.
    fs::write(case.folder.path().join("c.mp4"), "no video").unwrap();
    // Players of the first run are not inputs.
    case.videos = find_videos(case.folder.path()).unwrap().videos;
    assert!(case.videos.iter().any(|path| path.starts_with(case.folder.path().join("out"))));
    let evaluation = case.run(&codecs, &protocol(), "out", 1).unwrap();
    assert_eq!((evaluation.stamp.videos, evaluation.skipped.len()), (2, 1));
    assert_eq!((evaluation.asked, evaluation.measured, evaluation.is_complete()), (3, 2, false));
    assert_eq!((evaluation.skipped[0].video.as_str(), &evaluation.skipped[0].codec), ("c.mp4", &None));
}

/// Reconstructs NaN from its third clip on.
#[derive(Debug, Default)]
struct NanLater(Cell<usize>);

#[derive(Debug)]
struct Times(f64);

impl Codec for NanLater {
    fn name(&self) -> &str {
        "nan"
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn window(&self) -> usize {
        17
    }

    fn start(&self, _clip: [i64; 3], _frame_rate: FrameRate) -> Box<dyn Reconstructor + '_> {
        self.0.set(self.0.get() + 1);
        Box::new(Times(if self.0.get() > 2 { f64::NAN } else { 1.0 }))
    }
}

impl Reconstructor for Times {
    fn push(&mut self, frames: &Tensor) -> Result<Option<Reconstructed>, CodecError> {
        let reconstruction = frames * self.0;
        Ok(Some(Reconstructed { input: frames.shallow_clone(), reconstruction, indices: None, bits: None }))
    }
}

#[test]
fn a_video_on_which_one_codec_fails_is_skipped_for_all_codecs_and_reported_everywhere() {
    let case = Case::new();
    let codecs: [Box<dyn Codec>; 2] = [Box::new(Jpeg::new(50).unwrap()), Box::new(NanLater::default())];
    let evaluation = case.run(&codecs, &protocol(), "out", 1).unwrap();
    let reason = "the reconstruction contains NaN or infinity".to_owned();
    assert_eq!(evaluation.skipped, [SkippedVideo { video: "b.mkv".into(), codec: Some("nan".into()), reason }]);
    for codec in &evaluation.codecs {
        assert_eq!((codec.videos.len(), codec.frames), (1, 20), "{}", codec.name);
    }
    let alone: [Box<dyn Codec>; 1] = [Box::new(Jpeg::new(50).unwrap())];
    let first = Case { folder: tempfile::tempdir().unwrap(), videos: case.videos[..1].to_vec() };
    let expected = total(&first.run(&alone, &protocol(), "out", 1).unwrap(), 0, "psnr");
    assert!((total(&evaluation, 0, "psnr") - expected).abs() < 1e-12);

    assert_eq!(
        evaluation.remarks()[..2],
        [
            "only 1 of 2 videos were measured; the numbers do not include the others",
            "skipped: b.mkv: nan: the reconstruction contains NaN or infinity"
        ]
    );
    let read = |name: &str| fs::read_to_string(case.folder.path().join("out").join(name)).unwrap();
    let json: serde_json::Value = serde_json::from_str(&read("evaluation.json")).unwrap();
    assert_eq!((&json["asked"], &json["measured"]), (&2.into(), &1.into()));
    assert_eq!(json["unmeasured"][0]["codec"], "nan");
    let table = read("videos.csv");
    let rows: Vec<&str> = table.lines().filter(|line| line.contains("b.mkv")).collect();
    assert_eq!(rows, ["jpeg:50,b.mkv,,,,,,,", "nan,b.mkv,,,,,,,"]);
    assert!(read("report.html").contains("Reconstruction of only 1 of 2 videos"));

    // Without any measured video there are no results.
    let error = case.run(&codecs[1..], &protocol(), "none", 1).unwrap_err().to_string();
    assert!(error.starts_with("none of the 2 videos could be measured") && error.contains("NaN"), "{error}");
    assert!(!case.folder.path().join("none/evaluation.json").exists());
}

#[test]
fn a_stopped_evaluation_is_an_error_that_blames_no_video() {
    let case = Case::new();
    let codecs: [Box<dyn Codec>; 1] = [Box::new(Identity)];
    let options = case.options("out", 1);
    options.stop.store(true, Ordering::Relaxed);
    let told = &mut |progress: EvaluationProgress<'_>| assert!(!matches!(progress, EvaluationProgress::Skipped(_)));
    let result = evaluate(&codecs, case.folder.path(), &case.videos, &protocol(), Device::Cpu, &options, told);
    assert!(matches!(result, Err(EvalError::Stopped)), "{result:?}");
}

#[test]
fn unreachable_videos_end_the_evaluation_and_the_next_one_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let [data, away, out] = ["data", "away", "out"].map(|name| folder.path().join(name));
    fs::create_dir(&data).unwrap();
    let videos = videos(&data);
    let options = EvaluateOptions { out, batch: 1, players: false, stop: Arc::default() };
    let codecs: [Box<dyn Codec>; 1] = [Box::new(Identity)];
    let run = |tell: &mut dyn FnMut(EvaluationProgress<'_>)| {
        evaluate(&codecs, &data, &videos, &protocol(), Device::Cpu, &options, tell)
    };
    let error = run(&mut |event| match event {
        EvaluationProgress::Video { video: "b.mkv", .. } => fs::rename(&data, &away).unwrap(),
        EvaluationProgress::Skipped(video) => panic!("{video:?}"),
        _ => {}
    });
    let error = error.unwrap_err().to_string();
    assert!(error.contains("b.mkv: cannot be reached"), "{error}");
    fs::rename(&away, &data).unwrap();
    let evaluation = run(&mut |_| ()).unwrap();
    assert_eq!((evaluation.stamp.videos, evaluation.skipped.len()), (2, 0));
}

#[test]
fn the_batch_size_does_not_change_the_numbers() {
    let case = Case::new();
    let codecs: [Box<dyn Codec>; 1] = [Box::new(Downsample::new(2, 2).unwrap())];
    let [one, three] = [1, 3].map(|batch| case.run(&codecs, &protocol(), &format!("out{batch}"), batch).unwrap());
    for metric in ["psnr", "ssim", "flicker", "seam"] {
        let (a, b) = (total(&one, 0, metric), total(&three, 0, metric));
        assert!((a / b - 1.0).abs() < 1e-6, "{metric}: {a} {b}");
    }
}

#[test]
fn videos_coded_whole_have_no_repeated_frames() {
    let case = Case::new();
    let codecs: [Box<dyn Codec>; 2] = [Box::new(Identity), Box::new(Downsample::new(1, 2).unwrap())];
    let protocol = Protocol { long: true, ..protocol() };
    let evaluation = case.run(&codecs, &protocol, "out", 1).unwrap();
    let codec = &evaluation.codecs[1];
    assert_eq!((codec.frames, codec.repeated_frames, codec.windows, codec.window), (54, 0, 5, None));
}

#[test]
fn a_video_shorter_than_a_window_is_filled_with_its_last_frame_and_a_remark_says_so() {
    let mut case = Case::new();
    case.videos = case.videos.split_off(1);
    let codecs: [Box<dyn Codec>; 1] = [Box::new(Jpeg::new(50).unwrap())];
    let short = |max| Protocol { max_frames: Some(max), ..protocol() };
    let evaluation = case.run(&codecs, &short(5), "out", 1).unwrap();
    let codec = &evaluation.codecs[0];
    assert_eq!((codec.windows, codec.frames, codec.repeated_frames), (1, 5, 12));
    assert_eq!(codec.metrics["seam"], None);
    assert_eq!(
        evaluation.remarks(),
        ["the last window of a video is filled with copies of its last frame, which count (as published)"]
    );
    // The mean over 17 frames, 13 of them copies of the fifth.
    let alone = |from: usize, to: usize| {
        let frames = case.run(&codecs, &short(to), &format!("out{to}"), 1).unwrap();
        frames.codecs[0].videos[0].curves[&MetricKind::Psnr][from..to].iter().sum::<f64>()
    };
    let expected = (alone(0, 5) + 12.0 * alone(4, 5)) / 17.0;
    assert!((total(&evaluation, 0, "psnr") - expected).abs() < 1e-9, "{expected}");
}

#[test]
fn results_of_another_protocol_are_refused() {
    let case = Case::new();
    let codecs: [Box<dyn Codec>; 1] = [Box::new(Identity)];
    case.run(&codecs, &protocol(), "out", 1).unwrap();
    let keep = ReadOptions { hdr: Hdr::Keep, ..ReadOptions::default() };
    let deinterlaced = ReadOptions { deinterlace: true, ..ReadOptions::default() };
    for other in [
        Protocol { max_frames: Some(3), ..protocol() },
        Protocol { read: keep, ..protocol() },
        Protocol { read: deinterlaced, ..protocol() },
    ] {
        let error = case.run(&codecs, &other, "out", 1).unwrap_err().to_string();
        assert!(
            error.ends_with("holds an evaluation with another protocol (protocol.json); choose another folder"),
            "{error}"
        );
    }
    // How pixels are read depends on ffmpeg too.
    let claimed = case.folder.path().join("out/protocol.json");
    let text = fs::read_to_string(&claimed).unwrap();
    assert!(text.contains("203 cd/m2") && text.contains("BT.709 from 720 stored rows on"), "{text}");
    fs::write(&claimed, text.replace("203 cd/m2", "100 cd/m2")).unwrap();
    assert!(matches!(case.run(&codecs, &protocol(), "out", 1), Err(EvalError::OtherEvaluation { .. })));
    fs::write(&claimed, text).unwrap();
    let twice: [Box<dyn Codec>; 2] = [Box::new(Identity), Box::new(Identity)];
    assert!(matches!(case.run(&twice, &protocol(), "out", 1), Err(EvalError::SameName { .. })));
}

#[test]
fn frames_too_small_for_ssim_are_an_error_on_one_line() {
    let codecs: [Box<dyn Codec>; 1] = [Box::new(Identity)];
    let error = Case::new().run(&codecs, &Protocol { size: [10, 10], ..protocol() }, "out", 1).unwrap_err().to_string();
    assert!(error.starts_with("ssim: expected a video [b, c, t, h, w] with h and w of at least 11"), "{error}");
}

#[test]
fn a_torch_script_pair_is_a_codec() {
    let case = Case::new();
    let path = |name: &str| case.folder.path().join(name);
    let clip = Tensor::zeros([1, 3, 17, 32, 32], (Kind::Float, Device::Cpu));
    for (name, factor) in [("encoder.jit", 0.5), ("decoder.jit", 2.0)] {
        let mut scale = |inputs: &[Tensor]| vec![&inputs[0] * factor];
        let module = CModule::create_by_tracing("scale", "forward", &[clip.shallow_clone()], &mut scale).unwrap();
        module.save(path(name)).unwrap();
    }
    let pair = TorchScript::open(&path("encoder.jit"), &path("decoder.jit"), Device::Cpu, Kind::Float).unwrap();
    let codecs: [Box<dyn Codec>; 1] = [Box::new(pair)];
    let evaluation = case.run(&codecs, &protocol(), "out", 1).unwrap();
    assert!(total(&evaluation, 0, "psnr") > 79.0);
    fs::write(path("encoder.jit"), "no script").unwrap();
    let error = TorchScript::open(&path("encoder.jit"), &path("decoder.jit"), Device::Cpu, Kind::Float).unwrap_err();
    assert!(error.to_string().contains("encoder.jit: not a TorchScript file"), "{error}");
}
