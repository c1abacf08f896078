//! Extensions of automatic differentiation: autocast, gradient checkpointing, and values with known gradients.

pub(crate) mod autocast;
pub(crate) mod recompute;
pub(crate) mod with_gradient;
