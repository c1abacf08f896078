//! Training clips from real files and synthetic scenes.

#![allow(clippy::unwrap_used)]

mod bad_videos;
mod clips;
mod files;
mod index;
mod loader;
mod mixture;
