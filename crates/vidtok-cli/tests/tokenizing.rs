//! `vidtok tokenize` that is killed, stopped, run twice at once, and run on many videos.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // a failure here is what the test is for

mod bench;

use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use bench::{Bench, FSQ, KL};
use vidtok_core::fetched;

/// How often a run is killed before it may finish.
const KILLS: usize = 5;

/// A command that tokenizes `videos` with one thread.
fn tokenize(bench: &Bench, out: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vidtok"));
    command.args(["tokenize", "--model", "model.safetensors", "--threads", "1", "--data", "videos", "--out", out]);
    command.args(arguments).current_dir(bench.folder.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn finish(mut command: Command) -> String {
    stdout_of(&command.output().unwrap())
}

fn stdout_of(output: &Output) -> String {
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success(), "{stderr}");
    stdout
}

/// The number of videos that a run reports as tokenized.
fn tokenized(printed: &str) -> u64 {
    let line = printed.lines().find_map(|line| line.strip_prefix("tokenized")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// The bytes of all files of a finished dataset by path; lines of files that workers append to are sorted.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let mut bytes = fs::read(&path).unwrap();
            if path.ends_with("skipped.jsonl") {
                let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
                lines.sort_unstable();
                bytes = lines.concat();
            }
            all.insert(path.strip_prefix(folder).unwrap().to_owned(), bytes);
        }
    }
    all
}

/// Creates `count` small videos in `videos`. Most of them are links to the first few.
fn videos(bench: &Bench, count: usize, [frames, side]: [usize; 2]) {
    const DISTINCT: usize = 12;
    fs::create_dir_all(bench.path("videos/sub")).unwrap();
    for index in 0..count {
        let name = format!("videos/{}{index:05}.mp4", if index % 3 == 0 { "sub/" } else { "" });
        if index < DISTINCT {
            let side = (side + 2 * (index % 3)) as i64;
            bench.video(&name, frames + index % 5, [side, side + 4], "12");
        } else {
            let like = index % DISTINCT;
            let like = format!("videos/{}{like:05}.mp4", if like.is_multiple_of(3) { "sub/" } else { "" });
            fs::hard_link(bench.path(&like), bench.path(&name)).unwrap();
        }
    }
}

/// A random number in [0, 1), different in each run of the test.
fn chance() -> f64 {
    RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64
}

/// A run that is killed when it is dropped, so that a failing test leaves no process behind.
struct Running(Option<Child>);

impl Running {
    fn start(mut command: Command) -> Self {
        Self(Some(command.spawn().unwrap()))
    }

