//! The processes that share a training batch.

use std::ops::Range;

use tch::{Kind, Tensor};

/// The processes of a distributed training step, as one of them sees the group.
///
/// Each process has an equal part of the batch, in the order of the ranks. All make the same calls in the same order.
pub trait ProcessGroup: std::fmt::Debug {
    /// This process's rank, from 0.
    fn rank(&self) -> usize;

    /// Number of processes, at least 1.
    fn world_size(&self) -> usize;

    /// The mean of `x` over all processes; `x` must have the same shape in all of them.
    ///
    /// The mean is differentiable: the gradient of each process's `x` is the mean over the processes of the gradients of
    /// their losses. Averaging the parameters' gradients over the processes then yields the gradients of the mean loss.
    ///
    /// # Panics
    /// If another process is gone, as tch's functions that return a tensor panic when libtorch fails.
    fn mean(&self, x: &Tensor) -> Tensor;

    /// Noise from N(0, 1) of `shape` = `[b, ...]`: this process's part of a batch `[b * world_size, ...]`. Every process
    /// draws the whole batch, so that its numbers do not depend on the number of processes.
    ///
    /// The generators of all processes must be in the same state.
    fn randn(&self, shape: &[i64], options: (Kind, tch::Device)) -> Tensor {
        let Some((&part, rest)) = shape.split_first() else { return Tensor::randn(shape, options) };
        let whole: Vec<i64> = std::iter::once(part * self.world_size() as i64).chain(rest.iter().copied()).collect();
        Tensor::randn(whole, options).narrow(0, self.rank() as i64 * part, part)
    }
}

/// A process's rank, and the number of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorldRank {
    /// This process's rank, from 0.
    pub rank: usize,
    /// Number of processes, at least 1.
    pub world_size: usize,
}

impl WorldRank {
    /// The only process.
    pub const SINGLE: Self = Self { rank: 0, world_size: 1 };

    /// The indices of this process's part of a batch of `batch` clips; `None` if the batch has no equal parts.
    #[must_use]
    pub fn of(self, batch: usize) -> Option<Range<usize>> {
        let Self { rank, world_size } = self;
        let equal = rank < world_size && batch.is_multiple_of(world_size);
        equal.then(|| rank * (batch / world_size)..(rank + 1) * (batch / world_size))
    }
}

/// The group of a process on its own.
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

    /// A process of a group that never communicates.
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
    fn the_parts_of_a_batch_are_equal_and_cover_it() {
        let all: Vec<usize> = (0..3).flat_map(|rank| WorldRank { rank, world_size: 3 }.of(6).unwrap()).collect();
        assert_eq!(all, [0, 1, 2, 3, 4, 5]);
        assert_eq!(WorldRank::SINGLE.of(5), Some(0..5));
        assert_eq!(WorldRank { rank: 0, world_size: 4 }.of(6), None);
        assert_eq!(WorldRank { rank: 3, world_size: 3 }.of(6), None);
    }

    #[test]
    fn the_noise_of_a_batch_does_not_depend_on_the_number_of_processes() {
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
