//! Byte counts in readable units.

use std::fmt;

/// A byte count that displays itself in the largest of B, KiB, MiB and GiB that keeps it at 1 or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl Bytes {
    /// Rounded up to the displayed digits: for memory that is needed.
    #[must_use]
    pub fn rounded_up(self) -> Self {
        let step = self.step();
        Self(self.0.div_ceil(step).saturating_mul(step))
    }

    /// Rounded down to the displayed digits: for memory that is available.
    #[must_use]
    pub fn rounded_down(self) -> Self {
        Self(self.0 / self.step() * self.step())
    }

    /// The value of the last displayed digit in bytes: whole B, KiB and MiB, and 16 MiB for GiB.
    fn step(self) -> u64 {
        match self.0 {
            0..0x400 => 1,
            0x400..0x10_0000 => 1 << 10,
            0x10_0000..0x4000_0000 => 1 << 20,
            _ => 1 << 24,
        }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_units = |shift: u32| self.0 as f64 / 2f64.powi(shift as i32);
        match self.0 {
            0..0x400 => write!(f, "{} B", self.0),
            // A value that would round to 1024 goes to the next unit.
            _ if in_units(10) < 1023.5 => write!(f, "{:.0} KiB", in_units(10)),
            _ if in_units(20) < 1023.5 => write!(f, "{:.0} MiB", in_units(20)),
            _ => write!(f, "{:.2} GiB", in_units(30)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_the_largest_unit_that_fits() {
        let shown = [0, 1023, 1024, 1_048_000, 1 << 20, 300 << 20, (1 << 30) - 1, 3 << 29, 5 << 40];
        let shown = shown.map(|bytes| Bytes(bytes).to_string());
        let expected =
            ["0 B", "1023 B", "1 KiB", "1023 KiB", "1 MiB", "300 MiB", "1.00 GiB", "1.50 GiB", "5120.00 GiB"];
        assert_eq!(shown, expected);
    }

    #[test]
    fn rounding_up_shows_no_less_and_rounding_down_no_more() {
        for bytes in [1, 1025, 2_000_000, (300 << 20) + 1, (5 << 30) + 1] {
            let (up, down) = (Bytes(bytes).rounded_up(), Bytes(bytes).rounded_down());
            assert!(down <= Bytes(bytes) && Bytes(bytes) <= up);
            assert!(bytes == 1 || down.to_string() != up.to_string());
        }
        assert_eq!(Bytes((300 << 20) + 1).rounded_up().to_string(), "301 MiB");
        assert_eq!(Bytes((300 << 20) - 1).rounded_down().to_string(), "299 MiB");
    }
}
