//! Processes, signals and exit statuses.

pub(crate) mod ending;
pub(crate) mod launcher;
pub(crate) mod signals;
