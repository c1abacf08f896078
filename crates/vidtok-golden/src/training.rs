//! Training runs of the reference: a few steps in float32, with formula weights and clips.

use std::collections::BTreeMap;

use serde::Deserialize;

/// One run. The weights are `weight(name, .., 0)` under the published names (`loss.*` too, and
/// `loss.perceptual_loss.*` for LPIPS), the clips 0.8 times `unit("input", [batch, 3, frames, height, width], 0)`, the
/// same in every step. KL takes the mean, the discriminator begins at once, both optimizers are Adam with the rate `lr`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingRun {
    /// The model, at `ch` base channels.
    pub config: String,
    /// Base channels.
    pub ch: i64,
    /// Clips in the batch.
    pub batch: i64,
    /// Frames of a clip.
    pub frames: i64,
    /// Rows of a frame.
    pub height: i64,
    /// Pixels in a row.
    pub width: i64,
    /// The learning rate.
    pub lr: f64,
    /// `2d` or `3d`.
    pub disc_type: String,
    /// The batch at which the discriminator begins.
    pub disc_start: u64,
    /// Whether only the decoder is trained.
    pub fix_encoder: bool,
    /// What was logged in each step, under the reference's names. The first agrees to 1e-3 relative, later ones to a
    /// few percent, since Adam's first step follows the signs of gradients.
    pub steps: Vec<BTreeMap<String, f64>>,
    /// After the last step: for each parameter the mean of |change| over all steps, and its mean.
    pub after: BTreeMap<String, [f64; 2]>,
}

/// All runs by name.
///
/// # Panics
/// If the data of this crate are damaged.
#[must_use]
pub fn training_runs() -> BTreeMap<String, TrainingRun> {
    serde_json::from_str(include_str!("../data/training.json")).unwrap_or_else(|error| panic!("training.json: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frozen_encoder_does_not_change_and_everything_else_does() {
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
