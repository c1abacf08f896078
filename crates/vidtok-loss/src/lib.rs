//! Reconstruction losses for video tokenizers.
