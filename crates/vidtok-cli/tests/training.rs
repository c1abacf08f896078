//! Training runs that are killed, stopped, damaged and resumed.

#![allow(clippy::unwrap_used)] // a failure here is what the test is for

mod training_bench;

use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use training_bench::{TrainingBench, wait_until};
use vidtok_core::{FrameRate, FrameSink};
use vidtok_data::{Ffmpeg, Scene, VideoQuality, VideoWriter};
use vidtok_torch::TensorFile;

/// How often a run is killed before it may end.
const KILLS: usize = 5;

/// Two stages with everything that has a state: noise, discriminator, LeCAM, averages, a schedule.
const TRAIN: &str = r#"
[train]
seed = 3
batch_size = 2
accumulate = 2
ema_decay = 0.9
optimizer.lr = 1e-3
optimizer.weight_decay = 0.01
schedule.warmup_steps = 3
schedule.decay = "cosine"
validation = { every = 4, clips = 2 }
checkpoints = { every = 2, keep = 2 }
loss.gan.start = 2

[train.data]
scenes = 2
frames = 3
size = [32, 32]
random_crop = true
random_flip = true
workers = 2

[[train.stages]]
name = "whole-model"
steps = 9

[[train.stages]]
name = "decoder"
steps = 5
freeze_encoder = true
"#;

/// Starts a run in `out`, and waits until it can be resumed.
fn start_run(bench: &TrainingBench, out: &str) -> Child {
    bench.start(out, &[], "config.toml")
}

/// The bytes of all tensors in the models and checkpoints of a finished run, by file and name.
fn results(bench: &TrainingBench, run: &str) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for stage in ["whole-model", "decoder"] {
        let folder = bench.path(run).join("tiny_kl").join(stage);
        let states = fs::read_dir(folder.join("checkpoints")).unwrap().map(|entry| entry.unwrap().path());
        let models = ["model.safetensors", "model_ema.safetensors"].map(|name| folder.join(name));
        for path in states.chain(models) {
            let file = TensorFile::open(&path).unwrap();
            for (name, tensor) in file.tensors().unwrap() {
                let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
                tensor.copy_data_u8(&mut bytes, tensor.numel());
                all.insert(format!("{stage} {} {name}", path.file_name().unwrap().display()), bytes);
            }
        }
    }
    all
}

/// Kills a run several times at random moments, resumes it each time, and compares its results with those of an
/// uninterrupted run.
fn survives_kills(bench: &TrainingBench) {
    let start = Instant::now();
    bench.finish(&["--config", "tiny.toml", "--out", "whole"]);
    let duration = start.elapsed().as_secs_f64();
    let mut child = start_run(bench, "killed");
    let mut moments = Vec::new();
    for _ in 0..KILLS {
        // Short enough that the run has not finished, long enough for it to progress.
        let moment = chance() * duration * 0.6;
        moments.push(moment);
        std::thread::sleep(Duration::from_secs_f64(moment));
        if child.try_wait().unwrap().is_some() {
            // It finished earlier: start again.
            fs::remove_dir_all(bench.path("killed")).unwrap();
            child = start_run(bench, "killed");
        }
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        child = bench.train(&["--resume", "killed/tiny_kl"]).spawn().unwrap();
    }
    assert!(child.wait_with_output().unwrap().status.success());
    let (whole, killed) = (results(bench, "whole"), results(bench, "killed"));
    assert_eq!(whole.keys().collect::<Vec<_>>(), killed.keys().collect::<Vec<_>>());
    for (name, bytes) in &whole {
        assert!(*bytes == killed[name], "{name} differs after kills at {moments:?} s");
    }
    let lines = |run: &str| fs::read_to_string(bench.path(run).join("tiny_kl/whole-model/log.jsonl")).unwrap();
    assert_eq!(lines("whole").lines().count(), lines("killed").lines().count(), "a step is logged twice or never");
}

fn video(bench: &TrainingBench, name: &str, seed: u64) -> PathBuf {
    let path = bench.path(name);
    let (ffmpeg, rate) = (Ffmpeg::locate().unwrap(), FrameRate::new(25, 1).unwrap());
    let mut writer = VideoWriter::create(&ffmpeg, &path, [40, 56], rate, VideoQuality::default()).unwrap();
    let times: Vec<f64> = (0..20).map(|i| f64::from(i) / 25.0).collect();
    writer.write(&Scene::new(seed).frames(&times, [40, 56])).unwrap();
    writer.finish().unwrap();
    path
}

/// A random number in [0, 1), different in each run of the test.
fn chance() -> f64 {
    RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64
}

#[test]
fn a_run_killed_at_random_moments_ends_with_the_weights_of_an_uninterrupted_run() {
    survives_kills(&TrainingBench::new(TRAIN));
}

