//! A child process of ffmpeg, which never outlives its owner.

use std::io::{self, ErrorKind};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use vidtok_core::VideoError;

use crate::ffmpeg::program::locate::Ffmpeg;
use crate::ffmpeg::program::messages::Log;
use crate::ffmpeg::program::source_file::decode_error;
use crate::ffmpeg::program::stop::lock;

/// The signals of a crash: SIGILL, SIGABRT, SIGBUS, SIGFPE, SIGSEGV. A decoder crashes because of its video, whereas
/// any other signal comes from outside.
const CRASHES: [i32; 5] = [4, 6, 7, 8, 11];

/// A child process. Dropping it kills it and waits for its end.
#[derive(Debug)]
pub(crate) struct Process {
    program: PathBuf,
    child: Arc<Mutex<Child>>,
    input: Option<ChildStdin>,
    output: Option<ChildStdout>,
    log: Option<JoinHandle<Log>>,
}

impl Process {
    /// Starts `command` with stdin, stdout and stderr piped.
    pub(crate) fn start(ffmpeg: &Ffmpeg, command: &mut Command) -> Result<Self, VideoError> {
        Self::start_into(ffmpeg, command, Stdio::piped())
    }

    /// Starts `command` with the given stdout, and with stdin and stderr piped.
    pub(crate) fn start_into(ffmpeg: &Ffmpeg, command: &mut Command, output: Stdio) -> Result<Self, VideoError> {
        let backend = |source| VideoError::Backend { program: ffmpeg.program().to_owned(), source };
        let mut child = command.stdin(Stdio::piped()).stdout(output).stderr(Stdio::piped()).spawn().map_err(backend)?;
        let (input, output, messages) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let mut process =
            Self { program: ffmpeg.program().to_owned(), child: Arc::new(Mutex::new(child)), input, output, log: None };
        ffmpeg.stop().watch(&process.child);
        if let Some(messages) = messages {
            // On its own thread: a full pipe of messages would block the child while we wait for its pixels.
            let listener = std::thread::Builder::new().name("ffmpeg messages".into());
            process.log = Some(listener.spawn(move || Log::listen(messages)).map_err(backend)?);
        }
        Ok(process)
    }

    /// The pipe to the child's stdin; `None` the second time.
    pub(crate) fn input(&mut self) -> Option<ChildStdin> {
        self.input.take()
    }

    /// The pipe from the child's stdout; `None` the second time.
    pub(crate) fn output(&mut self) -> Option<ChildStdout> {
        self.output.take()
    }

    /// Closes both pipes and waits for the end of the child. The log is returned once.
    pub(crate) fn end(&mut self) -> io::Result<(ExitStatus, Log)> {
        drop((self.input(), self.output()));
        // Another thread may need the lock to kill the child, so it is taken only after the child has ended.
        let child = Pid::from_child(&lock(&self.child));
        while let Err(Errno::INTR) = waitid(WaitId::Pid(child), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {}
        let status = lock(&self.child).wait()?;
        let log = self.log.take().and_then(|log| log.join().ok()).unwrap_or_default();
        Ok((status, log))
    }

    /// [`end`](Self::end) for a process that read the video `path`.
    ///
    /// # Errors
    /// [`VideoError::Decode`] if ffmpeg's messages or its crash implicate the video, [`VideoError::Backend`] for any
    /// other failure.
    pub(crate) fn end_of_reading(&mut self, path: &Path) -> Result<Log, VideoError> {
        let program = self.program.clone();
        let failed = |source| VideoError::Backend { program: program.clone(), source };
        let (status, log) = self.end().map_err(failed)?;
        if let Some(shortage) = log.shortage {
            return Err(failed(io::Error::other(format!("{shortage}, while reading {}", path.display()))));
        }
        match status.signal() {
            Some(signal) if CRASHES.contains(&signal) => {
                return Err(decode_error(path, format!("ffmpeg crashed ({status})")));
            }
            Some(_) => {
                let message = format!("{status}, while reading {}", path.display());
                return Err(failed(io::Error::new(ErrorKind::Interrupted, message)));
            }
            None => {}
        }
        if let Some(damage) = log.damage {
            return Err(decode_error(path, damage));
        }
        if status.success() {
            return Ok(log);
        }
        if let Some(unfit) = log.unfit {
            return Err(decode_error(path, unfit));
        }
        let said = log.output.map_or_else(String::new, |said| format!(": {said}"));
        let message = format!("ended with {status} without an error in {}{said}", path.display());
        Err(failed(io::Error::other(message)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both calls do nothing once the child has been waited for.
        let mut child = lock(&self.child);
        let _ = child.kill();
        let _ = child.wait();
    }
}
