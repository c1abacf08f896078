//! Starts several processes of this program on this machine, with torchrun's environment variables.

use std::env;
use std::ffi::OsStr;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::thread::{available_parallelism, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use vidtok_core::Launch;

use crate::process::exit::Exit;
use crate::process::rank::child_mark;
use crate::process::signals::{self, CONTINUE};

/// The number of threads of libtorch and OpenMP.
const THREADS: &str = "OMP_NUM_THREADS";
/// Whether libtorch writes what NCCL did last when it aborts a process: pages of no use to users.
const NCCL_DUMP: &str = "TORCH_NCCL_DUMP_ON_TIMEOUT";
/// The signal of `abort`.
const ABORT: i32 = 6;
/// How long the other processes may take to notice that one has failed.
const GRACE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// A started process and its rank.
type RankedChild = (usize, Child);

/// Starts `count` processes with this one's arguments except `--nproc`, and waits until all have exited.
///
/// Each process reports its own errors. Signals are passed on to all processes. If one process was stopped by a signal,
/// all are stopped, and this one exits with the same status.
pub(crate) fn start(count: usize) -> anyhow::Result<()> {
    let stop = signals::stop_gracefully()?;
    let mut running = spawn(count)?;
    // Whether the processes were asked to stop, whether rank 0 has reported it, and the exit status of a stopped
    // process.
    let (mut asked, mut explained, mut stopped) = (false, false, None);
    while !running.is_empty() {
        if stop.load(Ordering::Relaxed) && !asked {
            let signal = signals::received().and_then(Signal::from_named_raw).unwrap_or(Signal::TERM);
            send(&running, signal);
            asked = true;
        }
        let Some((rank, status)) = take_exited(&mut running)? else {
            sleep(POLL);
            continue;
        };
        let handled = status.code().and_then(signals::stop_status);
        // A process that was asked to stop before it had installed its handlers dies of the signal.
        let died = status.signal().filter(|_| asked).map(|signal| signals::exit_status(signal).into());
        if let Some(status) = handled.or(died.and_then(signals::stop_status)) {
            explained |= rank == 0 && handled.is_some();
            // The others stop too, and may take their time to save their state.
            if !std::mem::replace(&mut asked, true) {
                send(&running, Signal::TERM);
            }
            stopped = Some(status);
            continue;
        }
        if !status.success() {
            let others = wait_or_kill(running);
            // A killed process is the cause, even if another one noticed and exited first.
            let mut all = std::iter::once((rank, status)).chain(others);
            let (rank, status) = all.find(|(_, status)| status.signal().is_some()).unwrap_or((rank, status));
            bail!("process {rank} of {count} {}; the other processes were stopped", describe(status));
        }
    }
    let Some(status) = stopped else { return Ok(()) };
    let line = (!explained).then(|| signals::stop_line(i32::from(status) - 128, CONTINUE));
    Err(Exit { status, line }.into())
}

fn spawn(count: usize) -> anyhow::Result<Vec<RankedChild>> {
    let program = env::current_exe().context("cannot find this program")?;
    let arguments = without_nproc(env::args_os());
    let threads = available_parallelism().map_or(1, |cores| (cores.get() / count).max(1));
    let mut running = Vec::new();
    for launch in Launch::locals(count).context("cannot listen on this machine")? {
        let mut command = Command::new(&program);
        command.args(&arguments).envs(launch.variables()).envs([child_mark()]);
        for (variable, value) in [(THREADS, threads.to_string()), (NCCL_DUMP, "0".to_owned())] {
            if env::var_os(variable).is_none() {
                command.env(variable, value);
            }
        }
        // In its own process group, a child receives the terminal's signals once, through this process.
        command.stdin(Stdio::null()).process_group(0);
        if launch.rank > 0 {
            command.stdout(Stdio::null());
        }
        match command.spawn() {
            Ok(child) => running.push((launch.rank, child)),
            Err(error) => {
                send(&running, Signal::KILL);
                wait_or_kill(running);
                return Err(error).context(format!("cannot start process {}", launch.rank));
            }
        }
    }
    Ok(running)
}

/// Arguments without the program's name and `--nproc N` or `--nproc=N`.
fn without_nproc<T: AsRef<OsStr>>(arguments: impl Iterator<Item = T>) -> Vec<T> {
    let mut value_follows = false;
    let mut remaining = Vec::new();
    for argument in arguments.skip(1) {
        let text = argument.as_ref();
        if std::mem::take(&mut value_follows) {
            continue;
        }
        value_follows = text == "--nproc";
        if !value_follows && !text.as_encoded_bytes().starts_with(b"--nproc=") {
            remaining.push(argument);
        }
    }
    remaining
}

/// Removes a process that has exited from `running`; `None` if all still run.
fn take_exited(running: &mut Vec<RankedChild>) -> anyhow::Result<Option<(usize, ExitStatus)>> {
    for index in 0..running.len() {
        if let Some(status) = running[index].1.try_wait().context("cannot wait for a process")? {
            return Ok(Some((running.remove(index).0, status)));
        }
    }
    Ok(None)
}

fn send(running: &[RankedChild], signal: Signal) {
    for (_, child) in running {
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            // This fails only for a process that has just exited.
            let _ = kill_process(pid, signal);
        }
    }
}

/// Waits for the processes to exit and kills those that still run after [`GRACE`]. Returns the statuses of those that
/// exited.
fn wait_or_kill(mut running: Vec<RankedChild>) -> Vec<(usize, ExitStatus)> {
    let start = Instant::now();
    let mut exited = Vec::new();
    while !running.is_empty() && start.elapsed() < GRACE {
        match take_exited(&mut running) {
            Ok(Some(one)) => exited.push(one),
            _ => sleep(POLL),
        }
    }
    for (_, mut child) in running {
        let _ = child.kill();
        let _ = child.wait();
    }
    exited
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("failed with status {code}"),
        (None, Some(ABORT)) => {
            format!("was killed by signal {ABORT} (libtorch aborts a process whose NCCL waits for another one in vain)")
        }
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "exited".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_get_all_arguments_except_nproc() {
        let all = ["vidtok", "train", "--nproc", "3", "--config", "a", "--nproc=2", "--set", "x=--nproc"];
        assert_eq!(without_nproc(all.into_iter()), ["train", "--config", "a", "--set", "x=--nproc"]);
    }
}
