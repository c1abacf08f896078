//! Training runs of several processes: launched, killed, stopped, and resumed by another number of processes.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a failure here is what the test is for

mod training_bench;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use tch::{Kind, Tensor};
use training_bench::{TrainingBench, finished};
use vidtok_torch::TensorFile;

/// Two stages with everything that processes must agree on: noise, discriminator, LeCAM, averages. Enough checkpoints
/// are kept for the tests to wait for one of them.
const TRAIN: &str = r#"
[train]
seed = 3
batch_size = 6
ema_decay = 0.9
optimizer.lr = 1e-5
validation = { every = 10000, clips = 1 }
checkpoints = { every = 2, keep = 20 }
loss.gan.start = 2

[train.data]
scenes = 2
frames = 3
size = [32, 32]
random_crop = true
random_flip = true

[[train.stages]]
name = "whole-model"
steps = STEPS

[[train.stages]]
name = "decoder"
steps = 2
freeze_encoder = true
"#;

/// A bench with this many steps in the first stage.
fn bench(steps: u64) -> TrainingBench {
    TrainingBench::new(&TRAIN.replace("STEPS", &steps.to_string()))
}

/// Starts a run of several processes in `out`, and waits for its first checkpoint.
fn start_run(bench: &TrainingBench, out: &str, processes: &str) -> Child {
    bench.start(out, &["--nproc", processes], "whole-model/checkpoints/step-00000002.safetensors")
}

/// The relative distance between the models of two runs, the larger of both stages.
fn distance(bench: &TrainingBench, runs: [&str; 2]) -> f64 {
    let of_stage = |stage: &str| {
        let [found, expected] = runs.map(|run| {
            let path = bench.path(run).join(format!("tiny_kl/{stage}/model.safetensors"));
            TensorFile::open(&path).unwrap().tensors().unwrap()
        });
        let mut sums = [0.0, 0.0];
        for (name, expected) in &expected {
            let square = |tensor: Tensor| tensor.to_kind(Kind::Double).square().sum(Kind::Double).double_value(&[]);
            sums[0] += square(&found[name] - expected);
            sums[1] += square(expected.shallow_clone());
        }
        (sums[0] / sums[1]).sqrt()
    };
    of_stage("whole-model").max(of_stage("decoder"))
}

/// The processes that a launcher has started, in the order of their ranks.
fn children(launcher: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{launcher}/task/{launcher}/children")).unwrap();
    list.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn signal(name: &str, process: u32) {
    assert!(Command::new("kill").args([name, &process.to_string()]).status().unwrap().success());
}

#[test]
fn a_killed_process_ends_the_run_at_once_and_any_number_of_processes_resumes_it() {
    let bench = bench(24);
    bench.finish(&["--config", "tiny.toml", "--out", "alone"]);
    for (victim, next) in [(1, "3"), (0, "1")] {
        let out = format!("killed{victim}");
        let launcher = start_run(&bench, &out, "2");
        let victims = children(launcher.id());
        signal("-KILL", victims[victim]);
        let output = launcher.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(stderr.contains(&format!("process {victim} of 2 was killed by signal 9")), "{stderr}");
        // This shows that it ended at once: a process that does not exit in time is killed and prints nothing.
        let other = format!("process {} of 2 has lost the others", 1 - victim);
        assert!(stderr.contains(&other), "{stderr}");
        assert!(stderr.contains(&format!("--resume {out}/tiny_kl")), "{stderr}");

        let folder = format!("{out}/tiny_kl");
        let (stdout, _) = bench.finish(&["--resume", &folder, "--nproc", next]);
        assert!(stdout.contains("resumes"), "{stdout}");
        let distance = distance(&bench, [&out, "alone"]);
        println!("{out}, resumed by {next}: {distance:.1e}");
        assert!(distance < 1e-5, "{distance}");
    }
}

#[test]
fn a_signal_to_one_process_stops_all_with_a_checkpoint_to_resume_from() {
    let bench = bench(4000);
    let mut processes = Vec::new();
    for signalled in ["launcher", "process"] {
        let launcher = start_run(&bench, signalled, "2");
        processes.extend(children(launcher.id()));
        signal("-TERM", if signalled == "launcher" { launcher.id() } else { processes[processes.len() - 1] });
        let output = launcher.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(143), "{stderr}");
        assert_eq!(
            stderr,
            format!("stopped; to continue: vidtok train --resume {signalled}/tiny_kl\n"),
            "printed once"
        );
    }
    // A launcher that is killed leaves no processes behind.
    let mut launcher = bench.train(&["--resume", "launcher/tiny_kl", "--nproc", "3"]).spawn().unwrap();
    let patience = Instant::now();
    while children(launcher.id()).len() < 3 {
        assert!(patience.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(500));
    let all = [processes, children(launcher.id())].concat();
    launcher.kill().unwrap();
    launcher.wait().unwrap();
    let patience = Instant::now();
    let lives = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        !status.is_empty() && !status.contains("State:\tZ")
    };
    while all.iter().any(lives) {
        assert!(patience.elapsed() < Duration::from_secs(60), "processes outlive their launcher");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn indivisible_batches_and_incomplete_or_nested_launches_are_refused_in_one_line() {
    let bench = bench(2);
    let stderr_of = |output: Output| {
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let output = bench.train(&["--config", "tiny.toml", "--nproc", "4"]).output().unwrap();
    assert!(stderr_of(output).contains("a batch of 6 clips cannot be divided evenly among 4 processes"));
    assert!(!bench.path("runs").exists());
    let mut command = bench.train(&["--config", "tiny.toml", "--nproc", "2"]);
    command.env("RANK", "0").env("WORLD_SIZE", "2");
    assert!(stderr_of(command.output().unwrap()).contains("was itself started by a launcher"));
    let mut command = bench.train(&["--config", "tiny.toml"]);
    assert!(stderr_of(command.env("RANK", "0").output().unwrap()).contains("WORLD_SIZE is not"));
    let mut command = bench.train(&["--config", "tiny.toml"]);
    command.env("RANK", "0").env("WORLD_SIZE", "2");
    assert!(stderr_of(command.output().unwrap()).contains("MASTER_ADDR"));
}

/// The program that `VIDTOK_TORCHRUN` names, or torchrun in the PATH.
fn torchrun() -> Option<PathBuf> {
    let named = env::var_os("VIDTOK_TORCHRUN").map(PathBuf::from);
    let found =
        || env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join("torchrun")).find(|path| path.exists());
    named.or_else(found)
}

#[test]
fn torchrun_launches_a_run() {
    let Some(torchrun) = torchrun() else {
        println!("skipped: no torchrun in the PATH; VIDTOK_TORCHRUN can name one");
        return;
    };
    let bench = bench(4);
    let mut command = Command::new(torchrun);
    command.args(["--standalone", "--nproc-per-node", "2", "--no-python", env!("CARGO_BIN_EXE_vidtok"), "train"]);
    command.args(["--config", "tiny.toml", "--out", "torchrun"]).current_dir(bench.folder.path());
    let (stdout, _) = finished(&command.output().unwrap());
    assert!(stdout.contains("processes      2"), "{stdout}");
    bench.finish(&["--config", "tiny.toml", "--out", "alone"]);
    let distance = distance(&bench, ["torchrun", "alone"]);
    assert!(distance < 1e-5, "{distance}");
}
