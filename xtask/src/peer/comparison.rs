//! Rounds of measurements of all sides, and what follows from them.

use anyhow::{Error, Result, bail, ensure};

use super::measurement::Measurement;

/// All sides compute the same function, of which float32 leaves about this (relative).
const TOLERANCE: f64 = 1e-3;
/// Indices may differ where a value lies between two levels.
const EQUAL_INDICES: f64 = 0.99;

/// Measurements of ours and of others, taken in turn.
pub(crate) struct Comparison {
    pub(super) ours: Vec<Measurement>,
    /// In the order of their names.
    pub(super) peers: Vec<Column>,
}

/// What another program gave in each round, or in a word why it gave nothing.
pub(crate) struct Column {
    pub(super) name: &'static str,
    pub(super) runs: Result<Vec<Measurement>, String>,
}

impl Column {
    /// One failure is enough.
    pub(crate) fn add(&mut self, run: Result<Measurement>) {
        match (&mut self.runs, run) {
            (Ok(runs), Ok(run)) => runs.push(run),
            (Ok(_), Err(error)) => self.runs = Err(in_one_line(&error)),
            (Err(_), _) => {}
        }
    }
}

/// For a cell of a table.
fn in_one_line(error: &Error) -> String {
    format!("failed: {error:#}").lines().next().unwrap_or_default().replace('|', "/")
}

impl Comparison {
    pub(crate) fn new(peers: impl IntoIterator<Item = &'static str>) -> Self {
        let peers = peers.into_iter().map(|name| Column { name, runs: Ok(Vec::new()) });
        Self { ours: Vec::new(), peers: peers.collect() }
    }

    /// Runs of the same rounds.
    pub(super) fn pairs<'a>(
        &'a self,
        theirs: &'a [Measurement],
    ) -> impl Iterator<Item = (&'a Measurement, &'a Measurement)> {
        self.ours.iter().zip(theirs)
    }

    /// The number of the first repeat that differs most, and by how much of the largest of its kind. One that only the
    /// peer tells differs by all of it.
    pub(super) fn difference<'a>(&'a self, theirs: &'a [Measurement]) -> Option<(&'a str, f64)> {
        let differences = self.pairs(theirs).flat_map(|(ours, theirs)| {
            theirs.first.iter().map(|(name, expected)| {
                let found = ours.first.get(name).map_or(&[][..], Vec::as_slice);
                (name.as_str(), difference(found, expected))
            })
        });
        differences.max_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// The share of indices of the first repeat that are equal, in the worst round.
    pub(super) fn equal_indices(&self, theirs: &[Measurement]) -> Option<f64> {
        let pairs = self.pairs(theirs).filter(|(ours, theirs)| !(ours.indices.is_empty() && theirs.indices.is_empty()));
        let shares = pairs.map(|(ours, theirs)| {
            let equal = ours.indices.iter().zip(&theirs.indices).filter(|(a, b)| a == b).count();
            equal as f64 / ours.indices.len().max(theirs.indices.len()) as f64
        });
        shares.min_by(f64::total_cmp)
    }

    /// Whether all others have failed.
    pub(crate) fn is_alone(&self) -> bool {
        self.peers.iter().all(|column| column.runs.is_err())
    }

    /// An error unless the first repeats of all sides that did not fail, two at least, gave the same numbers.
    pub(crate) fn check(&self) -> Result<()> {
        ensure!(!self.is_alone(), "there is nothing to compare with: all others have failed");
        for Column { name, runs } in &self.peers {
            let Ok(theirs) = runs else { continue };
            let (difference, equal) = (self.difference(theirs), self.equal_indices(theirs));
            if let Some((number, difference)) = difference.filter(|(_, difference)| *difference > TOLERANCE) {
                bail!(
                    "ours and {name} do not compute the same: {number} of the first repeat differs by {difference:.1e} \
                     of its value, more than {TOLERANCE:.0e}"
                );
            }
            if let Some(equal) = equal.filter(|equal| *equal < EQUAL_INDICES) {
                bail!("ours and {name} do not compute the same: only {:.1} % of the indices are equal", 100.0 * equal);
            }
            if difference.is_none() && equal.is_none() {
                bail!("{name} gave nothing to compare");
            }
        }
        Ok(())
    }
}

