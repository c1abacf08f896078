//! Whole runs in tests.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tch::Device;
use vidtok::Tokenizer;
use vidtok_train::{LogEntry, Observer, RunOptions, StepReport, TrainingSummary};

/// A small network, which halves time and space once.
pub(crate) const MODEL: &str = r#"
[model]
causality = "v1.0"
ch = 8
ch_mult = [1, 1]
num_res_blocks = 1
spatial_down = [0]
spatial_up = [1]
temporal_down = [0]
temporal_up = [1]
"#;

/// Lets one test run at a time: all draw from libtorch's one generator.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static RUNNING: Mutex<()> = Mutex::new(());
    tch::set_num_threads(1);
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An observer that shows nothing.
pub(crate) struct Silent;

impl Observer for Silent {}

/// Options of a run on the CPU in one process.
pub(crate) fn options() -> RunOptions {
    RunOptions {
        device: Device::Cpu,
        stop: Arc::new(AtomicBool::new(false)),
        group: None,
        tokenizer: Tokenizer::builder(),
        losses: Vec::new(),
    }
}

/// The logged steps of a run.
pub(crate) fn steps(summary: &TrainingSummary) -> Vec<StepReport> {
    let log = fs::read_to_string(summary.stages[0].model.with_file_name("log.jsonl")).unwrap();
    let entries = log.lines().map(|line| serde_json::from_str(line).unwrap());
    let steps = entries.filter_map(|entry| match entry {
        LogEntry::Step { report, .. } => Some(report),
        LogEntry::Validation(_) => None,
    });
    steps.collect()
}
