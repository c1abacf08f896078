//! A running ffmpeg whose messages are listened to, and which never outlives its owner.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use vidtok_core::VideoError;

use super::Ffmpeg;

/// The signal that a process cannot hear, as the system sends it when memory has run out.
const KILLED: i32 = 9;
/// The longest part of a message that is kept.
const LINE: usize = 300;
/// The most lines of description that are kept.
const LINES: usize = 1000;

/// What ffmpeg said.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The first sign that something is damaged.
    pub(super) complaint: Option<String>,
    /// The plain description of inputs and outputs.
    pub(super) description: Vec<String>,
}

/// A child process. Dropping it kills it and waits for its end.
#[derive(Debug)]
pub(super) struct Process {
    child: Arc<Mutex<Child>>,
    input: Option<ChildStdin>,
    output: Option<ChildStdout>,
    log: Option<JoinHandle<Log>>,
}

impl Process {
    /// Starts `command` with all three channels piped.
    pub(super) fn start(ffmpeg: &Ffmpeg, command: &mut Command) -> Result<Self, VideoError> {
        Self::start_into(ffmpeg, command, Stdio::piped())
    }

    /// Starts `command` with its output going somewhere, the other channels piped.
    pub(super) fn start_into(ffmpeg: &Ffmpeg, command: &mut Command, output: Stdio) -> Result<Self, VideoError> {
        let backend = |source| VideoError::Backend { program: ffmpeg.program().to_owned(), source };
        let mut child = command.stdin(Stdio::piped()).stdout(output).stderr(Stdio::piped()).spawn().map_err(backend)?;
        let (input, output, messages) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let mut process = Self { child: Arc::new(Mutex::new(child)), input, output, log: None };
        ffmpeg.stop().watch(&process.child);
        if let Some(messages) = messages {
            // Its own thread: a full channel would stop the child while we wait for its pixels.
            let listener = std::thread::Builder::new().name("ffmpeg messages".into());
            process.log = Some(listener.spawn(move || listen(messages)).map_err(backend)?);
        }
        Ok(process)
    }

    /// The channel into the child; `None` the second time.
    pub(super) fn input(&mut self) -> Option<ChildStdin> {
        self.input.take()
    }

    /// The channel out of the child; `None` the second time.
    pub(super) fn output(&mut self) -> Option<ChildStdout> {
        self.output.take()
    }

    /// Waits for the end, with both channels closed on our side. The log is told once. To be killed is an error of its own
    /// kind: it says nothing of the video.
    pub(super) fn end(&mut self) -> std::io::Result<(ExitStatus, Log)> {
        drop((self.input(), self.output()));
        let status = lock(&self.child).wait()?;
        if status.signal() == Some(KILLED) {
            return Err(std::io::Error::new(ErrorKind::Interrupted, "ffmpeg was killed"));
        }
        let log = self.log.take().and_then(|log| log.join().ok()).unwrap_or_default();
        Ok((status, log))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Neither does anything once the child has been waited for.
        let mut child = lock(&self.child);
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// The handle of a child, which no panic can leave half-changed.
pub(super) fn lock(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen(messages: impl Read) -> Log {
    let mut log = Log::default();
    let mut messages = BufReader::new(messages);
    let mut line = Vec::new();
    while messages.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&line[..line.len().min(LINE)]);
        let (level, message) = parse(text.trim_end());
        if is_damage(level, message) {
            log.complaint.get_or_insert_with(|| message.to_owned());
        } else if log.description.len() < LINES {
            log.description.push(message.to_owned());
        }
        line.clear();
    }
    log
}

/// Splits "[h264 @ 0x55d1] [error] no frame!" into "error" and "no frame!"; an unmarked line has the level "".
fn parse(line: &str) -> (&str, &str) {
    let mut rest = line;
    while let Some((tag, tail)) = rest.strip_prefix('[').and_then(|tagged| tagged.split_once("] ")) {
        match tag {
            "panic" | "fatal" | "error" | "warning" | "info" => return (tag, tail),
            _ => rest = tail,
        }
    }
    ("", line)
}

/// Decoders conceal what they cannot decode and go on, so each error counts. So does a warning of corruption: some
/// demuxers and decoders say no more than that.
fn is_damage(level: &str, message: &str) -> bool {
    match level {
        "panic" | "fatal" | "error" => true,
        "warning" => message.contains("corrupt"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_parted_from_who_said_them() {
        let (level, message) = parse("[vist#0:0/h264 @ 0x55] [dec:h264 @ 0x56] [error] Decoding error: no data");
        assert_eq!((level, message), ("error", "Decoding error: no data"));
        assert_eq!(parse("[info]   Stream #0:0"), ("info", "  Stream #0:0"));
        assert_eq!(parse("plain [error] text"), ("", "plain [error] text"));
    }

    #[test]
    fn the_first_sign_of_damage_is_kept() {
        let said = "[a @ 0x1] [warning] odd but fine\n[b @ 0x2] [warning] corrupt decoded frame\n[error] late\n";
        let log = listen(said.as_bytes());
        assert_eq!(log.complaint.as_deref(), Some("corrupt decoded frame"));
        assert_eq!(log.description, ["odd but fine"]);
    }

    #[test]
    fn endless_messages_are_cut() {
        let mut said = vec![b'x'; 10_000];
        said.extend(b"\n".repeat(5000));
        let log = listen(said.as_slice());
        assert_eq!(log.description[0].len(), LINE);
        assert_eq!(log.description.len(), LINES);
    }
}
