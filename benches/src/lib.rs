//! Criterion benches of the VidTok crates; see `benches/benches`.
