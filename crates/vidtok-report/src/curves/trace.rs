//! The lines drawn for a series: at most a few hundred points, and for a noisy series its moving average.

use crate::curves::Series;

/// The number of pieces that a long series is reduced to.
const PIECES: usize = 400;
/// A series of at least this many points is noisy if its total variation exceeds its range by this factor. Schedules
/// are not.
const NOISY_POINTS: usize = 50;
const NOISY_VARIATION: f64 = 4.0;
/// The half width of the moving average, as a fraction of the series.
const REACH: f64 = 1.0 / 40.0;

/// A step and its value.
pub(super) type Point = (f64, f64);

/// The lines drawn for a series, interrupted at values that are not finite.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Trace {
    /// The values; for a long series, the lowest and highest of each piece.
    pub(super) raw: Vec<Vec<Point>>,
    /// The moving average; empty if the series is not noisy.
    pub(super) average: Vec<Vec<Point>>,
}

impl Trace {
    /// Points may come in any order. The last of several at one step counts: a run that resumes from an earlier step
    /// writes that step again.
    pub(super) fn new(series: &Series) -> Self {
        let mut points = series.points.clone();
        points.sort_by_key(|&(step, _)| step);
        let points: Vec<Point> = points
            .chunk_by(|(a, _), (b, _)| a == b)
            .filter_map(|same| same.last())
            .map(|&(step, value)| (step as f64, f64::from(value as f32)))
            .collect();
        let pieces: Vec<Option<Piece>> = points.chunks(points.len().div_ceil(PIECES).max(1)).map(Piece::new).collect();
        let raw = unbroken(&pieces, |piece| piece.extremes.clone());
        let average = if is_noisy(&points) {
            let reach = (pieces.len() as f64 * REACH).ceil() as usize;
            let averages: Vec<Option<Point>> = (0..pieces.len())
                .map(|index| {
                    let step = pieces[index].as_ref()?.step;
                    let window = &pieces[index.saturating_sub(reach)..(index + reach + 1).min(pieces.len())];
                    Some((step, mean(window)))
                })
                .collect();
            unbroken(&averages, |&point| vec![point])
        } else {
            Vec::new()
        };
        Self { raw, average }
    }

    /// The moving average, or the values if there is no average.
    pub(super) fn main(&self) -> &[Vec<Point>] {
        if self.average.is_empty() { &self.raw } else { &self.average }
    }

    /// The last value of the main line.
    pub(super) fn last(&self) -> Option<f64> {
        self.main().last().and_then(|line| line.last()).map(|&(_, value)| value)
    }

    /// All points of the raw values.
    pub(super) fn points(&self) -> impl Iterator<Item = Point> {
        self.raw.iter().flatten().copied()
    }
}

/// The finite values among neighbouring points.
#[derive(Debug)]
struct Piece {
    step: f64,
    /// The lowest and the highest point, in the order of their steps; one point if they coincide.
    extremes: Vec<Point>,
    sum: f64,
    count: f64,
}

impl Piece {
    /// `None` if no value is finite.
    fn new(points: &[Point]) -> Option<Self> {
        let finite = || points.iter().copied().filter(|&(_, value)| value.is_finite());
        let by_value = |a: &Point, b: &Point| a.1.total_cmp(&b.1);
        let mut extremes = vec![finite().min_by(by_value)?, finite().max_by(by_value)?];
        extremes.sort_by(|a, b| a.0.total_cmp(&b.0));
        extremes.dedup_by_key(|point| point.0);
        let count = finite().count() as f64;
        let sum = |of: fn(Point) -> f64| finite().map(of).sum::<f64>();
        Some(Self { step: sum(|(step, _)| step) / count, extremes, sum: sum(|(_, value)| value), count })
    }
}

fn is_noisy(points: &[Point]) -> bool {
    let values: Vec<f64> = points.iter().map(|&(_, value)| value).filter(|value| value.is_finite()).collect();
    let variation: f64 = values.windows(2).map(|pair| (pair[1] - pair[0]).abs()).sum();
    let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), &value| (low.min(value), high.max(value)));
    values.len() >= NOISY_POINTS && variation > NOISY_VARIATION * (high - low)
}

