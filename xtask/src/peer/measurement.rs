//! What a measuring program tells.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// The line of JSON that a measuring program prints.
#[derive(Debug, Deserialize)]
pub(crate) struct Measurement {
    /// Of each timed repeat.
    seconds: Vec<f64>,
    /// The most memory that the process held, in MiB.
    peak_mb: f64,
    /// What it held with its weights made and nothing done, in MiB.
    base_mb: f64,
    /// What the first repeat gave, by name.
    pub(crate) first_step: BTreeMap<String, f64>,
}

impl Measurement {
    /// Runs a program to its end; its standard error is ours.
    pub(crate) fn take(command: &mut Command) -> Result<Self> {
        let program = command.get_program().display().to_string();
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let output = output.with_context(|| format!("cannot start {program}"))?;
        ensure!(output.status.success(), "{program} does not give a measurement: {}", output.status);
        Self::parse(&String::from_utf8_lossy(&output.stdout)).with_context(|| format!("what {program} printed"))
    }

    fn parse(line: &str) -> Result<Self> {
        let measurement: Self = serde_json::from_str(line)?;
        ensure!(!measurement.seconds.is_empty(), "no repeat was timed");
        Ok(measurement)
    }

    /// The median repeat.
    pub(crate) fn seconds(&self) -> f64 {
        median(self.seconds.iter().copied())
    }

    /// The peak above what the process held before, in MiB.
    pub(crate) fn memory(&self) -> f64 {
        self.peak_mb - self.base_mb
    }
}

/// The middle value, or the mean of both; not a number when there is none.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n => (values[(n - 1) / 2] + values[n / 2]) / 2.0,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// For tests of other modules.
    pub(crate) fn example(seconds: &[f64], memory: f64, losses: &[(&str, f64)]) -> Measurement {
        let first_step = losses.iter().map(|&(name, loss)| (name.to_owned(), loss)).collect();
        Measurement { seconds: seconds.to_vec(), peak_mb: 500.0 + memory, base_mb: 500.0, first_step }
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 9.0].into_iter()), 3.0);
        assert!(median(std::iter::empty()).is_nan());
    }

    #[test]
    fn a_line_of_a_program_is_read() {
        let line = r#"{"seconds": [3.0, 1.0, 2.0], "peak_mb": 1500.5, "base_mb": 500, "first_step": {"nll": 2.5}}"#;
        let measurement = Measurement::parse(line).unwrap();
        assert_eq!((measurement.seconds(), measurement.memory()), (2.0, 1000.5));
        assert_eq!(measurement.first_step["nll"], 2.5);
        for wrong in ["", "{}", &line.replace("3.0, 1.0, 2.0", ""), &line.replace("1500.5", "NaN")] {
            assert!(Measurement::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_program_that_fails_gives_no_measurement() {
        let error = Measurement::take(Command::new("false").arg("x")).unwrap_err().to_string();
        assert!(error.contains("false") && error.contains('1'), "{error}");
        assert!(Measurement::take(&mut Command::new("true")).is_err());
    }
}
