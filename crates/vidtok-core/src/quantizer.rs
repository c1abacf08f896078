//! The bottleneck between encoder and decoder.

use tch::Tensor;

use crate::distributed::process_group::ProcessGroup;

/// What a quantizer makes of an encoder's output.
#[derive(Debug)]
pub struct Quantized {
    /// What the decoder reads, `[b, z, t, h, w]`.
    pub latent: Tensor,
    /// Discrete latents only: codebook indices, int32 `[b, t, h, w]`.
    pub indices: Option<Tensor>,
    /// Continuous latents only: the log-variance, `[b, z, t, h, w]`.
    pub logvar: Option<Tensor>,
}

/// A latent with gradients, and the term that training adds to the loss.
#[derive(Debug)]
pub struct Regularized {
    /// What the decoder reads, `[b, z, t, h, w]`.
    pub latent: Tensor,
    /// The regularizer's loss, a scalar; training multiplies it by [`Quantizer::loss_weight`].
    pub loss: Tensor,
    /// Discrete latents only: codebook indices, int32 `[b, t, h, w]`.
    pub indices: Option<Tensor>,
}

/// Turns an encoder's output into a latent.
pub trait Quantizer: std::fmt::Debug + Send {
    /// Channels that the encoder must give.
    fn encoder_channels(&self) -> i64;

    /// Channels that the decoder reads.
    fn latent_channels(&self) -> i64;

    /// Number of codes; `None` for continuous latents.
    fn codebook_size(&self) -> Option<i64>;

    /// The published weight of [`Regularized::loss`] in the training loss.
    fn loss_weight(&self) -> f64;

    /// The latent of `encoded` `[b, encoder_channels, t, h, w]`, without gradients.
    ///
    /// Deterministic (the mean of a continuous latent) unless `noise` `[b, z, t, h, w]`, drawn from N(0, 1), is
    /// given; discrete quantizers ignore it.
    fn quantize(&self, encoded: &Tensor, noise: Option<&Tensor>) -> Quantized;

    /// The latent and the loss term for training; `step` counts batches from 0, for annealed weights. Where `peers` share
    /// the batch, `encoded` is this process's part, and what the loss says of the batch is said of the whole.
    fn regularize(&self, encoded: &Tensor, step: u64, group: &dyn ProcessGroup) -> Regularized;

    /// The latent `[b, z, t, h, w]` of codebook `indices` `[b, t, h, w]`; `None` for continuous latents.
    fn indices_to_codes(&self, indices: &Tensor) -> Option<Tensor>;
}
