//! A folder with a small model, in which the program runs.

#![allow(clippy::unwrap_used, dead_code)] // a failure is what tests are for; not every test needs all of it

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;
use vidtok_core::{FrameRate, FrameSink, FrameSource, VideoInfo};
use vidtok_data::{Ffmpeg, Scene, VideoQuality, VideoReader, VideoWriter};

pub(crate) const KL: &str = "tiny_kl";
pub(crate) const FSQ: &str = "tiny_fsq";

/// A folder with a small configuration, `tiny.toml`, and its model, `model.safetensors`.
pub(crate) struct Bench {
    pub(crate) folder: TempDir,
}

impl Bench {
    pub(crate) fn new(causality: &str, config: &str) -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        let text = fs::read_to_string(repository(&format!("configs/{config}.toml"))).unwrap();
        let stated = "causality = \"v1.0\"";
        assert!(text.contains(stated));
        let text = text.replace(stated, &format!("causality = \"{causality}\""));
        fs::write(bench.path("tiny.toml"), text).unwrap();
        bench.vidtok(&["init", "--config", "tiny.toml", "model.safetensors"]).assert().success();
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn vidtok(&self, arguments: &[&str]) -> Command {
        let mut command = vidtok(arguments);
        command.current_dir(self.folder.path());
        command
    }

    /// Names of all files, including hidden ones.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Writes a video of a generated scene.
    pub(crate) fn video(&self, name: &str, frames: usize, size: [i64; 2], rate: &str) -> PathBuf {
        let path = self.path(name);
        let rate: FrameRate = rate.parse().unwrap();
        let ffmpeg = Ffmpeg::locate().unwrap();
        let mut writer = VideoWriter::create(&ffmpeg, &path, size, rate, VideoQuality::default()).unwrap();
        let times: Vec<f64> = (0..frames).map(|i| i as f64 / rate.as_f64()).collect();
        writer.write(&Scene::new(1).frames(&times, size)).unwrap();
        writer.finish().unwrap();
        path
    }

    /// Runs ffmpeg in the folder, and returns its standard output.
    pub(crate) fn ffmpeg(&self, arguments: &str) -> String {
        let mut command = std::process::Command::new(Ffmpeg::locate().unwrap().program());
        command.args(["-v", "error", "-nostdin", "-y"]).args(arguments.split(' ')).current_dir(self.folder.path());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Writes a video of two seconds whose frames last 60 and 40 ms in turn, with sound.
    pub(crate) fn uneven(&self, name: &str) {
        self.ffmpeg(&format!(
            "-f lavfi -i testsrc=size=48x32:rate=25:d=1.6 -f lavfi -i sine=beep_factor=4:d=2 -fps_mode passthrough \
             -vf settb=1/1000,setpts='50*N+10*mod(N,2)' -enc_time_base:v 1:1000 -c:a aac {name}"
        ));
    }

    /// The time in ms and the checksum of each packet of a stream, in the order of time.
    pub(crate) fn packets(&self, name: &str, stream: &str) -> Vec<(i64, String)> {
        let listing = self.ffmpeg(&format!("-i {name} -map 0:{stream} -c copy -f framecrc pipe:1"));
        let tick = listing.lines().find_map(|line| line.strip_prefix("#tb 0: ")).unwrap().split_once('/').unwrap();
        let tick = tick.0.parse::<f64>().unwrap() / tick.1.parse::<f64>().unwrap();
        let packet = |line: &str| {
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            ((fields[2].parse::<f64>().unwrap() * tick * 1000.0).round() as i64, fields[5].to_owned())
        };
        let mut packets: Vec<_> = listing.lines().filter(|line| !line.starts_with('#')).map(packet).collect();
        packets.sort();
        packets
    }

    /// The times of all video frames, in ms.
    pub(crate) fn times(&self, name: &str) -> Vec<i64> {
        self.packets(name, "V:0").into_iter().map(|(time, _)| time).collect()
    }

    /// All frames, uint8 `[t, h, w, 3]`.
    pub(crate) fn frames(&self, name: &str) -> Tensor {
        let mut reader = VideoReader::open(&Ffmpeg::locate().unwrap(), self.path(name)).unwrap();
        reader.next_frames(1000).unwrap().unwrap()
    }

    pub(crate) fn info(&self, name: &str) -> VideoInfo {
        VideoReader::open(&Ffmpeg::locate().unwrap(), self.path(name)).unwrap().info().clone()
    }

    /// Checks that the command fails with one line that contains all of `words`, and changes no file.
    pub(crate) fn refuses(&self, arguments: &[&str], words: &[&str]) {
        let before = self.files();
        let output = self.vidtok(arguments).assert().code(1).get_output().clone();
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(printed.lines().count(), 1, "{arguments:?}: {printed}");
        assert!(printed.starts_with("error: "), "{printed}");
        assert!(!printed.contains("libtorch failed") && !printed.contains("internal error"), "{printed}");
        for word in words {
            assert!(printed.contains(word), "{arguments:?}: {printed:?} does not contain {word:?}");
        }
        assert_eq!(self.files(), before, "{arguments:?}");
    }
}

pub(crate) fn vidtok(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vidtok"));
    command.args(arguments);
    command
}

pub(crate) fn repository(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path).display().to_string()
}

pub(crate) fn random_video(shape: [i64; 5]) -> Tensor {
    tch::manual_seed(0);
    Tensor::rand(shape, (Kind::Float, Device::Cpu)) * 2.0 - 1.0
}
