//! What tch lacks of libtorch's automatic differentiation.

pub(crate) mod autocast;
pub(crate) mod recompute;
pub(crate) mod with_gradient;
