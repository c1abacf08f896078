//! Two runs of the benches, side by side.

use std::fmt::{Display, Formatter};
use std::time::Duration;

use super::medians::Medians;

/// The benches of a run, with their times in an earlier one.
pub(super) struct Comparison<'a> {
    baseline: &'a str,
    /// Name, time now, time before; the ones that became slower first, those without a time before last.
    rows: Vec<(&'a str, Duration, Option<Duration>)>,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(baseline: &'a str, now: &'a Medians, before: &Medians) -> Self {
        let mut rows: Vec<_> =
            now.iter().map(|(name, &time)| (name.as_str(), time, before.get(name).copied())).collect();
        let change = |&(_, now, before): &(&str, Duration, Option<Duration>)| before.map_or(-1.0, |b| ratio(now, b));
        rows.sort_by(|a, b| change(b).total_cmp(&change(a)));
        Self { baseline, rows }
    }
}

fn ratio(now: Duration, before: Duration) -> f64 {
    now.as_secs_f64() / before.as_secs_f64()
}

/// A table in Markdown.
impl Display for Comparison<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Self { baseline, rows } = self;
        write!(f, "| bench | now | {baseline} | now / {baseline} |\n|---|---|---|---|")?;
        for (name, now, before) in rows {
            match before {
                Some(before) => write!(f, "\n| {name} | {now:.2?} | {before:.2?} | {:.2} |", ratio(*now, *before))?,
                None => write!(f, "\n| {name} | {now:.2?} | | |")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn medians(micros: &[(&str, u64)]) -> Medians {
        micros.iter().map(|&(name, micros)| (name.to_owned(), Duration::from_micros(micros))).collect()
    }

    #[test]
    fn what_became_slower_comes_first_and_what_is_new_last() {
        let now = medians(&[("added", 5), ("equal", 700), ("quicker", 1000), ("slower", 3_000_000)]);
        let before = medians(&[("equal", 700), ("gone", 1), ("quicker", 4000), ("slower", 2_000_000)]);
        let table = Comparison::new("main", &now, &before).to_string();
        let expected = "| bench | now | main | now / main |\n|---|---|---|---|\n\
                        | slower | 3.00s | 2.00s | 1.50 |\n\
                        | equal | 700.00µs | 700.00µs | 1.00 |\n\
                        | quicker | 1.00ms | 4.00ms | 0.25 |\n\
                        | added | 5.00µs | | |";
        assert_eq!(table, expected);
    }
}