#[test]
fn a_killed_run_with_bad_videos_ends_with_the_weights_of_an_uninterrupted_run() {
    let bench = TrainingBench::new(&TRAIN.replace("scenes = 2", "folder = \"videos\"\ncache_mib = 0"));
    fs::create_dir(bench.path("videos")).unwrap();
    for seed in 0..3 {
        video(&bench, &format!("videos/good{seed}.mp4"), seed);
    }
    let cut = video(&bench, "videos/cut.mp4", 7);
    let bytes = fs::read(&cut).unwrap();
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    fs::write(bench.path("videos/text.mp4"), "no video").unwrap();
    let list = ["text.mp4", "good0.mp4", "cut.mp4", "good1.mp4", "absent.mp4", "good2.mp4"].join("\n");
    fs::write(bench.path("videos/clips.csv"), format!("videos\n{list}\n")).unwrap();
    survives_kills(&bench);
    let listed = fs::read_to_string(bench.path("whole/tiny_kl/whole-model/quarantine.jsonl")).unwrap();
    for bad in ["text.mp4", "cut.mp4", "absent.mp4"] {
        assert_eq!(listed.lines().filter(|line| line.contains(bad)).count(), 1, "{bad}: {listed}");
    }
    assert!(!listed.contains("good"), "{listed}");
}

/// Sends a signal to a run, and returns the last line that it prints.
fn stop_run(child: Child, signal: &str, status: i32) -> String {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{stderr}");
    stderr.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn a_stopped_run_saves_its_state_reports_it_by_its_status_and_resumes() {
    let bench = TrainingBench::new(&TRAIN.replace("steps = 9", "steps = 400"));
    for (signal, status) in [("-INT", 130), ("-TERM", 143)] {
        let out = format!("stopped{signal}");
        let mut child = start_run(&bench, &out);
        let stage = bench.path(&out).join("tiny_kl/whole-model");
        wait_until(&mut child, || fs::read_dir(stage.join("checkpoints")).map_or(0, Iterator::count) >= 2);
        let folder = format!("{out}/tiny_kl");
        assert_eq!(stop_run(child, signal, status), format!("stopped; to continue: vidtok train --resume {folder}"));
        let logged = || fs::metadata(stage.join("log.jsonl")).map_or(0, |log| log.len());
        let before = logged();
        let mut resumed = bench.train(&["--resume", &folder]).spawn().unwrap();
        wait_until(&mut resumed, || logged() > before);
        stop_run(resumed, signal, status);
    }
}

/// The line with which `vidtok train` fails.
fn refused(bench: &TrainingBench, arguments: &[&str]) -> String {
    let output = bench.train(arguments).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && stderr.lines().count() == 1, "{stderr}");
    stderr
}

#[test]
fn a_second_process_in_a_runs_folder_is_refused_until_the_first_has_exited() {
    let bench = TrainingBench::new(&TRAIN.replace("steps = 9", "steps = 400"));
    let mut first = start_run(&bench, "runs");
    let log = bench.path("runs/tiny_kl/whole-model/log.jsonl");
    let steps = || fs::read_to_string(&log).unwrap_or_default().matches("\"kind\":\"step\"").count();
    for more in [&[][..], &["--nproc", "2"]] {
        let line = refused(&bench, &[&["--resume", "runs/tiny_kl"], more].concat());
        assert!(line.starts_with("error: runs/tiny_kl: another process is training in this folder"), "{line}");
    }
    wait_until(&mut first, || steps() > 2);
    first.kill().unwrap();
    first.wait().unwrap();
    let mut second = bench.train(&["--resume", "runs/tiny_kl"]).spawn().unwrap();
    let before = steps();
    wait_until(&mut second, || steps() > before);
    stop_run(second, "-TERM", 143);
    let numbers: Vec<u64> = fs::read_to_string(&log)
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("{\"kind\":\"step\",\"step\":")?.split(',').next()?.parse().ok())
        .collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>(), "each step is logged once");
}

