//! The processes that share a batch among them.

use std::ops::Range;

use tch::{Kind, Tensor};

/// The processes of a training step that is spread over several, as one of them sees them.
///
/// Each has an equal part of the batch: process r the r-th. All make the same calls in the same order.
pub trait ProcessGroup: std::fmt::Debug {
    /// This process's number, from 0.
    fn rank(&self) -> usize;

    /// How many there are, at least 1.
    fn world_size(&self) -> usize;

    /// The mean over all processes of each one's `x`, which has the same shape everywhere: the same value for all.
    ///
    /// With gradients it is differentiable: each process's loss reaches every process's `x`, and what arrives is the
    /// mean of these gradients. So parameters whose gradients are averaged over the processes get those of the mean of
    /// all losses.
    ///
    /// # Panics
    /// If another process is gone, as tch's own functions do that return a tensor.
    fn mean(&self, x: &Tensor) -> Tensor;

    /// Draws from N(0, 1): this process's part of a batch `[b * world_size, ...]` of which all draw the whole, so that the
    /// numbers do not depend on how many share it. `shape` is `[b, ...]`.
    ///
    /// All processes' generators must have the same state.
    fn randn(&self, shape: &[i64], options: (Kind, tch::Device)) -> Tensor {
        let Some((&part, rest)) = shape.split_first() else { return Tensor::randn(shape, options) };
        let whole: Vec<i64> = std::iter::once(part * self.world_size() as i64).chain(rest.iter().copied()).collect();
        Tensor::randn(whole, options).narrow(0, self.rank() as i64 * part, part)
    }
}

/// This process's equal part of something that several share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorldRank {
    /// This process's number, from 0.
    pub rank: usize,
    /// How many there are, at least 1.
    pub world_size: usize,
}

impl WorldRank {
    /// Of a process on its own.
    pub const SINGLE: Self = Self { rank: 0, world_size: 1 };

    /// Which of `batch` places are this process's; none if there are no equal parts.
    #[must_use]
    pub fn of(self, batch: usize) -> Option<Range<usize>> {
        let Self { rank, world_size } = self;
        let equal = rank < world_size && batch.is_multiple_of(world_size);
        equal.then(|| rank * (batch / world_size)..(rank + 1) * (batch / world_size))
    }
}

/// A process on its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SingleProcess;

impl ProcessGroup for SingleProcess {
    fn rank(&self) -> usize {
        0
    }

    fn world_size(&self) -> usize {
        1
    }

    fn mean(&self, x: &Tensor) -> Tensor {
        x.shallow_clone()
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    /// A process among others that it never talks to.
    #[derive(Debug)]
    struct Silent(usize, usize);

    impl ProcessGroup for Silent {
        fn rank(&self) -> usize {
            self.0
        }

        fn world_size(&self) -> usize {
            self.1
        }

        fn mean(&self, x: &Tensor) -> Tensor {
            x.shallow_clone()
        }
    }

    #[test]
    fn shares_are_equal_and_make_up_the_whole() {
        let all: Vec<usize> = (0..3).flat_map(|rank| WorldRank { rank, world_size: 3 }.of(6).unwrap()).collect();
        assert_eq!(all, [0, 1, 2, 3, 4, 5]);
        assert_eq!(WorldRank::SINGLE.of(5), Some(0..5));
        assert_eq!(WorldRank { rank: 0, world_size: 4 }.of(6), None);
        assert_eq!(WorldRank { rank: 3, world_size: 3 }.of(6), None);
    }

    #[test]
    fn the_numbers_of_a_batch_do_not_depend_on_how_many_share_it() {
        let drawn = |group: &dyn ProcessGroup, part: i64| {
            tch::manual_seed(7);
            group.randn(&[part, 2, 3], (Kind::Float, Device::Cpu))
        };
        let whole = drawn(&SingleProcess, 6);
        for world_size in [2, 3] {
            let parts: Vec<Tensor> =
                (0..world_size).map(|rank| drawn(&Silent(rank, world_size), 6 / world_size as i64)).collect();
            assert!(Tensor::cat(&parts, 0).equal(&whole), "{world_size}");
        }
    }
}
