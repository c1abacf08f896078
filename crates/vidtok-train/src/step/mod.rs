//! One training step, without files: networks, losses, optimizer, averages.

pub(crate) mod adam;
pub(crate) mod ema;
pub(crate) mod losses;
pub(crate) mod report;
pub(crate) mod schedule;
pub(crate) mod state;
pub(crate) mod trainer;
