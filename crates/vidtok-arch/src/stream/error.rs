//! Errors of steps and of restored states.

/// A network cannot take a step, or a saved state cannot be restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The input does not fit the network.
    #[error("the {network}'s input: expected {expected}, found {found}")]
    Input {
        /// The network.
        network: &'static str,
        /// The inputs that it accepts.
        expected: String,
        /// The input.
        found: String,
    },
    /// The step does not continue the stream of the steps before it.
    #[error("the state belongs to the {expected}; it cannot continue with the {found}")]
    Changed {
        /// The earlier steps.
        expected: String,
        /// The rejected step.
        found: String,
    },
    /// A saved tensor does not fit the layer that it belongs to.
    #[error("{name}: expected {expected}, found {found}")]
    Slot {
        /// The tensor's name.
        name: String,
        /// What the layer keeps.
        expected: String,
        /// What the file holds.
        found: String,
    },
}
