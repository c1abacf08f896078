//! Training clips from real files and made-up scenes.

#![allow(clippy::unwrap_used)]

mod bad_videos;
mod clips;
mod files;
mod index;
mod loader;
mod mixture;
