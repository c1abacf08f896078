//! Finding the ffmpeg program.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};

use vidtok_core::{VideoError, fetched};

use crate::ffmpeg::program::stop::Stop;
use crate::ffmpeg::program::tone_mapper::ToneMapper;

/// An ffmpeg program that runs.
#[derive(Clone, Debug)]
pub struct Ffmpeg {
    program: PathBuf,
    passthrough: [&'static str; 2],
    demuxer_ticks: &'static str,
    tone_mapper: Arc<OnceLock<Option<ToneMapper>>>,
    stop: Stop,
}

impl Ffmpeg {
    /// Finds the program: the one that the environment variable `VIDTOK_FFMPEG` names, else `ffmpeg` on the PATH,
    /// else the one that setup [`fetched`] (`ffmpeg/ffmpeg`).
    ///
    /// # Errors
    /// [`VideoError::Backend`] if none is found, with what to do, or if the first one found does not run.
    pub fn locate() -> Result<Self, VideoError> {
        let program = if let Some(named) = env::var_os("VIDTOK_FFMPEG").filter(|named| !named.is_empty()) {
            Some(PathBuf::from(named))
        } else {
            let fetched = fetched(Path::new("ffmpeg").join(executable()));
            on_path().into_iter().chain(fetched).find(|candidate| is_program(candidate))
        };
        let missing = || VideoError::Backend {
            program: "ffmpeg".into(),
            source: io::Error::new(
                io::ErrorKind::NotFound,
                "not found; run `cargo xtask setup`, or set VIDTOK_FFMPEG to its path",
            ),
        };
        Self::at(program.ok_or_else(missing)?)
    }

    /// The program at a path.
    ///
    /// # Errors
    /// [`VideoError::Backend`] if it does not run or is not ffmpeg.
    pub fn at(program: impl Into<PathBuf>) -> Result<Self, VideoError> {
        let program = program.into();
        let backend = |source| VideoError::Backend { program: program.clone(), source };
        let answer = Command::new(&program).arg("-version").stdin(Stdio::null()).output().map_err(backend)?;
        let answer = String::from_utf8_lossy(&answer.stdout);
        let Some(version) = answer.strip_prefix("ffmpeg version ") else {
            return Err(backend(io::Error::other("does not answer like ffmpeg")));
        };
        // Release 5.1 introduced the new name, and later releases dropped the old one.
        let passthrough = if is_before(version, (5, 1)) { ["-vsync", "0"] } else { ["-fps_mode", "passthrough"] };
        // Release 6.1 introduced the new name.
        let demuxer_ticks = if is_before(version, (6, 1)) { "-1" } else { "demux" };
        Ok(Self { program, passthrough, demuxer_ticks, tone_mapper: Arc::default(), stop: Stop::default() })
    }

    /// The path of the program.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The same program, whose child processes `stop` ends.
    pub(crate) fn until(&self, stop: &Stop) -> Self {
        Self { stop: stop.clone(), ..self.clone() }
    }

    pub(crate) fn stop(&self) -> &Stop {
        &self.stop
    }

    /// The cell for the tone mapper, which is filled on first use.
    pub(crate) fn tone_mapper_cell(&self) -> &OnceLock<Option<ToneMapper>> {
        &self.tone_mapper
    }

    /// A command that reads no input from the terminal and prefixes each message with its level.
    pub(crate) fn command(&self, loudness: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["-hide_banner", "-nostdin", "-nostats", "-loglevel"]).arg(format!("repeat+level+{loudness}"));
        command
    }

    /// The options that output every frame exactly once, regardless of its time stamp.
    pub(crate) fn passthrough(&self) -> [&'static str; 2] {
        self.passthrough
    }

    /// The value of `-enc_time_base` that keeps the container's time base.
    pub(crate) fn demuxer_ticks(&self) -> &'static str {
        self.demuxer_ticks
    }
}

fn executable() -> String {
    format!("ffmpeg{}", env::consts::EXE_SUFFIX)
}

fn on_path() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|folder| folder.join(executable())).collect()
}

/// Whether the path is an executable file.
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;

    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Whether `version` ("4.4.2-0ubuntu0.22.04.1 ...", "n7.1 ...") is older than `release`. Development builds are not.
fn is_before(version: &str, release: (u32, u32)) -> bool {
    let mut parts = version.trim_start_matches('n').split(|c: char| !c.is_ascii_digit());
    let mut part = || parts.next().and_then(|part| part.parse::<u32>().ok());
    match part() {
        Some(major) => (major, part().unwrap_or(0)) < release,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_releases_are_recognised_by_their_version() {
        for old in ["4.2.2-static https://example.org", "4.4.2-0ubuntu0.22.04.1 Copyright", "5.0 x", "n4.4"] {
            assert!(is_before(old, (5, 1)), "{old}");
        }
        for new in ["5.1.6-0+deb12u1", "n9.0.2-17-g2a571b6068", "7.1", "N-112515-g1c2c6ef", "git-2024"] {
            assert!(!is_before(new, (5, 1)), "{new}");
        }
    }

    #[test]
    fn folders_and_files_that_are_not_executable_are_no_programs() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ffmpeg");
        std::fs::write(&file, "").unwrap();
        assert!(is_program(Path::new("/bin/sh")));
        assert!(!is_program(&file) && !is_program(folder.path()) && !is_program(&folder.path().join("none")));
    }

    #[test]
    fn a_program_that_is_not_ffmpeg_is_refused_by_name() {
        for program in ["/bin/echo", "/nonexistent/ffmpeg"] {
            let message = Ffmpeg::at(program).unwrap_err().to_string();
            assert!(message.contains(program) && !message.contains('\n'), "{message}");
        }
    }
}