    fn id(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    fn has_ended(&mut self) -> bool {
        self.0.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    /// Waits until `holds` returns true or the run has ended.
    fn wait_until(&mut self, holds: impl Fn() -> bool) {
        let start = Instant::now();
        while !holds() && !self.has_ended() {
            assert!(start.elapsed() < Duration::from_secs(120), "the run makes no progress");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn output(mut self) -> Output {
        self.0.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The number of videos that the dataset in a folder lists, and how many of them are finished.
fn progress(folder: &Path) -> [usize; 2] {
    let list = fs::read_to_string(folder.join("videos.jsonl")).unwrap_or_default();
    let [mut listed, mut done] = [0, 0];
    for (shard, line) in list.lines().enumerate() {
        let videos = line.matches("\"path\"").count();
        listed += videos;
        done += if folder.join(format!("statistics/shard-{shard:06}.safetensors")).exists() {
            videos
        } else {
            let parts = fs::read_dir(folder.join(format!("parts/shard-{shard:06}"))).into_iter().flatten().flatten();
            // Other files are temporary.
            parts.filter(|part| part.file_name().as_encoded_bytes()[0].is_ascii_digit()).count()
        };
    }
    [listed, done]
}

/// Kills runs with `arguments` at random moments, lets the last one finish, and compares the dataset with that of an
/// undisturbed run. Returns the number of shards.
fn kill_at_random(bench: &Bench, arguments: &[&str]) -> usize {
    let start = Instant::now();
    finish(tokenize(bench, "whole", arguments));
    let [videos, done] = progress(&bench.path("whole"));
    assert_eq!(videos, done);
    let each = start.elapsed() / videos as u32;
    let [mut kills, mut ends] = [0, 0];
    while kills < KILLS {
        // The last videos are decoded ahead, and may all be finished before the next poll.
        let target = 0.6 * videos as f64 * (kills as f64 + chance()) / KILLS as f64;
        let mut run = Running::start(tokenize(bench, "killed", arguments));
        run.wait_until(|| progress(&bench.path("killed"))[1] >= target as usize);
        std::thread::sleep(each.mul_f64(target.fract()));
        if run.has_ended() {
            // It was faster than the first run, as happens on a busy machine: start again.
            stdout_of(&run.output());
            fs::remove_dir_all(bench.path("killed")).unwrap();
            (kills, ends) = (0, ends + 1);
            assert!(ends < 5, "runs finish before they can be killed");
            continue;
        }
        drop(run);
        kills += 1;
    }
    let [_, done] = progress(&bench.path("killed"));
    let rest = tokenized(&finish(tokenize(bench, "killed", arguments)));
    eprintln!("{arguments:?}: after {KILLS} kills, {done} of {videos} videos were finished");
    assert!(done > 0 && rest as usize <= videos - done, "{done} videos, and then {rest}");
    let [whole, killed] = ["whole", "killed"].map(|out| files(&bench.path(out)));
    assert_eq!(whole.keys().collect::<Vec<_>>(), killed.keys().collect::<Vec<_>>(), "{arguments:?}");
    assert!(whole == killed, "{arguments:?}: the files differ");
    whole.keys().filter(|path| path.starts_with("shards")).count()
}

#[test]
fn a_run_killed_at_random_moments_ends_with_the_bytes_of_an_uninterrupted_run() {
    for (config, format) in [(FSQ, "safetensors"), (KL, "webdataset")] {
        let bench = Bench::new("v1.0", config);
        videos(&bench, 30, [9, 32]);
        fs::write(bench.path("videos/00002b.mp4"), "no video").unwrap();
        assert_eq!(kill_at_random(&bench, &["--format", format, "--shard-videos", "7"]), 5);
    }
}

#[test]
fn a_run_on_the_sample_clips_killed_at_random_moments_ends_with_the_same_bytes() {
    let Some(clips) = fetched("clips").into_iter().find(|path| path.is_dir()) else {
        return eprintln!("skipped: the sample clips were not fetched");
    };
    let bench = Bench::new("v1.0", FSQ);
    std::os::unix::fs::symlink(&clips, bench.path("videos")).unwrap();
    let arguments = ["--format", "webdataset", "--shard-videos", "2", "--size", "32", "--crop", "32,32"];
    assert_eq!(kill_at_random(&bench, &arguments), 3);
}

#[test]
fn concurrent_workers_divide_the_videos_and_end_with_the_bytes_of_one_worker() {
    let bench = Bench::new("v1.0", FSQ);
    videos(&bench, 30, [9, 32]);
    let arguments = ["--shard-videos", "4"];
    assert_eq!(tokenized(&finish(tokenize(&bench, "alone", &arguments))), 30);
    let runs = [(); 2].map(|()| Running::start(tokenize(&bench, "shared", &arguments)));
    let counts = runs.map(|run| tokenized(&stdout_of(&run.output())));
    assert_eq!(counts.iter().sum::<u64>(), 30, "{counts:?}");
    assert!(counts.iter().all(|&count| count > 0), "{counts:?}");
    assert!(files(&bench.path("alone")) == files(&bench.path("shared")));
    finish(tokenize(&bench, "launched", &["--shard-videos", "4", "--nproc", "2"]));
    assert!(files(&bench.path("alone")) == files(&bench.path("launched")));
}

#[test]
fn a_stopped_run_reports_it_by_its_status_and_resumes() {
    let bench = Bench::new("v1.0", FSQ);
    videos(&bench, 30, [9, 32]);
    for (signal, processes, status) in [("-INT", "1", 130), ("-TERM", "1", 143), ("-TERM", "2", 143)] {
        let out = format!("stopped{signal}{processes}");
        let mut arguments = vec!["--shard-videos", "15"];
        if processes != "1" {
            arguments.extend(["--nproc", processes]);
        }
        let mut run = Running::start(tokenize(&bench, &out, &arguments));
        run.wait_until(|| progress(&bench.path(&out))[1] > 0);
        assert!(Command::new("kill").args([signal, &run.id().to_string()]).status().unwrap().success());
        let output = run.output();
        let [stopped, reported] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(output.status.code(), Some(status), "{reported}");
        // Only one of several processes reports it.
        assert!(
            reported.starts_with("stopped by SIG") && reported.contains("run the same command to continue"),
            "{reported}"
        );
        assert_eq!(reported.lines().count(), 1, "{reported}");
        let [_, done] = progress(&bench.path(&out));
        let rest = tokenized(&finish(tokenize(&bench, &out, &["--shard-videos", "15"])));
        assert_eq!(done as u64 + rest, 30, "{stopped}");
        assert!(processes != "1" || tokenized(&stopped) == done as u64, "{stopped}");
    }
}

#[test]
fn a_table_selects_the_videos_and_detokenize_restores_them() {
    let bench = Bench::new("v1.1", KL);
    videos(&bench, 5, [9, 24]);
    fs::write(bench.path("videos/list.csv"), "videos\n00004.mp4\nsub/00003.mp4\n00001.mp4\n").unwrap();
    let tokenize = |arguments: &[&str]| {
        let start = ["tokenize", "--model", "model.safetensors", "--data", "videos/list.csv", "--out", "tokens"];
        bench.vidtok(&[&start[..], arguments].concat())
    };
    let settings = ["--size", "16", "--crop", "16,12", "--fps", "6", "--format", "webdataset"];
    let output = tokenize(&settings).assert().success().get_output().clone();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("dataset        3 videos (0 skipped)") && printed.contains("bits per pixel"), "{printed}");
    let refused = tokenize(&settings[..4]).assert().code(1).get_output().clone();
    let refused = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.contains("fps = 6.0, not null"), "{refused}");

    let model = ["detokenize", "--model", "model.safetensors", "--data", "tokens", "--out", "back"];
    bench.vidtok(&model).assert().success();
    for name in ["00004", "sub/00003", "00001"] {
        let info = bench.info(&format!("back/{name}.mp4"));
        assert_eq!((info.height, info.width, info.frame_rate.to_string()), (16, 12, "6".to_owned()));
    }
    assert!(!bench.path("back/00000.mp4").exists());
}

/// The open files of a process, and its resident memory in bytes.
fn resources(id: u32) -> Option<(usize, u64)> {
    let files = fs::read_dir(format!("/proc/{id}/fd")).ok()?.count();
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some((files, resident.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10))
}

/// Takes a quarter of an hour. `VIDTOK_MANY_VIDEOS` sets another number of videos.
#[test]
#[ignore = "takes long"]
fn ten_thousand_videos_need_no_more_memory_or_files_than_the_first_thousand() {
    let count = std::env::var("VIDTOK_MANY_VIDEOS").map_or(10_000, |count| count.parse().unwrap());
    let bench = Bench::new("v1.0", FSQ);
    videos(&bench, count, [1, 16]);
    let done = || {
        let lines = fs::read_to_string(bench.path("tokens/videos.jsonl")).unwrap_or_default();
        let shards = fs::read_dir(bench.path("tokens/statistics")).map_or(0, Iterator::count);
        (lines.lines().count(), shards)
    };
    let mut command = tokenize(&bench, "tokens", &["--shard-videos", "100"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let mut run = Running::start(command);
    let mut early = (0, 0);
    let mut late = (0, 0);
    while !run.has_ended() {
        let (shards, finished) = done();
        if let Some((files, memory)) = resources(run.id()).filter(|_| shards > 0) {
            let most = if finished * 10 < shards { &mut early } else { &mut late };
            *most = (most.0.max(files), most.1.max(memory));
            if finished == shards / 2 {
                break;
            }
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    drop(run);
    let halfway = start.elapsed();
    let start = Instant::now();
    let mut run = Running::start(tokenize(&bench, "tokens", &["--shard-videos", "100"]));
    let finished = done().1;
    while done().1 == finished && !run.has_ended() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let restart = start.elapsed();
    while !run.has_ended() {
        if let Some((files, memory)) = resources(run.id()) {
            late = (late.0.max(files), late.1.max(memory));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let printed = stdout_of(&run.output());
    eprintln!("{printed}half of the videos took {halfway:.0?}; the first shard after the restart took {restart:.1?}");
    eprintln!("open files and bytes of memory: {early:?} in the first tenth, {late:?} later");
    assert!(late.0 <= early.0 + 8 && late.1 as f64 <= 1.1 * early.1 as f64 + 2e7, "{early:?} {late:?}");
}
