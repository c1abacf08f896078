//! Layers over channels-last activations, and their parameters.

pub(crate) mod attention;
pub(crate) mod causal_context;
pub(crate) mod conv;
pub(crate) mod conv_call;
#[cfg(test)]
mod gpu_kernels;
pub(crate) mod init;
pub(crate) mod layout;
pub(crate) mod norm;
pub(crate) mod parameter;
pub(crate) mod params;
pub(crate) mod unit_distance;
pub(crate) mod upsample_conv;
