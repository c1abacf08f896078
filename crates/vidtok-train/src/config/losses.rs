//! The `[train.loss]` table.

use serde::{Deserialize, Serialize};
use vidtok_loss::{GanConfig, PerceptualConfig};

/// The `[train.loss]` table: the losses besides L1 and the quantizer's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossConfig {
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
        Self { perceptual: None, learn_logvar: true, gan: None }
    }
}
