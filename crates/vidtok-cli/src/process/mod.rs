//! Exit statuses, signals, and several processes of one command.

pub(crate) mod exit;
pub(crate) mod launcher;
pub(crate) mod rank;
pub(crate) mod signals;
