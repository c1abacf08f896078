//! A folder with the configuration of a tiny model and its training, in which the program runs.

#![allow(clippy::unwrap_used, dead_code)] // a failure is what tests are for; not every test needs all of it

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A folder with a configuration, `tiny.toml`.
pub(crate) struct TrainingBench {
    pub(crate) folder: TempDir,
}

impl TrainingBench {
    /// The tiny continuous model, with `train` as its training configuration.
    pub(crate) fn new(train: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/tiny_kl.toml");
        let model = fs::read_to_string(model).unwrap();
        let (model, _) = model.split_once("[train]").unwrap();
        fs::write(folder.path().join("tiny.toml"), format!("{model}{train}")).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn train(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vidtok"));
        command.args(["train", "--threads", "1"]).args(arguments).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs to the end, and returns standard output and standard error.
    pub(crate) fn finish(&self, arguments: &[&str]) -> (String, String) {
        finished(&self.train(arguments).output().unwrap())
    }

    /// Starts a run in `out`, and waits until `file` exists in its folder.
    pub(crate) fn start(&self, out: &str, arguments: &[&str], file: &str) -> Child {
        let mut child = self.train(&[&["--config", "tiny.toml", "--out", out], arguments].concat()).spawn().unwrap();
        let file = self.path(out).join("tiny_kl").join(file);
        wait_until(&mut child, || file.exists());
        child
    }
}

/// Waits until `holds` returns true; the run must not end before that.
pub(crate) fn wait_until(child: &mut Child, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        let has_ended = child.try_wait().unwrap().is_some() && !holds();
        if has_ended || start.elapsed() > Duration::from_secs(120) {
            child.kill().unwrap();
            let mut stderr = String::new();
            child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
            panic!("the run has ended, or makes no progress: {stderr}");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Standard output and standard error of a successful run.
pub(crate) fn finished(output: &Output) -> (String, String) {
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success(), "{stderr}");
    (stdout, stderr)
}
