//! The tokenizer: encoder, quantizer, decoder.

use std::cell::OnceCell;
use std::path::Path;

use tch::{Device, Kind, Tensor};
use vidtok_arch::{Decoder, Encoder};
use vidtok_core::{Quantized, Quantizer};
use vidtok_torch::{ParamPath, ParameterError, Parameters, write_tensors};

use crate::config::Config;
use crate::error::Error;
use crate::files::encoded::is_integer;
use crate::files::encoded::{Encoded, EncodedFile};
use crate::files::weights::Weights;
use crate::files::{model_file, weights};
use crate::padding::Padding;
use crate::stream::EncodeOptions;
use crate::stream::decoder::StreamDecoder;
use crate::stream::encoder::StreamEncoder;

/// A video tokenizer: a model with its weights.
#[derive(Debug)]
pub struct Tokenizer {
    config: Config,
    encoder: Encoder,
    quantizer: Box<dyn Quantizer>,
    decoder: Decoder,
    parameters: Parameters,
    device: Device,
    kind: Kind,
    weights_sha256: OnceCell<String>,
}

impl Tokenizer {
    /// A model with PyTorch's initial weights, drawn from `seed`.
    ///
    /// # Errors
    /// If the configuration makes no sense.
    pub fn init(config: Config, seed: i64, device: Device) -> Result<Self, Error> {
        tch::manual_seed(seed);
        Self::build(config, ParamPath::fresh(device), device, Kind::Float, Error::Network)
    }

    /// A model without weights, for looking at names, shapes and counts.
    ///
    /// # Errors
    /// If the configuration makes no sense.
    pub fn shapes(config: Config) -> Result<Self, Error> {
        Self::build(config, ParamPath::shapes(), Device::Cpu, Kind::Float, Error::Network)
    }

