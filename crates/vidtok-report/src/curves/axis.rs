//! The axis of a panel: its range, positions on it, and its ticks.

use std::iter::once;

/// The ratio of the greatest to the smallest value from which an axis is logarithmic.
const LOGARITHMIC_FROM: f64 = 100.0;
/// Free space at each end, as a fraction of the axis.
const MARGIN: f64 = 0.05;
/// Values closer than this fraction of their size count as equal: float32 hardly distinguishes them.
const RESOLUTION: f64 = 1e-6;

/// A range of values, linear or logarithmic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    logarithmic: bool,
    /// The least distance between ticks.
    grain: f64,
}

impl Axis {
    /// An axis from the first step to the last.
    pub(super) fn of_steps(steps: impl Iterator<Item = f64>) -> Self {
        let (low, high) = extent(steps).unwrap_or_default();
        Self { grain: 1.0, ..Self::linear(low, high.max(low + 1.0)) }
    }

    /// An axis for finite values, logarithmic if they are positive and span decades.
    pub(super) fn of_values(values: impl Iterator<Item = f64>) -> Self {
        let Some((low, high)) = extent(values) else { return Self::linear(0.0, 1.0) };
        if low > 0.0 && high / low >= LOGARITHMIC_FROM {
            let margin = (high / low).powf(MARGIN);
            return Self { low: low / margin, high: high * margin, logarithmic: true, grain: 0.0 };
        }
        let size = low.abs().max(high.abs());
        if high - low <= RESOLUTION * size {
            let margin = if size > 0.0 { size / 10.0 } else { 1.0 };
            return Self::linear(low - margin, high + margin);
        }
        let margin = (high - low) * MARGIN;
        // Values that are never negative need no axis below zero.
        let low = if low >= 0.0 { (low - margin).max(0.0) } else { low - margin };
        Self::linear(low, high + margin)
    }

    fn linear(low: f64, high: f64) -> Self {
        Self { low, high, logarithmic: false, grain: 0.0 }
    }

    /// The position of a value: 0 at the lower end of the axis, 1 at the upper.
    pub(super) fn position(&self, value: f64) -> f64 {
        if self.logarithmic {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }

    /// At most `most` round values on the axis. `most` is at least 2.
    pub(super) fn ticks(&self, most: usize) -> Vec<f64> {
        if self.logarithmic { self.decades(most) } else { self.multiples(most) }
    }

    /// The multiples of 1, 2 or 5 times a power of ten: the smallest step with at most `most` ticks.
    fn multiples(&self, most: usize) -> Vec<f64> {
        let least = ((self.high - self.low) / most as f64).max(self.grain);
        let power = least.log10().floor() as i32;
        for (digit, exponent) in [(1, power), (2, power), (5, power), (1, power + 1), (2, power + 1)] {
            let step = f64::from(digit) * 10_f64.powi(exponent);
            let (first, last) = ((self.low / step).ceil() as i64, (self.high / step).floor() as i64);
            if last - first < most as i64 {
                return (first..=last).map(|multiple| round(multiple as f64 * step)).collect();
            }
        }
        Vec::new()
    }

    /// Powers of ten, with their multiples by 2 and 5 if these fit, or only every n-th power if even those do not.
    fn decades(&self, most: usize) -> Vec<f64> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().floor() as i32);
        let powers = || first..=last;
        let inside = |ticks: Vec<f64>| ticks.into_iter().filter(|tick| (self.low..=self.high).contains(tick)).collect();
        let fine: Vec<f64> =
            inside(powers().flat_map(|power| [1.0, 2.0, 5.0].map(|digit| round(digit * 10_f64.powi(power)))).collect());
        if fine.len() <= most {
            return fine;
        }
        (1..)
            .map(|nth| inside(powers().step_by(nth).map(|power| round(10_f64.powi(power))).collect()))
            .find(|ticks: &Vec<f64>| ticks.len() <= most)
            .unwrap_or_default()
    }
}

