//! What a measuring program tells.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
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
    /// What the first repeat gave: numbers of one kind, by name.
    pub(crate) first: BTreeMap<String, Vec<f64>>,
    /// Codebook indices that the first repeat gave; none where there are none.
    #[serde(default)]
    pub(crate) indices: Vec<i64>,
    /// Only ours counts them.
    flops: Option<Flops>,
}

/// Floating-point operations; a multiplication and its addition are two.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Flops {
    /// In a repeat.
    executed: f64,
    /// That products of large matrices reach in the same process.
    sgemm_a_second: f64,
}

impl Measurement {
    /// Runs a program to its end. What it writes to standard error goes to ours; the last line of it is in the error of
    /// a program that fails.
    pub(crate) fn take(command: &mut Command) -> Result<Self> {
        let program = command.get_program().display().to_string();
        let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {program}"))?;
        let told = String::from_utf8_lossy(&output.stderr);
        eprint!("{told}");
        if !output.status.success() {
            let last = told.lines().map(str::trim).rfind(|line| !line.is_empty());
            bail!("{}", last.map_or_else(|| format!("{program}: {}", output.status), str::to_owned));
        }
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

    /// What the process held with its weights, in MiB.
    pub(crate) fn base(&self) -> f64 {
        self.base_mb
    }

    /// The peak above that, in MiB.
    pub(crate) fn memory(&self) -> f64 {
        self.peak_mb - self.base_mb
    }

    /// 10^9 operations that a repeat executes, how many of them in a second, and how many products of large matrices
    /// reach.
    pub(crate) fn gflops(&self) -> Option<[f64; 3]> {
        let Flops { executed, sgemm_a_second } = self.flops?;
        Some([executed, executed / self.seconds(), sgemm_a_second].map(|flops| flops / 1e9))
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
    pub(crate) fn example(seconds: &[f64], memory: f64, first: &[(&str, &[f64])], indices: &[i64]) -> Measurement {
        Measurement {
            seconds: seconds.to_vec(),
            peak_mb: 500.0 + memory,
            base_mb: 500.0,
            first: first.iter().map(|&(name, numbers)| (name.to_owned(), numbers.to_vec())).collect(),
            indices: indices.to_vec(),
            flops: None,
        }
    }

    impl Measurement {
        pub(crate) fn with_flops(self, executed: f64, sgemm_a_second: f64) -> Self {
            Self { flops: Some(Flops { executed, sgemm_a_second }), ..self }
        }
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 9.0].into_iter()), 3.0);
        assert!(median(std::iter::empty()).is_nan());
    }

    #[test]
    fn a_line_of_a_program_is_read() {
        let line = r#"{"seconds": [3.0, 1.0, 2.0], "peak_mb": 1500.5, "base_mb": 500, "first": {"nll": [2.5]}}"#;
        let measurement = Measurement::parse(line).unwrap();
        assert_eq!((measurement.seconds(), measurement.base(), measurement.memory()), (2.0, 500.0, 1000.5));
        assert_eq!(measurement.first["nll"], [2.5]);
        assert!(measurement.indices.is_empty() && measurement.gflops().is_none());
        for wrong in ["", "{}", &line.replace("3.0, 1.0, 2.0", ""), &line.replace("1500.5", "NaN")] {
            assert!(Measurement::parse(wrong).is_err(), "{wrong}");
        }

        let more = r#""indices": [5, 262143], "flops": {"executed": 4000000000, "sgemm_a_second": 8e9}"#;
        let measurement = Measurement::parse(&line.replace(r#""first""#, &format!(r#"{more}, "first""#))).unwrap();
        assert_eq!(measurement.indices, [5, 262_143]);
        assert_eq!(measurement.gflops(), Some([4.0, 2.0, 8.0]));
    }

    #[test]
    fn a_program_that_fails_gives_its_last_words() {
        let shell = |script: &str| Measurement::take(Command::new("sh").args(["-c", script])).unwrap_err().to_string();
        assert_eq!(shell("echo first >&2; echo 'Error: no memory' >&2; echo >&2; exit 3"), "Error: no memory");
        let silent = shell("exit 3");
        assert!(silent.contains("sh") && silent.contains('3'), "{silent}");
        assert!(Measurement::take(&mut Command::new("true")).is_err());
    }
}
