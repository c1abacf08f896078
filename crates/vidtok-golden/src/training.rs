//! Training runs of the reference implementation: a few steps in float32, with formula weights and clips.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A training run.
///
/// The weights are `weight(name, .., 0)` under the published names, including `loss.*` and, for LPIPS,
/// `loss.perceptual_loss.*`. The clips are 0.8 times `unit("input", [batch, 3, frames, height, width], 0)` in every
/// step. The KL latent is the mean, the discriminator trains from the first step, and both optimizers are Adam with
/// learning rate `lr`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingRun {
    /// The model, at `ch` base channels.
    pub config: String,
    /// The base channels of the network.
    pub ch: i64,
    /// The number of clips in a batch.
    pub batch: i64,
    /// The number of frames in a clip.
    pub frames: i64,
    /// The height of a frame in pixels.
    pub height: i64,
    /// The width of a frame in pixels.
    pub width: i64,
    /// The learning rate.
    pub lr: f64,
    /// The discriminator's type: `2d` or `3d`.
    pub disc_type: String,
    /// The batch at which the discriminator starts.
    pub disc_start: u64,
    /// Whether the encoder is frozen.
    pub fix_encoder: bool,
    /// The logged values of each step, under the reference's names. Implementations agree to 1e-3 relative in the first
    /// step, and to a few percent later, since Adam's first step follows the signs of the gradients.
    pub steps: Vec<BTreeMap<String, f64>>,
    /// For each parameter after the last step: the mean of its absolute change over all steps, and its mean.
    pub after: BTreeMap<String, [f64; 2]>,
}

/// All runs, by name.
///
/// # Panics
/// If the data file of this crate is damaged.
#[must_use]
pub fn training_runs() -> BTreeMap<String, TrainingRun> {
    serde_json::from_str(include_str!("../data/training.json")).unwrap_or_else(|error| panic!("training.json: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parameters_change_except_those_of_a_frozen_encoder() {
        let runs = training_runs();
        assert_eq!(runs.len(), 4);
        for (name, run) in runs {
            for (key, [change, _]) in &run.after {
                let frozen = run.fix_encoder && key.starts_with("encoder.");
                assert_eq!(*change == 0.0, frozen, "{name} {key}");
            }
        }
    }
}
