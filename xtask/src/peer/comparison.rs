//! Rounds of measurements of both sides, and what follows from them.

use std::fmt::{Display, Formatter};

use anyhow::{Result, bail};

use super::measurement::{Measurement, median};

/// Both sides compute the same function, of which float32 leaves about this (relative).
const TOLERANCE: f64 = 1e-3;

/// Measurements of ours and of the reference's, taken in turn.
#[derive(Default)]
pub(crate) struct Comparison {
    rounds: Vec<[Measurement; 2]>,
}

impl Comparison {
    pub(crate) fn add(&mut self, ours: Measurement, reference: Measurement) {
        self.rounds.push([ours, reference]);
    }

    /// The median of each side, and of the ratios within rounds.
    fn medians(&self, of: impl Fn(&Measurement) -> f64) -> [f64; 3] {
        let rounds = || self.rounds.iter().map(|sides| [of(&sides[0]), of(&sides[1])]);
        [median(rounds().map(|[a, _]| a)), median(rounds().map(|[_, b]| b)), median(rounds().map(|[a, b]| a / b))]
    }

    /// The number of the first step that differs most, and by how much of the larger one. One that only the reference
    /// tells differs by all of it.
    fn difference(&self) -> (&str, f64) {
        let differences = self.rounds.iter().flat_map(|[ours, reference]| {
            reference.first_step.iter().map(|(name, &expected)| {
                let found = ours.first_step.get(name).copied().unwrap_or(f64::NAN);
                let scale = f64::max(found.abs(), expected.abs());
                let difference = if found == expected { 0.0 } else { (found - expected).abs() / scale };
                (name.as_str(), if difference.is_nan() { 1.0 } else { difference })
            })
        });
        differences.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or(("nothing to compare", 1.0))
    }

    /// An error unless both sides' first steps gave the same numbers.
    pub(crate) fn check(&self) -> Result<()> {
        match self.difference() {
            (name, difference) if difference > TOLERANCE => bail!(
                "the sides do not compute the same: {name} of the first step differs by {difference:.1e} of its value, \
                 more than {TOLERANCE:.0e}"
            ),
            _ => Ok(()),
        }
    }
}

/// A table in Markdown.
impl Display for Comparison {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "| | ours | reference | ours / reference |\n|---|---|---|---|")?;
        let [ours, reference, ratio] = self.medians(Measurement::seconds);
        writeln!(f, "| seconds a step | {ours:.3} | {reference:.3} | {ratio:.2} |")?;
        let [ours, reference, ratio] = self.medians(Measurement::memory);
        writeln!(f, "| peak memory above the weights, MiB | {ours:.0} | {reference:.0} | {ratio:.2} |")?;
        let (name, difference) = self.difference();
        write!(f, "| largest difference of the first step's losses | | | {difference:.1e} ({name}) |")
    }
}

#[cfg(test)]
mod tests {
    use super::super::measurement::tests::example;
    use super::*;

    fn comparison(ours: &[(&str, f64)], reference: &[(&str, f64)]) -> Comparison {
        let mut comparison = Comparison::default();
        // The machine was busy in the second round.
        for busy in [1.0, 10.0, 1.0] {
            let ours = example(&[busy, 9.0 * busy, busy], 300.0, ours);
            comparison.add(ours, example(&[2.0 * busy], 400.0, reference));
        }
        comparison
    }

    #[test]
    fn ratios_are_taken_within_rounds() {
        let losses = [("nll", 2.0)];
        let table = comparison(&losses, &losses).to_string();
        assert!(table.contains("| seconds a step | 1.000 | 2.000 | 0.50 |"), "{table}");
        assert!(table.contains("MiB | 300 | 400 | 0.75 |"), "{table}");
        assert!(table.ends_with("| 0.0e0 (nll) |"), "{table}");

        let mut uneven = Comparison::default();
        for (ours, reference) in [(1.0, 2.0), (4.0, 4.0), (3.0, 12.0)] {
            uneven.add(example(&[ours], 1.0, &losses), example(&[reference], 1.0, &losses));
        }
        assert_eq!(uneven.medians(Measurement::seconds), [3.0, 4.0, 0.5]);
    }

    #[test]
    fn sides_that_compute_something_else_are_told() {
        let reference = [("lpips", 0.0), ("nll", -2.0), ("rec", 1.0)];
        let ours = |nll| [("lpips", 0.0), ("nll", nll), ("psnr", 30.0), ("rec", 1.000_001)];
        comparison(&ours(-2.0), &reference).check().unwrap();
        for nll in [-1.99, 2.0, f64::NAN, f64::INFINITY] {
            let error = comparison(&ours(nll), &reference).check().unwrap_err().to_string();
            assert!(error.contains("nll"), "{error}");
        }
        let error = comparison(&ours(-2.0)[..3], &reference).check().unwrap_err().to_string();
        assert!(error.contains("rec"), "{error}");
        assert!(comparison(&[], &[]).check().is_err());
    }
}
