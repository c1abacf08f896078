//! Shared by the criterion benches of the VidTok crates (`benches/benches`) and the measuring programs
//! (`benches/examples`).

pub mod layers;
pub mod memory;
pub mod roofline;

use std::time::Duration;

use criterion::Criterion;

/// A configuration with few short samples: there are many benches, and the machine drifts more between runs than within
/// one.
#[must_use]
pub fn short_runs() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(700))
        .nresamples(10_000)
}
