//! What a step, or a restored state, does not fit.

/// A network cannot take a step, or a state cannot be restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The input is not what the network reads.
    #[error("the {network}'s input: expected {expected}, found {found}")]
    Input {
        /// The network.
        network: &'static str,
        /// What it reads.
        expected: String,
        /// What it was given.
        found: String,
    },
    /// The state is of steps over other inputs, or in other strips.
    #[error("the state is of the {expected}; it cannot go on with the {found}")]
    Changed {
        /// What the state's earlier steps were.
        expected: String,
        /// What the next one is.
        found: String,
    },
    /// A saved tensor is not what the layer keeps whose it would be.
    #[error("{name}: expected {expected}, found {found}")]
    Slot {
        /// The tensor's name.
        name: String,
        /// What the layer keeps.
        expected: String,
        /// What was saved.
        found: String,
    },
}
