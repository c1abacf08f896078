//! The networks of a tokenizer with their parameters. Streams and training steps run them.

use std::cell::RefCell;

use tch::{Device, Kind, Tensor};
use vidtok_arch::{Decoder, Encoder};
use vidtok_core::Quantizer;
use vidtok_torch::{ParamPath, ParameterError, Parameters};

use crate::config::Config;
use crate::error::Error;
use crate::files::weights;
use crate::padding::Padding;

/// An encoder, a quantizer and a decoder, built after one configuration.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) config: Config,
    pub(crate) encoder: Encoder,
    pub(crate) quantizer: Box<dyn Quantizer>,
    pub(crate) decoder: Decoder,
    /// All parameters; they share memory with the networks.
    pub(crate) parameters: Parameters,
    pub(crate) device: Device,
    pub(crate) kind: Kind,
    hash: RefCell<Option<WeightsHash>>,
}

/// The hash of the weights in one version of them.
#[derive(Debug)]
struct WeightsHash {
    version: i64,
    sha256: String,
}

/// Where a model is built: on a device, in a number type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placement {
    pub(crate) device: Device,
    pub(crate) kind: Kind,
}

impl Model {
    /// Builds the networks around `quantizer`, which may have taken its own parameters from `root` already.
    pub(crate) fn build(
        config: Config,
        quantizer: Box<dyn Quantizer>,
        root: ParamPath,
        Placement { device, kind }: Placement,
    ) -> Result<Self, ParameterError> {
        let encoder = Encoder::new(&root.sub("encoder"), &config.model, quantizer.encoder_channels());
        let decoder = Decoder::new(&root.sub("decoder"), &config.model, quantizer.latent_channels());
        let parameters = root.finish()?;
        Ok(Self { config, encoder, quantizer, decoder, parameters, device, kind, hash: RefCell::new(None) })
    }

    /// The video `[b, 3, t, h, w]` as the encoder takes it: padded, on the model's device and in its number type.
    pub(crate) fn pad(&self, video: &Tensor, padding: Padding) -> Tensor {
        padding.pad(&video.to_device(self.device).to_kind(self.kind))
    }

    /// Checks that `latent` is `[b, z, t, h, w]` with the model's number of channels.
    pub(crate) fn check_latent(&self, latent: &Tensor) -> Result<(), Error> {
        let channels = self.quantizer.latent_channels();
        match latent.size()[..] {
            [b, c, t, h, w] if c == channels && [b, t, h, w].iter().all(|&n| n >= 1) && latent.is_floating_point() => {
                Ok(())
            }
            _ => Err(Error::Shape {
                what: "the latent",
                expected: format!("floats [b, {channels}, t, h, w]"),
                found: format!("{:?} {:?}", latent.kind(), latent.size()),
            }),
        }
    }

    /// Checks that cropping `padding` from the decoded `latent` leaves something.
    pub(crate) fn check_padding(&self, latent: &Tensor, padding: Padding) -> Result<(), Error> {
        let (f_t, f_s) = (self.config.model.temporal_factor(), self.config.model.spatial_factor());
        let size = latent.size();
        let decoded = [size[2] * f_t, size[3] * f_s, size[4] * f_s];
        let cropped = [padding.front.saturating_add(padding.back), padding.bottom, padding.right];
        let fits = decoded.iter().zip(cropped).all(|(decoded, cropped)| (0..*decoded).contains(&cropped));
        if fits && padding.back >= 0 && padding.front >= 0 {
            return Ok(());
        }
        Err(Error::Shape {
            what: "the padding",
            expected: format!("less than the decoded {decoded:?} (front and back, bottom, right)"),
            found: format!("{cropped:?}"),
        })
    }

    /// Sets the hash of the weights as they are now: that of the file they were loaded from.
    pub(crate) fn set_weights_sha256(&self, sha256: String) {
        self.hash.replace(Some(WeightsHash { version: self.version(), sha256 }));
    }

    /// The hash of the weights as they are now, computed only if they have changed.
    pub(crate) fn weights_sha256(&self) -> String {
        let version = self.version();
        let mut hash = self.hash.borrow_mut();
        match &*hash {
            Some(known) if known.version == version => known.sha256.clone(),
            _ => {
                let sha256 = weights::sha256(self.parameters.iter());
                *hash = Some(WeightsHash { version, sha256: sha256.clone() });
                sha256
            }
        }
    }

    /// A number that grows with every change of the parameters: libtorch counts the writes to each tensor.
    fn version(&self) -> i64 {
        self.parameters.iter().map(|(_, tensor)| tensor.internal_version()).sum()
    }
}

/// A number type as arguments and evaluation stamps call it.
pub(crate) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::BFloat16 => "bf16",
        Kind::Half => "f16",
        _ => "f32",
    }
}

/// Frames, height and width of a video `[b, 3, t, h, w]`.
pub(crate) fn clip_size(video: &Tensor) -> Result<[i64; 3], Error> {
    match video.size()[..] {
        [b, 3, t, h, w] if [b, t, h, w].iter().all(|&n| n >= 1) => Ok([t, h, w]),
        _ => Err(Error::Shape {
            what: "the video",
            expected: "[b, 3, t, h, w] with b, t, h, w at least 1".to_owned(),
            found: format!("{:?}", video.size()),
        }),
    }
}
