//! What the networks remember between the chunks of a clip and the strips of a frame. Each file uses those above it:
//! `error`, `input`, `slots`, `state`, `strips`, `restore`.

pub(crate) mod error;
pub(crate) mod input;
pub(crate) mod restore;
pub(crate) mod slots;
pub(crate) mod state;
pub(crate) mod strips;
