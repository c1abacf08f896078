//! Models of the memory that a pass of the networks takes.
//!
//! Each layer describes its own memory beside its forward pass; the walks here add it up. The walks know the size of
//! the activation, so no network needs to be built.

pub(crate) mod activations;
pub(crate) mod footprint;

use activations::ActivationWalk;
use footprint::FootprintWalk;

/// The memory of a layer whose output has as many channels as its input.
pub(crate) trait MemoryModel {
    /// Follows a forward pass without gradients.
    fn footprint(walk: &mut FootprintWalk);

    /// Adds what autograd saves of a forward pass.
    fn activations(walk: &mut ActivationWalk);
}
