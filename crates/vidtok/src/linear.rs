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

/// The standard deviations among which each channel of the encoder's map gets its own.
const DEVIATIONS: [f64; 8] = [1.0, 0.8, 0.65, 0.5, 0.4, 0.3, 0.2, 0.15];

/// By how much more of a coefficient's variance the latent must explain to prefer a smaller deviation.
const NOTICEABLE: f64 = 1e-4;

/// Keeps the least squares solvable if the latents hardly vary.
const RIDGE: f64 = 1e-6;

impl Tokenizer {
    /// Fits the linear maps of a model with [`ArchConfig::linear`](vidtok_arch::ArchConfig::linear) to clips
    /// `[b, 3, t, h, w]` in [-1, 1].
    ///
    /// The encoder's map becomes the [Karhunen-Loève transform](vidtok_arch::Klt) of the blocks that latent positions
    /// represent, with coefficients of variance 1, or less where the quantizer then keeps more of them: one that bounds
    /// its latent clips large numbers, and with many levels rounds small ones finely enough. Then the [decoder's](Self::fit_linear_decoder) is fitted. A network
    /// without a linear map stays as it is.
    ///
    /// # Errors
    /// If a clip has another shape, or memory is full.
    pub fn fit_linear(&self, clips: &[Tensor]) -> Result<(), Error> {
        self.fit_linear_encoder(clips)?;
        self.fit_linear_decoder(clips)
    }

    fn fit_linear_encoder(&self, clips: &[Tensor]) -> Result<(), Error> {
        let model = self.model();
        let config = &model.config.model;
        if !config.linear || clips.is_empty() {
            return Ok(());
        }
        let mut fit = KltFit::new(config.temporal_factor(), config.spatial_factor());
        let padded = clips.iter().map(|clip| Ok(model.pad(clip, Padding::new(config, clip_size(clip)?))));
        let padded = padded.collect::<Result<Vec<_>, Error>>()?;
        padded.iter().for_each(|clip| fit.add(clip));
        let klt = fit.finish(model.quantizer.latent_channels());
        let coefficients = padded.iter().map(|clip| klt.encode(clip).transpose(0, 1).flatten(1, -1));
        let coefficients = Tensor::cat(&coefficients.collect::<Vec<_>>(), 1).to_device(tch::Device::Cpu);
        let deviations = klt.deviations.clamp_min(1e-6);
        let scales = self.best_deviations(&(coefficients / deviations.unsqueeze(1))) / deviations;
        let rows = &klt.basis * scales.unsqueeze(1);
        self.set_map("encoder.linear", &rows, &-rows.matmul(&klt.mean.unsqueeze(1)).squeeze_dim(1), INITIAL_LOGVAR);
        Ok(())
    }

    /// The deviation `[z]` with which the latent explains the most of each of the coefficients `[z, n]`, of variance 1.
    fn best_deviations(&self, coefficients: &Tensor) -> Tensor {
        let quantizer = &self.model().quantizer;
        let others = quantizer.encoder_channels() - quantizer.latent_channels();
        let explained = |deviation: f64| {
            let encoded = (coefficients * deviation).view([1, -1, coefficients.size()[1], 1, 1]);
            let encoded = encoded.constant_pad_nd([0, 0, 0, 0, 0, 0, 0, others]).to_device(self.device());
            let latent =
                quantizer.quantize(&encoded, None).latent.to_device(tch::Device::Cpu).flatten(2, -1).squeeze_dim(0);
            let [x, y] = [coefficients, &latent].map(|x| x - x.mean_dim(1, true, Kind::Float));
            let sum = |x: Tensor| x.sum_dim_intlist(1, false, Kind::Double);
            sum(&x * &y).square() / (sum(x.square()) * sum(y.square())).clamp_min(f64::MIN_POSITIVE)
        };
        let scores = DEVIATIONS.iter().enumerate().map(|(i, &deviation)| explained(deviation) - NOTICEABLE * i as f64);
        let best = Tensor::stack(&scores.collect::<Vec<_>>(), 0).argmax(0, false);
        Tensor::from_slice(&DEVIATIONS).index_select(0, &best).to_kind(Kind::Float)
    }

    /// Fits the decoder's linear map to clips `[b, 3, t, h, w]` in [-1, 1]: it becomes the linear map with the least
    /// squared error from the latents that the encoder and the quantizer return to the pixels.
    ///
    /// # Errors
    /// As [`fit_linear`](Self::fit_linear).
    pub fn fit_linear_decoder(&self, clips: &[Tensor]) -> Result<(), Error> {
        let model = self.model();
        let config = &model.config.model;
        if !config.has_linear_decoder() || clips.is_empty() {
            return Ok(());
        }
        let channels = model.quantizer.latent_channels();
        let block = [config.temporal_factor(), config.spatial_factor()];
        let zeros = |rows, columns| Tensor::zeros([rows, columns], (Kind::Double, tch::Device::Cpu));
        let numbers = 3 * block[0] * block[1] * block[1];
        let (mut gram, mut moments) = (zeros(channels + 1, channels + 1), zeros(channels + 1, numbers));
        for clip in clips {
            let latent = self.encode(clip, EncodeOptions::default())?.latent;
            let pixels = KltFit::blocks(block, &model.pad(clip, Padding::new(config, clip_size(clip)?)));
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
