//! The roofline model (Williams, Waterman and Patterson 2009, CACM 52(4)): a program takes at least the time of its
//! operations and at least the time of its memory traffic.

use std::fmt::{self, Display, Formatter};

/// The peak rates of a machine.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Operations a second.
    pub operations: f64,
    /// Bytes a second, read and written.
    pub bytes: f64,
}

/// The work of a program.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Multiplications and additions.
    pub operations: f64,
    /// Bytes, read and written.
    pub bytes: f64,
}

/// The peak that limits a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The rate of operations.
    Compute,
    /// The memory bandwidth.
    Memory,
}

impl Display for Bound {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Compute => "compute",
            Self::Memory => "memory",
        })
    }
}

impl Work {
    /// Operations for each byte.
    #[must_use]
    pub fn intensity(&self) -> f64 {
        self.operations / self.bytes
    }

    /// The bound of this work on a machine, and its least time there in seconds.
    #[must_use]
    pub fn bound(&self, machine: &Machine) -> (Bound, f64) {
        let (compute, memory) = (self.operations / machine.operations, self.bytes / machine.bytes);
        if compute >= memory { (Bound::Compute, compute) } else { (Bound::Memory, memory) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slower_of_both_is_the_bound() {
        let machine = Machine { operations: 100.0, bytes: 10.0 };
        let work = Work { operations: 400.0, bytes: 20.0 };
        assert_eq!((work.intensity(), work.bound(&machine)), (20.0, (Bound::Compute, 4.0)));
        assert_eq!(Work { operations: 50.0, ..work }.bound(&machine), (Bound::Memory, 2.0));
    }
}
