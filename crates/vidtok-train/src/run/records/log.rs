//! The log of a stage: a line of JSON for each step and each validation.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::run::validation::Validation;
use crate::step::report::StepReport;

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum LogEntry {
    /// A step was taken.
    Step {
        /// The numbers of the step.
        #[serde(flatten)]
        report: StepReport,
        /// The duration in seconds.
        seconds: f64,
        /// The fraction of the duration spent waiting for clips.
        waiting: f64,
    },
    /// The model was validated.
    Validation(Validation),
}

/// `log.jsonl` of a stage. It may have millions of lines, so only a summary is kept in memory.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    validations: Validations,
}

/// A summary of the validations so far.
#[derive(Debug)]
pub(crate) struct Validations {
    pub(crate) first: Option<Validation>,
    pub(crate) last: Option<Validation>,
    /// The lowest [`Validation::rec`].
    pub(crate) best: f64,
}

impl Log {
    /// Opens the log of a stage that resumes at `step`. Lines of later steps are dropped, since those steps are taken again.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub(crate) fn open(path: &Path, step: u64) -> Result<Self, TrainError> {
        let io = |error| TrainError::io(path, error);
        let earlier = lines(path).map_err(io)?;
        let mut validations = Validations { first: None, last: None, best: f64::INFINITY };
        vidtok_core::write_atomically(path, |temporary| {
            let mut kept = BufWriter::new(File::create(temporary)?);
            for line in earlier {
                let line = line?;
                match parse(&line) {
                    Some(LogEntry::Step { report, .. }) if report.step < step => {}
                    Some(LogEntry::Validation(validation)) if validation.step <= step => {
                        validations.count(&validation);
                    }
                    _ => continue,
                }
                kept.write_all(&line)?;
                kept.write_all(b"\n")?;
            }
            kept.flush()
        })
        .map_err(io)?;
        let file = OpenOptions::new().append(true).open(path).map_err(io)?;
        Ok(Self { path: path.to_owned(), file, validations })
    }

    /// Appends a line.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn add(&mut self, entry: &LogEntry) -> Result<(), TrainError> {
        let write = |file: &mut File| -> io::Result<()> {
            let mut line = serde_json::to_vec(entry)?;
            line.push(b'\n');
            file.write_all(&line)
        };
        write(&mut self.file).map_err(|error| TrainError::io(&self.path, error))?;
        if let LogEntry::Validation(validation) = entry {
            self.validations.count(validation);
        }
        Ok(())
    }

    /// Reads all lines so far.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn entries(&self) -> Result<impl Iterator<Item = Result<LogEntry, TrainError>>, TrainError> {
        let io = |error| TrainError::io(&self.path, error);
        let entry = move |line: io::Result<Vec<u8>>| line.map(|line| parse(&line)).map_err(io).transpose();
        Ok(lines(&self.path).map_err(io)?.filter_map(entry))
    }

    /// A summary of the validations so far.
    pub(crate) fn validations(&self) -> &Validations {
        &self.validations
    }
}

impl Validations {
    fn count(&mut self, validation: &Validation) {
        self.first.get_or_insert_with(|| validation.clone());
        self.last = Some(validation.clone());
        self.best = self.best.min(validation.rec());
    }
}

/// The lines of a file; none if it does not exist.
fn lines(path: &Path) -> io::Result<impl Iterator<Item = io::Result<Vec<u8>>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        opened => Some(opened?),
    };
    Ok(file.into_iter().flat_map(|file| BufReader::new(file).split(b'\n')))
}

/// Parses a line; `None` for a partial line that a killed process left.
fn parse(line: &[u8]) -> Option<LogEntry> {
    serde_json::from_slice(line).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::run::validation::Scores;
    use crate::step::report::GanReport;

    fn step(step: u64) -> LogEntry {
        let report = StepReport {
            step,
            loss: 1.5,
            nll: 1.0,
            rec: 0.5,
            lpips: (step > 1).then_some(0.25),
            other_losses: (step > 1).then(|| ("edges".to_owned(), 0.5)).into_iter().collect(),
            quantizer: 0.1,
            logvar: 0.0,
            psnr: 20.0,
            gradient_norm: 3.0,
            learning_rate: 1e-4,
            gan: (step > 2).then(GanReport::default),
            skipped: false,
        };
        LogEntry::Step { report, seconds: 0.5, waiting: 0.0 }
    }

    fn validation(step: u64) -> LogEntry {
        validation_with(step, 0.0)
    }

    fn validation_with(step: u64, rec: f64) -> LogEntry {
        LogEntry::Validation(Validation { step, model: Scores { rec, ..Scores::default() }, ema: None })
    }

    #[test]
    fn the_first_last_and_best_validation_are_known_after_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let mut log = Log::open(&path, 0).unwrap();
        for (step, rec) in [(0, 0.5), (2, 0.2), (4, 0.3)] {
            log.add(&validation_with(step, rec)).unwrap();
        }
        for (log, last, best) in
            [(&log, 4, 0.2), (&Log::open(&path, 3).unwrap(), 2, 0.2), (&Log::open(&path, 0).unwrap(), 0, 0.5)]
        {
            let Validations { first, last: found, best: least } = log.validations();
            let steps = [first, found].map(|one| one.as_ref().unwrap().step);
            assert_eq!((steps, *least), ([0, last], best));
        }
    }

    #[test]
    fn a_skipped_step_is_logged_with_its_numbers_that_are_not_finite() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let LogEntry::Step { mut report, .. } = step(3) else { unreachable!() };
        (report.loss, report.lpips, report.skipped) = (f64::INFINITY, Some(f64::NAN), true);
        report.other_losses.insert("edges".to_owned(), f64::NAN);
        report.gan.as_mut().unwrap().discriminator = f64::NAN;
        let entry = LogEntry::Step { report, seconds: 0.5, waiting: 0.0 };
        Log::open(&path, 0).unwrap().add(&entry).unwrap();
        let log = Log::open(&path, 4).unwrap();
        let read: Vec<LogEntry> = log.entries().unwrap().map(Result::unwrap).collect();
        let [LogEntry::Step { report, .. }] = read.as_slice() else { panic!("{read:?}") };
        assert!(report.skipped && report.loss.is_nan() && report.psnr == 20.0 && report.other_losses["edges"].is_nan());
        assert!(report.lpips.is_some_and(f64::is_nan), "a number that is not finite is read as NaN, not as missing");
        let named: Vec<&str> = report.faults().iter().map(|(name, _)| *name).collect();
        assert_eq!(named, ["loss", "discriminator"]);
    }

    #[test]
    fn a_resumed_log_drops_the_lines_of_steps_that_are_taken_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let all = [validation(0), step(0), step(1), step(2), validation(3), step(3), step(4), validation(5)];
        let mut log = Log::open(&path, 0).unwrap();
        for entry in all.clone() {
            log.add(&entry).unwrap();
        }
        // A killed process leaves a partial line.
        log.file.write_all(b"{\"kind\":\"st").unwrap();
        let mut log = Log::open(&path, 3).unwrap();
        let entries = |log: &Log| log.entries().unwrap().map(Result::unwrap).collect::<Vec<_>>();
        assert_eq!(entries(&log), &all[..5]);
        log.add(&step(3)).unwrap();
        assert_eq!(entries(&Log::open(&path, 9).unwrap()), &all[..6]);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 6);
    }
}
