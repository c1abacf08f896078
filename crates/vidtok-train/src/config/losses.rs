//! The `[train.loss]` table.

use serde::{Deserialize, Serialize};
use vidtok_loss::{GanConfig, PerceptualConfig};

/// The `[train.loss]` table: the losses besides L1 and the quantizer's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossConfig {
    /// The weight of the mean squared error, which is not used with 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub mse: f64,
    /// A factor on the quantizer's own loss, so that stages can change its weight.
    #[serde(skip_serializing_if = "is_one")]
    pub quantizer: f64,
    /// LPIPS; not used without this table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub perceptual: Option<PerceptualConfig>,
    /// Whether the log-variance of the likelihood is learned; otherwise it stays 0.
    pub learn_logvar: bool,
    /// The GAN loss; not used without this table.
    #[serde(alias = "adversary", skip_serializing_if = "Option::is_none")]
    pub gan: Option<GanConfig>,
}

impl Default for LossConfig {
    fn default() -> Self {
        Self { mse: 0.0, quantizer: 1.0, perceptual: None, learn_logvar: true, gan: None }
    }
}

fn is_zero(weight: &f64) -> bool {
    *weight == 0.0
}

fn is_one(factor: &f64) -> bool {
    *factor == 1.0
}
