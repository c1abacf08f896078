//! A comparison as a table in Markdown.

use std::fmt::{Display, Formatter};

use super::comparison::{Column, Comparison};
use super::measurement::{Measurement, median};

/// What stands in a line: what it is about, a cell of ours, and for each peer one of its own and one of both.
struct Line {
    label: String,
    ours: String,
    peers: Vec<[String; 2]>,
}

impl Display for Line {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "| {} | {} |", self.label, self.ours)?;
        for [own, both] in &self.peers {
            write!(f, " {own} | {both} |")?;
        }
        Ok(())
    }
}

impl Comparison {
    fn line(&self, label: &str, ours: String, of_peer: impl Fn(&[Measurement]) -> [String; 2]) -> Line {
        let cells = |column: &Column| column.runs.as_deref().map(&of_peer).unwrap_or_default();
        Line { label: label.to_owned(), ours, peers: self.peers.iter().map(cells).collect() }
    }

    /// The median of each side, and of the ratios within rounds.
    fn medians(&self, label: &str, digits: usize, of: impl Fn(&Measurement) -> f64) -> Line {
        let number = |runs: &[Measurement]| format!("{:.digits$}", median(runs.iter().map(&of)));
        self.line(label, number(&self.ours), |theirs| {
            let ratio = median(self.pairs(theirs).map(|(ours, theirs)| of(ours) / of(theirs)));
            [number(theirs), format!("{ratio:.2}")]
        })
    }

    /// How well both sides agree; nothing where no side says anything of the kind.
    fn agreement(&self, label: &str, of: impl Fn(&[Measurement]) -> Option<String>) -> Option<Line> {
        let line = self.line(label, String::new(), |theirs| [String::new(), of(theirs).unwrap_or_default()]);
        line.peers.iter().any(|[_, both]| !both.is_empty()).then_some(line)
    }

    /// What only ours counts.
    fn operations(&self) -> Vec<Line> {
        let rounds: Vec<[f64; 3]> = self.ours.iter().filter_map(Measurement::gflops).collect();
        if rounds.is_empty() {
            return Vec::new();
        }
        let of = |index: usize| format!("{:.1}", median(rounds.iter().map(|numbers| numbers[index])));
        let share = median(rounds.iter().map(|[_, reached, sgemm]| 100.0 * reached / sgemm));
        let lines = [
            ("GFLOP executed", of(0)),
            ("GFLOP/s", of(1)),
            ("GFLOP/s of products of large matrices", of(2)),
            ("share of them", format!("{share:.0} %")),
        ];
        lines.map(|(label, ours)| self.line(label, ours, |_| Default::default())).into()
    }
}

impl Display for Comparison {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let names = self.peers.iter().map(|column| [column.name.to_owned(), format!("ours / {}", column.name)]);
        let header = Line { label: String::new(), ours: "ours".to_owned(), peers: names.collect() };
        write!(f, "{header}\n|---|---|{}", "---|---|".repeat(self.peers.len()))?;

        let mut seconds = self.medians("seconds", 3, Measurement::seconds);
        for (cells, column) in seconds.peers.iter_mut().zip(&self.peers) {
            if let Err(why) = &column.runs {
                cells[0].clone_from(why);
            }
        }
        let mut lines = vec![
            seconds,
            self.medians("memory with the weights, MiB", 0, Measurement::base),
            self.medians("peak memory above that, MiB", 0, Measurement::memory),
        ];
        lines.extend(self.agreement("largest difference of the first repeat's numbers", |theirs| {
            self.difference(theirs).map(|(name, difference)| format!("{difference:.1e} ({name})"))
        }));
        lines.extend(self.agreement("equal indices of the first repeat", |theirs| {
            self.equal_indices(theirs).map(|share| format!("{:.1} %", 100.0 * share))
        }));
        lines.extend(self.operations());
        lines.iter().try_for_each(|line| write!(f, "\n{line}"))
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Error;

    use super::super::measurement::tests::example;
    use super::*;

    const LOSSES: [(&str, &[f64]); 1] = [("nll", &[2.0])];

    fn comparison(rounds: &[(f64, f64)]) -> Comparison {
        let mut comparison = Comparison::new(["reference"]);
        for &(ours, reference) in rounds {
            comparison.ours.push(example(&[ours, 9.0 * ours, ours], 300.0, &LOSSES, &[]));
            comparison.peers[0].add(Ok(example(&[reference], 400.0, &LOSSES, &[])));
        }
        comparison
    }

    #[test]
    fn ratios_are_taken_within_rounds() {
        // The machine was busy in the second round.
        let table = comparison(&[(1.0, 2.0), (10.0, 20.0), (1.0, 2.0)]).to_string();
        assert!(table.starts_with("|  | ours | reference | ours / reference |\n|---|---|---|---|\n"), "{table}");
        assert!(table.contains("| seconds | 1.000 | 2.000 | 0.50 |"), "{table}");
        assert!(table.contains("weights, MiB | 500 | 500 | 1.00 |"), "{table}");
        assert!(table.contains("above that, MiB | 300 | 400 | 0.75 |"), "{table}");
        assert!(table.ends_with("numbers |  |  | 0.0e0 (nll) |"), "{table}");

        let table = comparison(&[(1.0, 2.0), (4.0, 4.0), (3.0, 12.0)]).to_string();
        assert!(table.contains("| seconds | 3.000 | 4.000 | 0.50 |"), "{table}");
    }

    #[test]
    fn a_program_that_failed_says_why_in_its_column() {
        let mut comparison = Comparison::new(["reference", "compiled", "diffusers"]);
        comparison.ours.push(example(&[1.0], 300.0, &LOSSES, &[]));
        for (column, seconds) in comparison.peers.iter_mut().zip([Some(2.0), None, Some(4.0)]) {
            let run = seconds.map(|seconds| example(&[seconds], 400.0, &LOSSES, &[]));
            column.add(run.ok_or_else(|| Error::msg("no compiler")));
        }
        let table = comparison.to_string();
        assert!(table.contains("| 1.000 | 2.000 | 0.50 | failed: no compiler |  | 4.000 | 0.25 |"), "{table}");
        assert!(table.contains("| 300 | 400 | 0.75 |  |  | 400 | 0.75 |"), "{table}");
        let bars = |line: &str| line.matches('|').count();
        assert!(table.lines().all(|line| bars(line) == 9), "{table}");
    }

    #[test]
    fn operations_and_indices_stand_in_the_table_where_they_are_known() {
        assert!(!comparison(&[(1.0, 2.0)]).to_string().contains("GFLOP"));
        let mut comparison = Comparison::new(["reference"]);
        comparison.ours.push(example(&[2.0], 300.0, &[], &[1, 2, 3, 4]).with_flops(12e9, 8e9));
        comparison.peers[0].add(Ok(example(&[2.0], 300.0, &[], &[1, 2, 3, 5])));
        let table = comparison.to_string();
        assert!(table.contains("| equal indices of the first repeat |  |  | 75.0 % |"), "{table}");
        for line in ["GFLOP executed | 12.0 |", "GFLOP/s | 6.0 |", "matrices | 8.0 |", "share of them | 75 % |"] {
            assert!(table.contains(line), "{table}");
        }
        assert!(!table.contains("largest difference"), "{table}");
    }
}
