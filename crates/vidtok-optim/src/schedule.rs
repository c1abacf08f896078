//! The learning rate over the steps of a run.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// The schedule of the learning rate: a linear warm-up, then a decay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// Steps in which the rate rises linearly to its full value.
    pub warmup_steps: u64,
    /// The decay after the warm-up.
    pub decay: Decay,
}

/// The decay of the learning rate after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decay {
    /// The rate stays constant.
    Constant,
    /// The rate falls to zero at the last step along half a cosine.
    Cosine,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { warmup_steps: 0, decay: Decay::Constant }
    }
}

impl Schedule {
    /// The factor of the full rate at `step` (from 0) of `steps`, in (0, 1].
    #[must_use]
    pub fn factor(&self, step: u64, steps: u64) -> f64 {
        if step < self.warmup_steps {
            return (step + 1) as f64 / (self.warmup_steps + 1) as f64;
        }
        match self.decay {
            Decay::Constant => 1.0,
            Decay::Cosine => {
                let length = steps.saturating_sub(self.warmup_steps).max(1);
                let progress = (step - self.warmup_steps) as f64 / length as f64;
                0.5 * (1.0 + (PI * progress.min(1.0)).cos())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_linearly_and_falls_along_a_cosine() {
        let schedule = Schedule { warmup_steps: 4, decay: Decay::Cosine };
        let factor = |step| schedule.factor(step, 104);
        assert!((factor(0) - 0.2).abs() < 1e-12 && (factor(3) - 0.8).abs() < 1e-12);
        assert!((factor(4) - 1.0).abs() < 1e-12 && (factor(54) - 0.5).abs() < 1e-12);
        assert!(factor(103) > 0.0 && factor(103) < 1e-3);
        assert_eq!(Schedule::default().factor(1000, 10), 1.0);
    }
}
