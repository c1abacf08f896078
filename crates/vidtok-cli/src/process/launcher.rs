//! Several processes of this program on this machine, each told its place as torchrun tells it.

use std::env;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{self, Child, Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::thread::{available_parallelism, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};
use vidtok_core::Launch;

use crate::process::ending::Ending;
use crate::process::signals::{self, stop_on_signals};

/// Tells processes that [`start`] has started who that is.
const CHILD: &str = "VIDTOK_LAUNCHED";
/// libtorch's and OpenMP's number of threads.
const THREADS: &str = "OMP_NUM_THREADS";
/// How long the others may take to notice that one is gone.
const GRACE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// This process's place among others, if it was started as one of several.
pub(crate) fn launched() -> anyhow::Result<Option<Launch>> {
    if let Ok(launcher) = env::var(CHILD) {
        // However the launcher ends, nothing of it stays.
        set_parent_process_death_signal(Some(Signal::TERM)).context("cannot follow the launcher")?;
        ensure!(getppid().is_some_and(|parent| parent.to_string() == launcher), "the launcher is gone");
    }
    Ok(Launch::from_env()?)
}

/// Whether [`start`] has started this process.
pub(crate) fn is_child() -> bool {
    env::var_os(CHILD).is_some()
}

/// Whether this process speaks for all that were started together.
pub(crate) fn leads() -> bool {
    !matches!(Launch::from_env(), Ok(Some(launch)) if launch.rank > 0)
}

/// Starts `count` processes with this one's arguments, but for `--nproc`, and waits for their end. Their errors are theirs
/// to say; signals go to all of them, and if one was stopped by a signal, all are, and this one ends as it did.
pub(crate) fn start(count: usize) -> anyhow::Result<()> {
    let stop = stop_on_signals()?;
    let program = env::current_exe().context("cannot find this program")?;
    let arguments = without_nproc(env::args_os());
    let threads = available_parallelism().map_or(1, |cores| (cores.get() / count).max(1));
    let mut running = Vec::new();
    for launch in Launch::locals(count).context("cannot listen on this machine")? {
        let mut command = Command::new(&program);
        command.args(&arguments).envs(launch.variables()).env(CHILD, process::id().to_string());
        if env::var_os(THREADS).is_none() {
            command.env(THREADS, threads.to_string());
        }
        // A group of its own: the terminal's signals come through us, once.
        command.stdin(Stdio::null()).process_group(0);
        if launch.rank > 0 {
            command.stdout(Stdio::null());
        }
        match command.spawn() {
            Ok(child) => running.push((launch.rank, child)),
            Err(error) => {
                tell(&running, Signal::KILL);
                end(running);
                return Err(error).context(format!("cannot start process {}", launch.rank));
            }
        }
    }
    let (mut told, mut said, mut stopped) = (false, false, None);
    while !running.is_empty() {
        if stop.load(Ordering::Relaxed) && !told {
            let signal = signals::received().and_then(Signal::from_named_raw).unwrap_or(Signal::TERM);
            tell(&running, signal);
            told = true;
        }
        let Some(first) = take_ended(&mut running)? else {
            sleep(POLL);
            continue;
        };
        let by_itself = first.1.code().and_then(signals::stop_status);
        // It may have been told before it could hear.
        let at_once = first.1.signal().filter(|_| told).map(signals::status);
        if let Some(status) = by_itself.or(at_once.and_then(|status| signals::stop_status(status.into()))) {
            said |= first.0 == 0 && by_itself.is_some();
            // The others stop, too, and may take their time to save what they have.
            if !std::mem::replace(&mut told, true) {
                tell(&running, Signal::TERM);
            }
            stopped = Some(status);
            continue;
        }
        if !first.1.success() {
            let others = end(running);
            // Who was killed is the cause, even if another was quicker to notice and end.
            let all = || std::iter::once(&first).chain(&others);
            let (rank, status) = all().find(|(_, status)| status.signal().is_some()).unwrap_or(&first);
            bail!("process {rank} of {count} {}; the others have ended with it", how(*status));
        }
    }
    let Some(status) = stopped else { return Ok(()) };
    // The first process says so itself, unless it was told before it could hear.
    let line = (!said).then(|| signals::stopped_by(i32::from(status) - 128, "the same command goes on"));
    Err(Ending { status, line }.into())
}

/// Arguments without the program's name and `--nproc N` or `--nproc=N`.
fn without_nproc<T: AsRef<std::ffi::OsStr>>(arguments: impl Iterator<Item = T>) -> Vec<T> {
    let mut value_follows = false;
    let mut kept = Vec::new();
    for argument in arguments.skip(1) {
        let text = argument.as_ref();
        if std::mem::take(&mut value_follows) {
            continue;
        }
        value_follows = text == "--nproc";
        if !value_follows && !text.as_encoded_bytes().starts_with(b"--nproc=") {
            kept.push(argument);
        }
    }
    kept
}

/// A process that has ended.
fn take_ended(running: &mut Vec<(usize, Child)>) -> anyhow::Result<Option<(usize, ExitStatus)>> {
    for place in 0..running.len() {
        if let Some(status) = running[place].1.try_wait().context("cannot wait for a process")? {
            return Ok(Some((running.remove(place).0, status)));
        }
    }
    Ok(None)
}

fn tell(running: &[(usize, Child)], signal: Signal) {
    for (_, child) in running {
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            // One that has just ended needs no telling.
            let _ = kill_process(pid, signal);
        }
    }
}

/// Waits until all notice that one is gone, and then no longer; gives how those ended that did so themselves.
fn end(mut running: Vec<(usize, Child)>) -> Vec<(usize, ExitStatus)> {
    let start = Instant::now();
    let mut ended = Vec::new();
    while !running.is_empty() && start.elapsed() < GRACE {
        match take_ended(&mut running) {
            Ok(Some(one)) => ended.push(one),
            _ => sleep(POLL),
        }
    }
    for (_, mut child) in running {
        let _ = child.kill();
        let _ = child.wait();
    }
    ended
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("has failed with status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "has ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_get_all_arguments_but_their_number() {
        let all = ["vidtok", "train", "--nproc", "3", "--config", "a", "--nproc=2", "--set", "x=--nproc"];
        assert_eq!(without_nproc(all.into_iter()), ["train", "--config", "a", "--set", "x=--nproc"]);
    }
}
