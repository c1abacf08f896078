//! One training step, without files: networks, losses, optimizer, averages.

pub(crate) mod counts;
pub(crate) mod losses;
pub(crate) mod optimizers;
pub(crate) mod report;
pub(crate) mod seed;
pub(crate) mod state;
pub(crate) mod teacher;
pub(crate) mod trainer;