/// A program that acts as ffmpeg, but writes its process id to `stalled` and stalls while the file `stall` exists.
fn stalling_ffmpeg(bench: &TrainingBench) -> PathBuf {
    let path = bench.path("ffmpeg.sh");
    let program = Ffmpeg::locate().unwrap().program().display().to_string();
    let script = format!(
        "#!/bin/sh\n[ \"$1\" != -version ] && [ -e stall ] && {{ echo $$ > stalled; exec sleep 600; }}\n\
         exec '{program}' \"$@\"\n"
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_run_waiting_for_a_stalled_ffmpeg_stops_and_saves_its_state() {
    let bench = TrainingBench::new(
        &TRAIN.replace("scenes = 2", "folder = \"videos\"\ncache_mib = 0").replace("steps = 9", "steps = 400"),
    );
    fs::create_dir(bench.path("videos")).unwrap();
    video(&bench, "videos/a.mp4", 0);
    fs::write(bench.path("videos/clips.csv"), "videos\na.mp4\n").unwrap();
    let ffmpeg = stalling_ffmpeg(&bench);
    let start = |arguments: &[&str]| bench.train(arguments).env("VIDTOK_FFMPEG", &ffmpeg).spawn().unwrap();
    let stall = || fs::write(bench.path("stall"), "").unwrap();
    let release = || ["stall", "stalled"].map(|name| fs::remove_file(bench.path(name)).unwrap());

    stall();
    let mut child = start(&["--config", "tiny.toml"]);
    wait_until(&mut child, || bench.path("stalled").exists());
    let line = stop_run(child, "-INT", 130);
    assert_eq!(line, "stopped; to continue: vidtok train --resume runs/tiny_kl");
    release();

    let stage = bench.path("runs/tiny_kl/whole-model");
    let steps = || fs::read_to_string(stage.join("log.jsonl")).unwrap_or_default().matches("\"kind\":\"step\"").count();
    let mut child = start(&["--resume", "runs/tiny_kl"]);
    wait_until(&mut child, || steps() > 0);
    stall();
    wait_until(&mut child, || bench.path("stalled").exists());
    let ready = steps();
    stop_run(child, "-TERM", 143);
    assert!(steps() >= ready && stage.join(format!("checkpoints/step-{:08}.safetensors", steps())).exists());
    release();
    assert!(
        !stage.join("quarantine.jsonl").exists()
            || fs::read_to_string(stage.join("quarantine.jsonl")).unwrap().is_empty()
    );

    let before = steps();
    let mut child = start(&["--resume", "runs/tiny_kl"]);
    wait_until(&mut child, || steps() > before);
    stop_run(child, "-TERM", 143);
}

#[test]
fn a_finished_run_that_gets_more_steps_ends_with_the_weights_of_a_longer_run() {
    let constant = TRAIN.replace("schedule.decay = \"cosine\"\n", "").replace("steps = 9", "steps = 2");
    let bench = TrainingBench::new(&constant.replace("steps = 5", "steps = 4"));
    bench.finish(&["--config", "tiny.toml", "--out", "whole"]);
    let given = ["--config", "tiny.toml", "--out", "given", "--set", "train.stages.decoder.steps=2"];
    bench.finish(&given);
    let resume = ["--resume", "given/tiny_kl"];
    let (stdout, _) = bench.finish(&resume);
    let hint = "already done   for more steps: vidtok train --resume given/tiny_kl --set train.stages.decoder.steps=N";
    assert!(stdout.ends_with(&format!("{hint}\n")), "{stdout}");
    let line = refused(&bench, &[&resume[..], &["--set", "train.batch_size=4"]].concat());
    assert!(line.contains("only numbers of steps can be set"), "{line}");
    let (stdout, _) = bench.finish(&[&resume[..], &["--set", "train.stages.decoder.steps=4"]].concat());
    assert!(stdout.contains("resumes        after 2 steps") && !stdout.contains("already done"), "{stdout}");
    assert!(results(&bench, "whole") == results(&bench, "given"));
    let steps = |run: &str| {
        let log = fs::read_to_string(bench.path(run).join("tiny_kl/decoder/log.jsonl")).unwrap();
        log.matches("\"kind\":\"step\"").count()
    };
    assert_eq!((steps("whole"), steps("given")), (4, 4));
}

#[test]
fn a_name_that_leaves_the_folder_of_runs_creates_no_files() {
    let bench = TrainingBench::new(TRAIN);
    for more in [&[][..], &["--dry-run"], &["--nproc", "2"]] {
        let name = "name=\"../../x\"";
        let line = refused(&bench, &[&["--config", "tiny.toml", "--out", "a/b", "--set", name], more].concat());
        assert!(line.starts_with("error: the configuration's name is \"../../x\": "), "{line}");
    }
    let left: Vec<_> = fs::read_dir(bench.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["tiny.toml"]);
}

#[test]
fn a_damaged_newest_checkpoint_is_skipped_with_a_warning() {
    let bench = TrainingBench::new(&TRAIN.replace("name = \"decoder\"\nsteps = 5", "name = \"decoder\"\nsteps = 1"));
    bench.finish(&["--config", "tiny.toml", "--out", "whole"]);
    bench.finish(&["--config", "tiny.toml", "--out", "damaged"]);
    let stage = bench.path("damaged/tiny_kl/whole-model");
    let newest = stage.join("checkpoints/step-00000009.safetensors");
    let mut bytes = fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&newest, bytes).unwrap();
    for lost in ["whole-model/summary.json", "decoder"] {
        let path = bench.path("damaged/tiny_kl").join(lost);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    }
    let (_, stderr) = bench.finish(&["--resume", "damaged/tiny_kl"]);
    assert!(stderr.contains("step-00000009.safetensors") && stderr.contains("hash"), "{stderr}");
    assert!(results(&bench, "whole") == results(&bench, "damaged"));
}

#[test]
fn a_recipe_fine_tunes_a_model_or_a_checkpoint() {
    let bench = TrainingBench::new(TRAIN);
    bench.finish(&["--config", "tiny.toml", "--out", "first"]);
    let recipe = "[train]\nsteps = 1\nbatch_size = 1\ndata = { frames = 3, size = [32, 32], scenes = 1 }\n";
    fs::write(bench.path("recipe.toml"), recipe).unwrap();
    let state = "first/tiny_kl/decoder/checkpoints/step-00000005.safetensors";
    for start in ["first/tiny_kl/decoder/model.safetensors", state] {
        let arguments = ["--config", "tiny.toml", "--recipe", "recipe.toml", "--init-from", start, "--out", "tuned"];
        let (stdout, _) = bench.finish(&[&arguments[..], &["--set", "train.optimizer.lr=1e-4"]].concat());
        assert!(stdout.contains("before") && stdout.contains("after"), "{stdout}");
    }
    let stored = fs::read_to_string(bench.path("tuned/tiny_kl/config.toml")).unwrap();
    assert!(stored.contains("init_from") && stored.contains("0.0001"), "{stored}");
    fs::write(bench.path("recipe.toml"), format!("{recipe}\n[model]\nch = 4\n")).unwrap();
    let output = bench.train(&["--config", "tiny.toml", "--recipe", "recipe.toml"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("recipe.toml") && stderr.contains("model"), "{stderr}");
}

#[test]
fn a_folder_without_a_table_is_trained_on_and_too_short_videos_are_refused_with_advice() {
    let bench = TrainingBench::new(TRAIN);
    fs::create_dir(bench.path("videos")).unwrap();
    video(&bench, "videos/a.mp4", 1);
    video(&bench, "videos/b.mkv", 2);
    fs::write(bench.path("videos/notes.txt"), "").unwrap();
    let dry = ["--config", "tiny.toml", "--data", "videos", "--dry-run"];
    let (stdout, stderr) = bench.finish(&dry);
    assert!(stdout.contains("folder = \"videos\""), "{stdout}");
    assert!(stderr.contains("videos: left out: 1 file (.txt 1)"), "{stderr}");
    fs::write(bench.path("list.csv"), "videos\nvideos/b.mkv\n").unwrap();
    let (stdout, _) = bench.finish(&["--config", "tiny.toml", "--data", "list.csv", "--dry-run"]);
    assert!(stdout.contains("table = \"list.csv\""), "{stdout}");
    // Videos of 20 frames at 25 a second.
    let long = bench.train(&[&dry[..], &["--set", "train.data.frames=81"]].concat()).output().unwrap();
    let stderr = String::from_utf8(long.stderr).unwrap();
    for part in ["none of 2 video(s)", "takes 6.48 s", "longest has 0.80 s", "data.held_out", "data.frames"] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
    assert_eq!(long.status.code(), Some(1));
}

#[test]
fn an_index_that_is_a_pipe_or_a_link_is_not_written_to() {
    let bench = TrainingBench::new(TRAIN);
    fs::create_dir(bench.path("videos")).unwrap();
    video(&bench, "videos/a.mp4", 1);
    let index = bench.path("videos/.vidtok-index.jsonl");
    let dry = ["--config", "tiny.toml", "--data", "videos", "--dry-run"];
    assert!(Command::new("mkfifo").arg(&index).status().unwrap().success());
    bench.finish(&dry);
    fs::remove_file(&index).unwrap();
    fs::write(bench.path("private"), "private\n").unwrap();
    std::os::unix::fs::symlink("../private", &index).unwrap();
    bench.finish(&dry);
    assert_eq!(fs::read_to_string(bench.path("private")).unwrap(), "private\n");
}

#[test]
fn a_dry_run_prints_the_plan_and_trains_nothing() {
    let bench = TrainingBench::new(TRAIN);
    let (stdout, _) = bench.finish(&["--config", "tiny.toml", "--dry-run"]);
    for part in ["[train]", "parameters", "activations", "stage          decoder"] {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
    let left: Vec<_> = fs::read_dir(bench.path("runs")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.iter().all(|name| name.to_string_lossy().ends_with("-batch.png")), "{left:?}");
}