/// A short label for a tick's value.
pub(super) fn label(value: f64) -> String {
    let unit = |unit: f64, name: &str| format!("{}{name}", round(value / unit));
    match value.abs() {
        0.0 => "0".into(),
        size if !(1e-3..1e12).contains(&size) => format!("{:e}", round(value)),
        1e9.. => unit(1e9, "G"),
        1e6.. => unit(1e6, "M"),
        1e3.. => unit(1e3, "k"),
        _ => round(value).to_string(),
    }
}

/// Drops digits that are rounding errors of binary fractions.
fn round(value: f64) -> f64 {
    format!("{value:.8e}").parse().unwrap_or(value)
}

fn extent(mut values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let first = values.next()?;
    Some(once(first).chain(values).fold((first, first), |(low, high), value| (low.min(value), high.max(value))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(values: &[f64]) -> Axis {
        Axis::of_values(values.iter().copied())
    }

    fn labels(axis: Axis, most: usize) -> Vec<String> {
        axis.ticks(most).into_iter().map(label).collect()
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(labels(Axis::of_steps([0.0, 10_000.0].into_iter()), 6), ["0", "2k", "4k", "6k", "8k", "10k"]);
        assert_eq!(labels(Axis::of_steps([0.0, 2e6].into_iter()), 5), ["0", "500k", "1M", "1.5M", "2M"]);
        assert_eq!(labels(values(&[20.3, 31.7]), 5), ["20", "25", "30"]);
        assert_eq!(labels(values(&[0.0, 1e-4]), 5), ["0", "5e-5", "1e-4"]);
        assert_eq!(labels(values(&[-0.3, 0.3]), 7), ["-0.3", "-0.2", "-0.1", "0", "0.1", "0.2", "0.3"]);
        for most in 2..10 {
            for scale in [1e-30, 0.007, 1.0, 3e8] {
                let axis = values(&[scale, 1.9 * scale]);
                assert!((1..=most).contains(&axis.ticks(most).len()), "{scale} {most}");
                let inside = |tick: f64| (0.0..=1.0).contains(&axis.position(tick));
                assert!(axis.ticks(most).into_iter().all(inside), "{scale} {most}");
            }
        }
    }

    #[test]
    fn positive_values_that_span_decades_get_a_logarithmic_axis() {
        let axis = values(&[1e-4, 1.0]);
        assert_eq!(labels(axis, 6), ["1e-4", "0.001", "0.01", "0.1", "1"]);
        assert!((axis.position(0.01) - 0.5).abs() < 1e-9);
        assert_eq!(labels(values(&[0.8, 90.0]), 7), ["1", "2", "5", "10", "20", "50", "100"]);
        assert!(labels(values(&[1e-30, 1e30]), 6).len() <= 6);
        // Values with a zero or a negative number stay linear.
        for other in [[0.0, 100.0], [-1.0, 100.0], [1.0, 99.0]] {
            assert!((values(&other).position(50.0) - 0.5).abs() < 0.06, "{other:?}");
        }
    }

    #[test]
    fn the_ends_of_the_axis_lie_beyond_the_values() {
        let axis = values(&[2.0, 4.0]);
        assert!((axis.position(2.0) - 0.1 / 2.2).abs() < 1e-9 && (axis.position(4.0) - 2.1 / 2.2).abs() < 1e-9);
        assert_eq!(values(&[0.01, 0.9]).position(0.0), 0.0);
    }

    #[test]
    fn a_single_value_is_centred_and_no_values_still_make_an_axis() {
        for value in [-3.0, 0.0, 1e-20, 7.5] {
            let axis = values(&[value, value]);
            assert!((axis.position(value) - 0.5).abs() < 1e-9, "{value}");
            assert!(!axis.ticks(5).is_empty());
        }
        assert_eq!(labels(values(&[]), 2), ["0", "1"]);
        let step = Axis::of_steps([7.0].into_iter());
        assert_eq!((step.position(7.0), labels(step, 5)), (0.0, vec!["7".into(), "8".into()]));
    }
}
