//! Training of video tokenizers.
