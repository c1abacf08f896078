//! A dataset's settings and its folder.

pub(crate) mod folder;
pub(crate) mod settings;
