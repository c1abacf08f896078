//! Codebook use of a discrete tokenizer.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor};

/// Counts codes to tell how many are used, and how evenly.
#[derive(Clone, Debug, Default)]
pub struct CodebookUse {
    counts: BTreeMap<i64, u64>,
    total: u64,
}

impl CodebookUse {
    /// Counts codebook indices of any integer kind and shape.
    pub fn update(&mut self, indices: &Tensor) {
        let flat = indices.to_device(Device::Cpu).to_kind(Kind::Int64).flatten(0, -1);
        let (codes, _, counts) = flat.unique_dim(0, true, false, true);
        for index in 0..codes.size()[0] {
            *self.counts.entry(codes.int64_value(&[index])).or_default() += counts.int64_value(&[index]) as u64;
        }
        self.total += flat.numel() as u64;
    }

    /// The codes in ascending order, each with its count.
    pub fn counts(&self) -> impl Iterator<Item = (i64, u64)> + '_ {
        self.counts.iter().map(|(&code, &count)| (code, count))
    }

    /// The use with these [`counts`](Self::counts); counts of the same code add up.
    pub fn from_counts(counts: impl IntoIterator<Item = (i64, u64)>) -> Self {
        let mut codes = Self::default();
        for (code, count) in counts {
            *codes.counts.entry(code).or_default() += count;
            codes.total += count;
        }
        codes
    }

    /// Adds the counts of another.
    pub fn merge(&mut self, other: &Self) {
        for (code, count) in other.counts() {
            *self.counts.entry(code).or_default() += count;
        }
        self.total += other.total;
    }

    /// The number of different codes.
    #[must_use]
    pub fn used(&self) -> usize {
        self.counts.len()
    }

    /// The number of codes counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The entropy of the codes in bits; 0 before the first code.
    #[must_use]
    pub fn entropy_bits(&self) -> f64 {
        let frequency = |count: &u64| *count as f64 / self.total as f64;
        self.counts.values().map(frequency).map(|p| -p * p.log2()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_over_calls() {
        let mut codes = CodebookUse::default();
        assert_eq!((codes.used(), codes.entropy_bits()), (0, 0.0));
        codes.update(&Tensor::from_slice(&[5_i32, 5, 9, 9]).view([2, 2]));
        codes.update(&Tensor::from_slice(&[5_i32, 5, 262_143, 262_143]));
        assert_eq!((codes.used(), codes.total()), (3, 8));
        assert!((codes.entropy_bits() - 1.5).abs() < 1e-12);
    }
}