/// The largest difference between numbers of one kind, of the largest of them; all of it where something is missing or
/// no number.
fn difference(found: &[f64], expected: &[f64]) -> f64 {
    if found.len() != expected.len() {
        return 1.0;
    }
    let scale = found.iter().chain(expected).fold(0.0, |scale, value| f64::max(scale, value.abs()));
    let differences = found.iter().zip(expected).map(|(found, expected)| {
        let difference = if found == expected { 0.0 } else { (found - expected).abs() / scale };
        if difference.is_nan() { 1.0 } else { difference }
    });
    differences.fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::super::measurement::tests::example;
    use super::*;

    fn comparison(ours: Measurement, reference: Measurement) -> Comparison {
        let mut comparison = Comparison::new(["reference"]);
        comparison.ours.push(ours);
        comparison.peers[0].add(Ok(reference));
        comparison
    }

    #[test]
    fn sides_that_compute_something_else_are_told() {
        let check = |ours: &[(&str, &[f64])]| {
            let reference: [(&str, &[f64]); 3] = [("lpips", &[0.0]), ("nll", &[-2.0, 1e-6]), ("rec", &[1.0])];
            comparison(example(&[1.0], 1.0, ours, &[]), example(&[1.0], 1.0, &reference, &[])).check()
        };
        let ours =
            |nll: &'static [f64]| [("lpips", &[0.0][..]), ("nll", nll), ("psnr", &[30.0]), ("rec", &[1.000_001])];
        check(&ours(&[-2.0, 1e-6])).unwrap();
        // Small beside the largest of its kind.
        check(&ours(&[-2.0, 2e-6])).unwrap();
        let others: [&[f64]; 6] =
            [&[-1.99, 1e-6], &[2.0, 1e-6], &[f64::NAN, 1e-6], &[f64::INFINITY, 1e-6], &[-2.0, 0.01], &[-2.0]];
        for nll in others {
            let error = check(&ours(nll)).unwrap_err().to_string();
            assert!(error.contains("nll") && error.contains("reference"), "{error}");
        }
        let error = check(&ours(&[-2.0, 1e-6])[..3]).unwrap_err().to_string();
        assert!(error.contains("rec"), "{error}");
    }

    #[test]
    fn few_indices_may_differ() {
        let reference: Vec<i64> = (0..1000).collect();
        let shifted = |by: usize| -> Vec<i64> { (0..1000).map(|i| if i < by { -1 } else { i as i64 }).collect() };
        let check = |ours: &[i64], theirs: &[i64]| {
            comparison(example(&[1.0], 1.0, &[], ours), example(&[1.0], 1.0, &[], theirs)).check()
        };
        check(&shifted(1), &reference).unwrap();
        let error = check(&shifted(20), &reference).unwrap_err().to_string();
        assert!(error.contains("98.0 %"), "{error}");
        assert!(check(&reference[..900], &reference).is_err());
        assert!(check(&[], &reference).is_err());
        assert!(check(&reference, &[]).is_err());
        assert!(check(&[], &[]).unwrap_err().to_string().contains("nothing to compare"));
    }

    #[test]
    fn a_program_that_failed_once_is_not_compared() {
        let losses: [(&str, &[f64]); 1] = [("nll", &[2.0])];
        let mut comparison = comparison(example(&[1.0], 1.0, &losses, &[]), example(&[1.0], 1.0, &losses, &[]));
        comparison.peers.push(Column { name: "compiled", runs: Ok(Vec::new()) });
        let compiled = &mut comparison.peers[1];
        compiled.add(Err(Error::msg("no | compiler\nis here").context("torch")));
        compiled.add(Ok(example(&[1.0], 1.0, &[], &[])));
        assert_eq!(compiled.runs.as_ref().unwrap_err(), "failed: torch: no / compiler");
        comparison.check().unwrap();
        assert!(!comparison.is_alone());
        comparison.peers[0].runs = Err("failed: no memory".to_owned());
        assert!(comparison.is_alone() && comparison.check().unwrap_err().to_string().contains("all others"));
    }
}
