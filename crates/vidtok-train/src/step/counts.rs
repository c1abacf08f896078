//! The counts of steps of a run.

use serde::{Deserialize, Serialize};

/// The counts of steps of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StepCounts {
    /// Steps taken, skipped ones included.
    pub(crate) step: u64,
    /// Steps that were skipped because a number was not finite.
    pub(crate) skipped: u64,
    /// Steps skipped since the last step that was not.
    #[serde(rename = "skipped_in_row")]
    pub(crate) consecutive_skips: u64,
}
