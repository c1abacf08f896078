//! Commands that are killed or stopped by signals.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use vidtok_data::Ffmpeg;
use vidtok_torch::write_tensors;

use crate::bench::{Bench, FSQ, KL, random_video};

/// A program that reports ffmpeg's version and otherwise runs `script`, where `$real` is ffmpeg.
fn false_ffmpeg(bench: &Bench, script: &str) -> PathBuf {
    let path = bench.path("ffmpeg.sh");
    let program = Ffmpeg::locate().unwrap().program().display().to_string();
    let script = format!("#!/bin/sh\nreal='{program}'\n[ \"$1\" = -version ] && exec \"$real\" -version\n{script}\n");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_killed_decoder_fails_an_evaluation_which_the_same_command_completes() {
    let bench = Bench::new("v1.0", FSQ);
    fs::create_dir(bench.path("data")).unwrap();
    for name in ["data/a.mp4", "data/b.mp4"] {
        bench.video(name, 5, [32, 32], "30");
    }
    let ffmpeg = false_ffmpeg(&bench, "case \"$*\" in *b.mp4*) kill -9 $$;; esac; exec \"$real\" \"$@\"");
    let evaluate = || {
        let arguments = ["evaluate", "--data", "data", "--compare", "identity", "--metrics", "psnr", "--no-players"];
        bench.vidtok(&[&arguments[..], &["--height", "32", "--width", "32"]].concat())
    };
    let output = evaluate().env("VIDTOK_FFMPEG", ffmpeg).assert().code(1).get_output().clone();
    let printed = String::from_utf8(output.stderr).unwrap();
    assert!(printed.starts_with("error: ") && printed.contains("SIGKILL") && printed.lines().count() == 1, "{printed}");
    assert!(!bench.path("evaluation/evaluation.json").exists());
    evaluate().assert().success();
    let json = fs::read_to_string(bench.path("evaluation/evaluation.json")).unwrap();
    assert!(json.contains("\"measured\": 2"), "{json}");
}

fn signal(name: &str, child: &Child) {
    assert!(std::process::Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// Waits until `holds` returns true, for a minute at most.
fn wait_until(holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_signal_stops_commands_that_wait_for_ffmpeg_and_leaves_no_files() {
    let bench = Bench::new("v1.0", FSQ);
    fs::create_dir(bench.path("data")).unwrap();
    bench.video("data/a.mp4", 5, [32, 32], "30");
    // It stalls, after it has written its process id.
    let ffmpeg = false_ffmpeg(&bench, "echo $$ > \"$STARTED\"; exec sleep 600");
    let model = ["--model", "model.safetensors"];
    let commands: [(&[&str], &str); 4] = [
        (&["encode", model[0], model[1], "data/a.mp4", "z.safetensors"], "start again"),
        (&["reconstruct", model[0], model[1], "data/a.mp4", "-"], "start again"),
        (&["evaluate", "--compare", "identity", "--metrics", "psnr", "--data", "data"], "to continue"),
        (&["tokenize", model[0], model[1], "--data", "data", "--out", "tokens"], "to continue"),
    ];
    let before = bench.files();
    for (index, (arguments, advice)) in commands.into_iter().enumerate() {
        let (name, status) = [("INT", 130), ("TERM", 143)][index % 2];
        let started = bench.path(&format!("started{index}"));
        let child = std::process::Command::new(env!("CARGO_BIN_EXE_vidtok"))
            .args(arguments)
            .current_dir(bench.folder.path())
            .env("VIDTOK_FFMPEG", &ffmpeg)
            .env("STARTED", &started)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stalled = || fs::read_to_string(&started).ok().and_then(|text| text.trim().parse::<u32>().ok());
        wait_until(|| stalled().is_some());
        signal(&format!("-{name}"), &child);
        let output = child.wait_with_output().unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {printed}");
        assert!(printed.starts_with(&format!("stopped by SIG{name}; ")) && printed.contains(advice), "{printed}");
        assert_eq!(printed.lines().count(), 1, "{printed}");
        wait_until(|| !Path::new(&format!("/proc/{}", stalled().unwrap())).exists());
        fs::remove_file(started).unwrap();
    }
    for (folder, result) in [("evaluation", "evaluation.json"), ("tokens", "manifest.json")] {
        assert!(!bench.path(folder).join(result).exists());
        fs::remove_dir_all(bench.path(folder)).unwrap();
    }
    assert_eq!(
        bench.files(),
        [before, vec!["ffmpeg.sh".to_owned()]]
            .concat()
            .into_iter()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
    );
}

#[test]
fn a_signal_stops_a_command_that_is_blocked() {
    let bench = Bench::new("v1.0", KL);
    fs::create_dir(bench.path("tmp")).unwrap();
    write_tensors(&bench.path("x.safetensors"), [("video", &random_video([1, 3, 9, 96, 96]))], []).unwrap();
    // It blocks because nobody reads its output, which is larger than the pipe's buffer.
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_vidtok"))
        .args(["encode", "--model", "model.safetensors", "x.safetensors", "-"])
        .current_dir(bench.folder.path())
        .env("TMPDIR", bench.path("tmp"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    signal("-TERM", &child);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let mut printed = String::new();
    child.stderr.take().unwrap().read_to_string(&mut printed).unwrap();
    assert!(
        printed.starts_with("stopped by SIGTERM; nothing was written") && printed.lines().count() == 1,
        "{printed}"
    );
    assert_eq!(fs::read_dir(bench.path("tmp")).unwrap().count(), 0);
}

#[test]
fn a_closed_pipe_is_an_error_in_one_line() {
    let bench = Bench::new("v1.0", KL);
    bench.video("in.mp4", 60, [48, 64], "25");
    bench.vidtok(&["encode", "--model", "model.safetensors", "in.mp4", "z.safetensors"]).assert().success();
    for (command, input) in [("encode", "in.mp4"), ("reconstruct", "in.mp4"), ("decode", "z.safetensors")] {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_vidtok"))
            .args([command, "--model", "model.safetensors", input, "-"])
            .current_dir(bench.folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{command}: {printed}");
        assert!(
            printed.starts_with("error: standard output: ") && printed.lines().count() == 1,
            "{command}: {printed}"
        );
    }
}

#[test]
fn a_killed_command_leaves_no_file_under_the_final_name() {
    let bench = Bench::new("v1.0", KL);
    bench.video("in.mp4", 200, [96, 128], "25");
    let before = bench.files();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_vidtok"))
        .args(["reconstruct", "--model", "model.safetensors", "in.mp4", "out.mp4"])
        .current_dir(bench.folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let partial = |name: &String| name.starts_with(".partial-");
    // The file is empty until the encoder has written something.
    let writing = || {
        bench
            .files()
            .iter()
            .any(|name| partial(name) && fs::metadata(bench.path(name)).is_ok_and(|file| file.len() > 0))
    };
    let begin = Instant::now();
    while !writing() && child.try_wait().unwrap().is_none() && begin.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(child.try_wait().unwrap().is_none(), "it finished before it could be killed");
    child.kill().unwrap();
    child.wait().unwrap();
    let left: Vec<String> = bench.files().into_iter().filter(|name| !partial(name)).collect();
    assert_eq!(left, before);
}
