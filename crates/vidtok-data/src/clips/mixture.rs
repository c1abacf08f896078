//! Several clip sets, mixed by weight: videos and images, or clips of several sizes.

use std::sync::Arc;

use rand::RngExt;

use crate::clips::clip_set::{ClipSet, random_numbers};
use crate::error::LoadError;

/// A position that no clip has, for the random choice of a whole batch.
const WHOLE_BATCH: u64 = u64::MAX;

/// Clip sets of which one supplies each step's batch, chosen by seed and step.
///
/// To mix images in, add a second set with [`ClipSpec::for_images`](crate::ClipSpec::for_images):
/// `Mixture::new(vec![(videos, 0.8), (images, 0.2)])`.
#[derive(Clone, Debug)]
pub struct Mixture {
    /// Each set, with the end of its interval in `0.0..total`.
    sets: Vec<(Arc<ClipSet>, f64)>,
    total: f64,
}

impl Mixture {
    /// Mixes `sets` in proportion to their weights.
    ///
    /// # Errors
    /// If a weight is negative or not finite, or none is above 0.
    pub fn new(sets: Vec<(Arc<ClipSet>, f64)>) -> Result<Self, LoadError> {
        let weights: Vec<f64> = sets.iter().map(|(_, weight)| *weight).collect();
        let total = weights.iter().sum::<f64>();
        if weights.iter().any(|&weight| weight < 0.0) || !(total.is_finite() && total > 0.0) {
            return Err(LoadError::Weights { weights });
        }
        let mut end = 0.0;
        let sets = sets.into_iter().filter(|(_, weight)| *weight > 0.0).map(|(set, weight)| {
            end += weight;
            (set, end)
        });
        Ok(Self { sets: sets.collect(), total })
    }

    /// The set that supplies the batch of a step. It depends on the arguments alone.
    #[must_use]
    pub fn choose(&self, seed: u64, step: u64) -> &ClipSet {
        let drawn = random_numbers([seed, step, WHOLE_BATCH], 0).random_range(0.0..self.total);
        let chosen = self.sets.partition_point(|(_, end)| *end <= drawn).min(self.sets.len() - 1);
        &self.sets[chosen].0
    }
}

impl From<Arc<ClipSet>> for Mixture {
    fn from(set: Arc<ClipSet>) -> Self {
        Self { sets: vec![(set, 1.0)], total: 1.0 }
    }
}
