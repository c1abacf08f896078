//! Reconstruction metrics for video.