fn mean(pieces: &[Option<Piece>]) -> f64 {
    let total = |of: fn(&Piece) -> f64| pieces.iter().flatten().map(of).sum::<f64>();
    total(|piece| piece.sum) / total(|piece| piece.count)
}

/// One line for each run of items that are present.
fn unbroken<T>(items: &[Option<T>], points: impl Fn(&T) -> Vec<Point>) -> Vec<Vec<Point>> {
    items
        .split(Option::is_none)
        .filter(|run| !run.is_empty())
        .map(|run| run.iter().flatten().flat_map(&points).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(count: u64, value: impl Fn(u64) -> f64) -> Trace {
        Trace::new(&Series::new("a", (0..count).map(|step| (step, value(step))).collect()))
    }

    #[test]
    fn short_series_are_drawn_point_by_point() {
        let trace = trace(4, |step| step as f64 * 2.0);
        assert_eq!(trace.raw, [[(0.0, 0.0), (1.0, 2.0), (2.0, 4.0), (3.0, 6.0)]]);
        assert!(trace.average.is_empty());
        assert_eq!(trace.last(), Some(6.0));
    }

    #[test]
    fn series_without_finite_values_draw_nothing() {
        assert_eq!(trace(0, |_| 0.0), Trace::default());
        assert_eq!(trace(300, |_| f64::NAN), Trace::default());
        assert_eq!(Trace::default().last(), None);
    }

    #[test]
    fn lines_are_interrupted_where_values_are_not_finite() {
        let gaps = trace(6, |step| [1.0, f64::NAN, 2.0, f64::INFINITY, f64::MAX, 3.0][step as usize]);
        assert_eq!(gaps.raw, [[(0.0, 1.0)], [(2.0, 2.0)], [(5.0, 3.0)]]);
        let average = trace(200, |step| if step == 100 { f64::NAN } else { (step % 2) as f64 }).average;
        assert_eq!(average.iter().map(Vec::len).collect::<Vec<_>>(), [100, 99]);
    }

    #[test]
    fn later_points_replace_earlier_ones_of_the_same_step() {
        let points = vec![(0, 1.0), (1, 2.0), (2, 3.0), (1, 20.0), (2, 30.0)];
        assert_eq!(Trace::new(&Series::new("a", points)).raw, [[(0.0, 1.0), (1.0, 20.0), (2.0, 30.0)]]);
    }

    #[test]
    fn the_moving_average_keeps_the_trend_and_removes_noise() {
        // With alternating noise, at most one value is left over in a window of 17, or 9 at the ends.
        let noise = |step: u64| if step.is_multiple_of(2) { 50.0 } else { -50.0 };
        let noisy = trace(300, |step| step as f64 + noise(step));
        for (step, value) in &noisy.average[0][20..280] {
            assert!((step - value).abs() <= 50.0 / 17.0 + 1e-9, "{step} {value}");
        }
    }

    #[test]
    fn schedules_have_no_average() {
        let warm_up_and_cosine = |step: u64| match step {
            0..100 => step as f64 / 100.0,
            _ => 0.5 + 0.5 * ((step - 100) as f64 / 900.0 * std::f64::consts::PI).cos(),
        };
        assert!(trace(1000, warm_up_and_cosine).average.is_empty());
        assert!(trace(1000, |_| 1e-4).average.is_empty());
    }

    #[test]
    fn long_series_keep_their_extremes_in_few_points() {
        let long = trace(100_000, |step| match step {
            777 => 50.0,
            99_000 => -50.0,
            _ => (step % 7) as f64,
        });
        assert!(long.raw[0].len() <= 2 * PIECES && long.average[0].len() <= PIECES);
        assert!(long.raw[0].contains(&(777.0, 50.0)) && long.raw[0].contains(&(99_000.0, -50.0)));
        assert!(long.raw[0].is_sorted_by_key(|(step, _)| *step));
        assert!((long.last().unwrap() - 3.0).abs() < 0.1, "{:?}", long.last());
    }
}
