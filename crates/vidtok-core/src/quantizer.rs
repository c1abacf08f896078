//! The trait of quantizers, the bottleneck between encoder and decoder.

use tch::Tensor;

use crate::distributed::process_group::ProcessGroup;

/// A quantized latent.
#[derive(Debug)]
pub struct Quantized {
    /// The decoder's input, `[b, z, t, h, w]`.
    pub latent: Tensor,
    /// Discrete latents only: codebook indices, int32 `[b, t, h, w]`.
    pub indices: Option<Tensor>,
    /// Continuous latents only: the log-variance, `[b, z, t, h, w]`.
    pub logvar: Option<Tensor>,
}

/// A latent with gradients, and the term that the quantizer adds to the training loss.
#[derive(Debug)]
pub struct Regularized {
    /// The decoder's input, `[b, z, t, h, w]`.
    pub latent: Tensor,
    /// The quantizer's loss, a scalar; training multiplies it by [`Quantizer::loss_weight`].
    pub loss: Tensor,
    /// Discrete latents only: codebook indices, int32 `[b, t, h, w]`.
    pub indices: Option<Tensor>,
}

/// Turns the encoder's output into a latent.
///
/// A quantizer may have learned parameters. It gets them from a `vidtok_torch::ParamPath` while the model is built, so
/// that they are trained, saved and loaded with the networks.
pub trait Quantizer: std::fmt::Debug + Send {
    /// Channels of the encoder's output; those of the latent by default.
    fn encoder_channels(&self) -> i64 {
        self.latent_channels()
    }

    /// Channels of the latent.
    fn latent_channels(&self) -> i64;

    /// Number of codes; `None` for continuous latents.
    fn codebook_size(&self) -> Option<i64>;

    /// The weight of [`Regularized::loss`] in the training loss; 1 by default.
    fn loss_weight(&self) -> f64 {
        1.0
    }

    /// The latent of `encoded` `[b, encoder_channels, t, h, w]`, without gradients.
    ///
    /// It is deterministic (the mean of a continuous latent) unless `noise` `[b, z, t, h, w]`, drawn from N(0, 1), is
    /// given. Discrete quantizers ignore the noise.
    fn quantize(&self, encoded: &Tensor, noise: Option<&Tensor>) -> Quantized;

    /// The latent of `encoded` `[b, encoder_channels, t, h, w]` and the loss, both with gradients; `step` counts batches
    /// from 0, for annealed weights. If the processes of `group` share the batch, `encoded` is this process's part, and
    /// statistics over the batch must be taken over the whole ([`ProcessGroup::mean`]).
    fn regularize(&self, encoded: &Tensor, step: u64, group: &dyn ProcessGroup) -> Regularized;

    /// The latent `[b, z, t, h, w]` of codebook `indices` `[b, t, h, w]`; `None` for continuous latents.
    fn indices_to_codes(&self, indices: &Tensor) -> Option<Tensor>;
}
