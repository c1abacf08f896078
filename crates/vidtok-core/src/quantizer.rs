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
    ///
    /// The default is the straight-through estimator (arXiv 1308.3432) without a loss: the gradient of the latent passes
    /// to `encoded` unchanged, and to the parameters from which [`quantize`](Self::quantize) computes the latent. It is
    /// for latents of `encoded`'s shape.
    fn regularize(&self, encoded: &Tensor, _step: u64, _group: &dyn ProcessGroup) -> Regularized {
        let Quantized { latent, indices, .. } = self.quantize(encoded, None);
        let loss = Tensor::zeros([], (latent.kind(), latent.device()));
        Regularized { latent: latent + (encoded - encoded.detach()), loss, indices }
    }

    /// The latent `[b, z, t, h, w]` of codebook `indices` `[b, t, h, w]`; `None` for continuous latents.
    fn indices_to_codes(&self, indices: &Tensor) -> Option<Tensor>;
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::distributed::process_group::SingleProcess;

    /// Rounds to multiples of a learned step.
    #[derive(Debug)]
    struct Rounding(Tensor);

    impl Quantizer for Rounding {
        fn latent_channels(&self) -> i64 {
            1
        }

        fn codebook_size(&self) -> Option<i64> {
            None
        }

        fn quantize(&self, encoded: &Tensor, _: Option<&Tensor>) -> Quantized {
            let latent = (encoded.detach() / self.0.detach()).round() * &self.0;
            Quantized { latent, indices: None, logvar: None }
        }

        fn indices_to_codes(&self, _: &Tensor) -> Option<Tensor> {
            None
        }
    }

    #[test]
    fn by_default_gradients_pass_straight_through_and_reach_the_quantizers_parameters() {
        let step = Tensor::from(0.5_f32).set_requires_grad(true);
        let encoded = Tensor::from_slice(&[0.2_f32, 0.8, -1.1]).view([1, 1, 3, 1, 1]).set_requires_grad(true);
        let regularized = Rounding(step.shallow_clone()).regularize(&encoded, 0, &SingleProcess);
        assert_eq!(Vec::<f32>::try_from(regularized.latent.flatten(0, -1)).unwrap(), [0.0, 1.0, -1.0]);
        assert_eq!(regularized.loss.double_value(&[]), 0.0);
        let weights = Tensor::from_slice(&[1.0_f32, 2.0, 3.0]).view([1, 1, 3, 1, 1]);
        (&regularized.latent * &weights).sum(Kind::Float).backward();
        assert!(encoded.grad().equal(&weights.to_device(Device::Cpu)));
        // The multiples are 0, 2 and -2.
        assert_eq!(step.grad().double_value(&[]), 2.0 * 2.0 - 2.0 * 3.0);
    }
}
