//! The log of a run: a line of JSON for each step and each validation.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{StepReport, TrainError, Validation};

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum LogEntry {
    /// A step was taken.
    Step {
        /// Its numbers.
        #[serde(flatten)]
        report: StepReport,
        /// Seconds that it took.
        seconds: f64,
        /// The share of them that was spent waiting for clips.
        waiting: f64,
    },
    /// The model was measured.
    Validation(Validation),
}

/// `log.jsonl` of a stage.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    entries: Vec<LogEntry>,
}

impl Log {
    /// Opens the log of a run that goes on at `step`: what an ended process wrote of later steps is dropped, those
    /// steps are taken again.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub(crate) fn open(path: &Path, step: u64) -> Result<Self, TrainError> {
        let io = |error| TrainError::io(path, error);
        let mut kept = Vec::new();
        let mut entries = Vec::new();
        match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io(error)),
            Ok(file) => {
                for line in BufReader::new(file).split(b'\n') {
                    let line = line.map_err(io)?;
                    // The last line of a killed process may be cut.
                    let Ok(entry) = serde_json::from_slice::<LogEntry>(&line) else { continue };
                    let stays = match &entry {
                        LogEntry::Step { report, .. } => report.step < step,
                        LogEntry::Validation(validation) => validation.step <= step,
                    };
                    if stays {
                        kept.extend_from_slice(&line);
                        kept.push(b'\n');
                        entries.push(entry);
                    }
                }
            }
        }
        vidtok_core::write_atomically(path, |temporary| fs::write(temporary, &kept)).map_err(io)?;
        let file = OpenOptions::new().append(true).open(path).map_err(io)?;
        Ok(Self { path: path.to_owned(), file, entries })
    }

    /// Appends a line.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn add(&mut self, entry: LogEntry) -> Result<(), TrainError> {
        let write = |file: &mut File| -> io::Result<()> {
            let mut line = serde_json::to_vec(&entry)?;
            line.push(b'\n');
            file.write_all(&line)
        };
        write(&mut self.file).map_err(|error| TrainError::io(&self.path, error))?;
        self.entries.push(entry);
        Ok(())
    }

    /// All lines so far.
    pub(crate) fn entries(&self) -> &[LogEntry] {
        &self.entries
    }

    /// All validations, in their order.
    pub(crate) fn validations(&self) -> impl DoubleEndedIterator<Item = &Validation> {
        self.entries.iter().filter_map(|entry| match entry {
            LogEntry::Validation(validation) => Some(validation),
            LogEntry::Step { .. } => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AdversaryReport, Quality};

    fn step(step: u64) -> LogEntry {
        let report = StepReport {
            step,
            loss: 1.5,
            nll: 1.0,
            rec: 0.5,
            lpips: (step > 1).then_some(0.25),
            quantizer: 0.1,
            logvar: 0.0,
            psnr: 20.0,
            gradient_norm: 3.0,
            learning_rate: 1e-4,
            adversary: (step > 2).then(AdversaryReport::default),
            skipped: false,
        };
        LogEntry::Step { report, seconds: 0.5, waiting: 0.0 }
    }

    fn validation(step: u64) -> LogEntry {
        LogEntry::Validation(Validation { step, model: Quality::default(), ema: None })
    }

    #[test]
    fn a_run_that_goes_on_takes_up_its_log_where_its_state_stands() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let all = [validation(0), step(0), step(1), step(2), validation(3), step(3), step(4), validation(5)];
        let mut log = Log::open(&path, 0).unwrap();
        for entry in all.clone() {
            log.add(entry).unwrap();
        }
        // A killed process leaves half a line.
        log.file.write_all(b"{\"kind\":\"st").unwrap();
        let mut log = Log::open(&path, 3).unwrap();
        assert_eq!(log.entries(), &all[..5]);
        log.add(step(3)).unwrap();
        assert_eq!(Log::open(&path, 9).unwrap().entries(), &all[..6]);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 6);
    }
}
