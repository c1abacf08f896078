//! The `[train.teacher]` table.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The `[train.teacher]` table: a larger model whose latents a small decoder learns to decode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherConfig {
    /// The teacher's file. Encoder and quantizer are those of the configuration.
    pub model: PathBuf,
    /// The weight of the reconstruction losses to the teacher's reconstruction; those to the clip have weight 1.
    #[serde(default = "TeacherConfig::weight")]
    pub weight: f64,
}

impl TeacherConfig {
    fn weight() -> f64 {
        1.0
    }
}
