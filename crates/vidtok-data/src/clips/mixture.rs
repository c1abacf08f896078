//! Several sets of clips, mixed by weight: videos and images, or clips of several sizes.

use std::ops::Range;
use std::sync::Arc;

use rand::RngExt;

use crate::clips::clip_set::random_numbers;
use crate::clips::clip_set::{Batch, ClipSet};
use crate::error::LoadError;
use crate::ffmpeg::stop::Stop;

/// The place in a batch that stands for all of it.
const WHOLE_BATCH: u64 = u64::MAX;

/// Sets of which one, decided by `(seed, step)`, gives the batch of a step.
///
/// A share of images is a second set: `Mixture::new(vec![(videos, 0.8), (images, 0.2)])`, its specification
/// [`ClipSpec::for_images`](crate::ClipSpec::for_images).
#[derive(Clone, Debug)]
pub struct Mixture {
    /// With where their part of `total` ends.
    sets: Vec<(Arc<ClipSet>, f64)>,
    total: f64,
}

impl Mixture {
    /// Mixes `sets` in proportion to their weights.
    ///
    /// # Errors
    /// If no weight is above 0, or one is below 0 or no finite number.
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

    /// The clips of one step. The same arguments give the same clips.
    ///
    /// # Errors
    /// As [`ClipSet::batch`].
    pub fn batch(&self, seed: u64, step: u64, batch: usize) -> Result<Batch, LoadError> {
        self.part_until(&Stop::default(), seed, step, 0..batch)
    }

    /// The clips at these places of the batch.
    pub(crate) fn part_until(
        &self,
        stop: &Stop,
        seed: u64,
        step: u64,
        places: Range<usize>,
    ) -> Result<Batch, LoadError> {
        let drawn = random_numbers([seed, step, WHOLE_BATCH], 0).random_range(0.0..self.total);
        let chosen = self.sets.partition_point(|(_, end)| *end <= drawn).min(self.sets.len() - 1);
        self.sets[chosen].0.part_until(stop, seed, step, places)
    }
}

impl From<Arc<ClipSet>> for Mixture {
    fn from(set: Arc<ClipSet>) -> Self {
        Self { sets: vec![(set, 1.0)], total: 1.0 }
    }
}