    /// A model with these weights, computing in `kind` (float, bfloat16 or half).
    ///
    /// # Errors
    /// If the configuration makes no sense or the weights are not this model's: missing, unexpected or wrongly shaped
    /// keys, or another version of the networks. Keys of training (`loss.*`, `model_ema.*`) are passed over.
    pub fn with_weights(config: Config, weights: Weights, device: Device, kind: Kind) -> Result<Self, Error> {
        weights.check_model(&config)?;
        let path = weights.path().to_owned();
        let (tensors, sha256) = weights.into_model();
        // The hash is of the weights as they stand in the file, so before they are converted.
        let sha256 = match (sha256, kind) {
            (None, Kind::Float) => None,
            (None, _) => Some(weights::sha256(tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)))),
            (stated, _) => stated,
        };
        let root = ParamPath::loaded(tensors, device, kind);
        let tokenizer = Self::build(config, root, device, kind, |source| Error::Parameters { path, source })?;
        if let Some(sha256) = sha256 {
            let _ = tokenizer.weights_sha256.set(sha256);
        }
        Ok(tokenizer)
    }

    /// A one-file model, computing in `kind`.
    ///
    /// # Errors
    /// If the file cannot be read or is no one-file model.
    pub fn open(path: &Path, device: Device, kind: Kind) -> Result<Self, Error> {
        let weights = Weights::read(path)?;
        let config = weights.config().cloned().ok_or_else(|| Error::NotAModel { path: path.to_owned() })?;
        Self::with_weights(config, weights, device, kind)
    }

    fn build(
        config: Config,
        root: ParamPath,
        device: Device,
        kind: Kind,
        wrong: impl FnOnce(Box<ParameterError>) -> Error,
    ) -> Result<Self, Error> {
        config.model.validate()?;
        let quantizer = config.quantizer.build()?;
        let encoder = Encoder::new(&root.sub("encoder"), &config.model, quantizer.encoder_channels());
        let decoder = Decoder::new(&root.sub("decoder"), &config.model, quantizer.latent_channels());
        let parameters = root.finish().map_err(|error| wrong(Box::new(error)))?;
        let weights_sha256 = OnceCell::new();
        Ok(Self { config, encoder, quantizer, decoder, parameters, device, kind, weights_sha256 })
    }

    /// Writes a one-file model, whole or not at all; `origin` says where the weights came from.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn save(&self, path: &Path, origin: &str) -> Result<(), Error> {
        write_tensors(path, self.parameters.iter(), self.metadata(origin)?)?;
        Ok(())
    }

    /// The texts that make a tensor file with the parameters a one-file model, whatever else it holds under the names
    /// of training.
    ///
    /// # Errors
    /// If a number of the configuration is too large for TOML.
    pub fn metadata(&self, origin: &str) -> Result<Vec<(&'static str, String)>, Error> {
        let config = Config { train: None, ..self.config.clone() };
        Ok(vec![
            (model_file::CONFIG, config.to_toml()?),
            (model_file::VERSION, env!("CARGO_PKG_VERSION").to_owned()),
            (model_file::ORIGIN, origin.to_owned()),
            (model_file::SHA256, weights::sha256(self.parameters.iter())),
        ])
    }

    /// Looks at every number of the weights.
    ///
    /// # Errors
    /// [`Error::ParametersNotFinite`] with the names of those that hold NaN or infinity.
    pub fn check_finite(&self) -> Result<(), Error> {
        const NAMED: usize = 5;
        let is_finite = |tensor: &Tensor| tensor.isfinite().all().int64_value(&[]) != 0;
        let faulty: Vec<&str> =
            self.parameters.iter().filter(|(_, tensor)| !is_finite(tensor)).map(|(name, _)| name).collect();
        if faulty.is_empty() {
            return Ok(());
        }
        let mut names = faulty[..faulty.len().min(NAMED)].join(", ");
        if faulty.len() > NAMED {
            names.push_str(", ...");
        }
        Err(Error::ParametersNotFinite { count: faulty.len(), kind: kind_name(self.kind), names })
    }

    /// The model's configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The parameters; they share memory with the networks.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The bottleneck.
    #[must_use]
    pub fn quantizer(&self) -> &dyn Quantizer {
        self.quantizer.as_ref()
    }

    /// The weight of the decoder's last convolution, `[3, ch, 3, 3, 3]`, at which the parts of a training loss are
    /// compared.
    pub fn decoder_output_weight(&self) -> &Tensor {
        self.decoder.output_weight()
    }

    /// Where the model computes.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// The number type that the networks compute in.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The sha256 of the weights as float32, hexadecimal; computed once. Weights that are trained on later keep it.
    #[must_use]
    pub fn weights_sha256(&self) -> &str {
        self.weights_sha256.get_or_init(|| weights::sha256(self.parameters.iter()))
    }

    /// Encodes `[b, 3, t, h, w]` in [-1, 1]; any t, h, w >= 1.
    ///
    /// # Errors
    /// If the video's shape is another, its values are far outside [-1, 1], or the encoder gives numbers that are not
    /// finite.
    pub fn encode(&self, video: &Tensor, options: EncodeOptions) -> Result<Encoded, Error> {
        let mut encoder = StreamEncoder::new(self, clip_size(video)?, options);
        let parts: Vec<Quantized> = encoder.push(video)?.into_iter().collect();
        Encoded::join(&parts, encoder.padding(), options.window)
    }

    /// Decodes a clip to its own shape `[b, 3, t, h, w]`, about in [-1, 1], float32.
    ///
    /// # Errors
    /// If the latent does not fit the model or the padding does not fit the latent, or the decoder gives numbers that are
    /// not finite.
    pub fn decode(&self, encoded: &Encoded) -> Result<Tensor, Error> {
        let Encoded { latent, padding, window, .. } = encoded;
        self.check_latent(latent)?;
        self.check_padding(latent, *padding)?;
        let mut decoder = StreamDecoder::new(self, latent.size()[2], *padding, *window);
        let decoded = decoder.push(latent)?;
        decoded.ok_or_else(|| Error::Shape { what: "the clip", expected: "frames".into(), found: "none".into() })
    }

    /// Makes what [`decode`](Self::decode) takes of what a file holds. A file that does not say its padding is taken
    /// to be of natural size.
    ///
    /// # Errors
    /// If the file is not of a model like this one.
    pub fn read_encoded(&self, file: &EncodedFile) -> Result<Encoded, Error> {
        let shape = |tensor: &Tensor| format!("{:?}", tensor.size());
        let wrong = |expected: &str, found: String| {
            Err(Error::Shape { what: "the encoded clip", expected: expected.to_owned(), found })
        };
        let latent = match (self.quantizer.codebook_size(), &file.latent, &file.indices) {
            (Some(codes), _, Some(indices)) => self.codes(indices, codes)?,
            (None, Some(latent), _) => latent.to_device(self.device).to_kind(self.kind),
            (Some(_), Some(latent), None) => {
                return wrong("the indices of a discrete model", format!("a latent {}", shape(latent)));
            }
            (None, None, Some(indices)) => {
                return wrong("the latent of a continuous model", format!("indices {}", shape(indices)));
            }
            (_, None, None) => return wrong("a latent or indices", "none".to_owned()),
        };
        let padding = file.padding.unwrap_or_else(|| Padding::natural(&self.config.model));
        self.check_latent(&latent)?;
        self.check_padding(&latent, padding)?;
        let on_device = |tensor: &Option<Tensor>| tensor.as_ref().map(|tensor| tensor.to_device(self.device));
        let (logvar, indices) = (on_device(&file.logvar), on_device(&file.indices));
        Ok(Encoded { latent, logvar, indices, padding, window: file.window })
    }

    fn codes(&self, indices: &Tensor, codes: i64) -> Result<Tensor, Error> {
        let wrong = |expected: String, found: String| Error::Shape { what: "the indices", expected, found };
        if indices.dim() != 4 || indices.numel() == 0 || !is_integer(indices) {
            let found = format!("{:?} {:?}", indices.kind(), indices.size());
            return Err(wrong("integers [b, t, h, w]".to_owned(), found));
        }
        let (low, high) = (indices.min().int64_value(&[]), indices.max().int64_value(&[]));
        let latent = self.quantizer.indices_to_codes(&indices.to_device(self.device));
        match latent {
            Some(latent) if low >= 0 && high < codes => Ok(latent.to_kind(self.kind)),
            _ => Err(wrong(format!("values from 0 to {}", codes - 1), format!("{low} to {high}"))),
        }
    }

    /// Encodes and decodes, to the same shape.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn reconstruct(&self, video: &Tensor) -> Result<Tensor, Error> {
        self.decode(&self.encode(video, EncodeOptions::default())?)
    }

    /// The clip as the encoder reads it.
    pub(crate) fn pad(&self, video: &Tensor, padding: Padding) -> Tensor {
        padding.pad(&video.to_device(self.device).to_kind(self.kind))
    }

    pub(crate) fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    pub(crate) fn decoder(&self) -> &Decoder {
        &self.decoder
    }

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

    pub(crate) fn check_padding(&self, latent: &Tensor, padding: Padding) -> Result<(), Error> {
        let (f_t, f_s) = (self.config.model.temporal_factor(), self.config.model.spatial_factor());
        let size = latent.size();
        let room = [size[2] * f_t, size[3] * f_s, size[4] * f_s];
        let cut = [padding.front.saturating_add(padding.back), padding.bottom, padding.right];
        if room.iter().zip(cut).all(|(room, cut)| (0..*room).contains(&cut)) && padding.back >= 0 && padding.front >= 0
        {
            return Ok(());
        }
        Err(Error::Shape {
            what: "the padding",
            expected: format!("less than the decoded {room:?} (front and back, bottom, right)"),
            found: format!("{cut:?}"),
        })
    }
}

/// A number type as arguments and stamps call it.
pub(crate) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::BFloat16 => "bf16",
        Kind::Half => "f16",
        _ => "f32",
    }
}

/// t, h and w of a video.
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
