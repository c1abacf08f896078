//! Criterion benches of the VidTok crates, see `benches/benches`, and what the measuring programs in `benches/examples`
//! share.

pub mod memory;
