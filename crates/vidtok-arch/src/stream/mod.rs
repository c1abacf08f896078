//! What the networks keep between the chunks of a clip and the strips of a frame.

pub(crate) mod error;
pub(crate) mod restore;
pub(crate) mod state;
