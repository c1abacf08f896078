//! Fitting the linear maps beside the networks, so that training starts from the best linear codec.

use tch::{Kind, Tensor, no_grad};
use vidtok_arch::KltFit;
use vidtok_torch::to_channels_last;

use crate::error::Error;
use crate::model::clip_size;
use crate::padding::Padding;
use crate::stream::EncodeOptions;
use crate::tokenizer::Tokenizer;

/// The logarithm of the variance with which a fitted continuous model starts to sample its latent, whose channels have
/// the variance 1: little noise beside what a linear codec of so few numbers loses.
const INITIAL_LOGVAR: f64 = -8.0;

/// Keeps the least squares solvable if the latents hardly vary.
const RIDGE: f64 = 1e-6;

impl Tokenizer {
    /// Fits the linear maps of a model with [`ArchConfig::linear`](vidtok_arch::ArchConfig::linear) to clips
    /// `[b, 3, t, h, w]` in [-1, 1].
    ///
    /// The encoder's map becomes the [Karhunen-Loève transform](vidtok_arch::Klt) of the blocks that latent positions
    /// represent, with coefficients of variance 1. The decoder's becomes the linear map with the least squared error from
    /// the latents that the encoder and the quantizer then return to the pixels. A model without linear maps stays as it
    /// is.
    ///
    /// # Errors
    /// If a clip has another shape, or memory is full.
    pub fn fit_linear(&self, clips: &[Tensor]) -> Result<(), Error> {
        let model = self.model();
        let config = &model.config.model;
        if !config.linear || clips.is_empty() {
            return Ok(());
        }
        let mut fit = KltFit::new(config.temporal_factor(), config.spatial_factor());
        for clip in clips {
            fit.add(&model.pad(clip, Padding::new(config, clip_size(clip)?)));
        }
        let channels = model.quantizer.latent_channels();
        let klt = fit.finish(channels);
        let rows = &klt.basis / klt.deviations.clamp_min(1e-6).unsqueeze(1);
        self.set_map("encoder.linear", &rows, &-rows.matmul(&klt.mean.unsqueeze(1)).squeeze_dim(1), INITIAL_LOGVAR);
        self.fit_decoder(clips, channels)
    }

    /// Solves for the decoder's map.
    fn fit_decoder(&self, clips: &[Tensor], channels: i64) -> Result<(), Error> {
        let config = &self.model().config.model;
        let block = [config.temporal_factor(), config.spatial_factor()];
        let zeros = |rows, columns| Tensor::zeros([rows, columns], (Kind::Double, tch::Device::Cpu));
        let numbers = 3 * block[0] * block[1] * block[1];
        let (mut gram, mut moments) = (zeros(channels + 1, channels + 1), zeros(channels + 1, numbers));
        for clip in clips {
            let latent = self.encode(clip, EncodeOptions::default())?.latent;
            let pixels = KltFit::blocks(block, &self.model().pad(clip, Padding::new(config, clip_size(clip)?)));
            let latent = to_channels_last(&latent).flatten(0, 3).to_device(tch::Device::Cpu).to_kind(Kind::Double);
            let one = latent.ones_like().narrow(1, 0, 1);
            let latent = Tensor::cat(&[latent, one], 1);
            gram += latent.transpose(0, 1).matmul(&latent);
            moments += latent.transpose(0, 1).matmul(&pixels.to_kind(Kind::Double));
        }
        let ridge = gram.diagonal(0, 0, 1).mean(Kind::Double) * RIDGE;
        let gram = &gram + Tensor::eye(channels + 1, (Kind::Double, tch::Device::Cpu)) * ridge;
        let solution = Tensor::linalg_solve(&gram, &moments, true).to_kind(Kind::Float);
        let map = solution.narrow(0, 0, channels).transpose(0, 1);
        self.set_map("decoder.linear", &map, &solution.select(0, channels), 0.0);
        Ok(())
    }

    /// Sets the first rows of a map; the others become constants.
    fn set_map(&self, name: &str, rows: &Tensor, bias: &Tensor, constant: f64) {
        let parameter = |part: &str| self.parameters().get(&format!("{name}.{part}")).map(Tensor::shallow_clone);
        let (Some(weight), Some(mut offset)) = (parameter("weight"), parameter("bias")) else { return };
        no_grad(|| {
            let mut weight = weight.flatten(1, -1);
            let _ = weight.zero_();
            weight.narrow(0, 0, rows.size()[0]).copy_(rows);
            let _ = offset.fill_(constant);
            offset.narrow(0, 0, rows.size()[0]).copy_(bias);
        });
    }
}
