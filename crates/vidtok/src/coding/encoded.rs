//! Encoded clips in memory, and their way to files and back.

use std::path::Path;

use tch::{Kind, Tensor};
use vidtok_core::{FrameRate, FrameTimes, PixelAspect, Quantized};

use crate::error::Error;
use crate::files::encoded::EncodedFile;
use crate::latent_statistics::LatentStatistics;
use crate::padding::Padding;
use crate::stream::Window;
use crate::stream::steps::{StepBuffer, StepSize};
use crate::tokenizer::Tokenizer;

/// A clip as the tokenizer's latent, and how to decode and show it.
#[derive(Debug)]
pub struct Encoded {
    /// The decoder's input, `[b, z, t, h, w]`: the mean or a sample of a continuous latent, the codes of a discrete one.
    pub latent: Tensor,
    /// Continuous latents only: the log-variance, `[b, z, t, h, w]`.
    pub logvar: Option<Tensor>,
    /// Discrete latents only: codebook indices, int32 `[b, t, h, w]`.
    pub indices: Option<Tensor>,
    /// The padding that was added to the clip before it was encoded.
    pub padding: Padding,
    /// The window in which a non-causal model took the clip; `None` for the whole clip. Causal models ignore it.
    pub window: Option<Window>,
    /// Frames per second of the video, if known; the average if the rate is variable.
    pub frame_rate: Option<FrameRate>,
    /// Each frame's time, if the frame rate is variable.
    pub frame_times: Option<FrameTimes>,
    /// The sample aspect ratio of the video; square pixels if it is not known.
    pub pixel_aspect: PixelAspect,
}

impl Encoded {
    /// Joins the chunks of a clip, at least one, in their order.
    ///
    /// # Errors
    /// If there are no chunks, or they differ in more than their number of frames.
    pub fn join(parts: &[Quantized], padding: Padding, window: Option<Window>) -> Result<Self, Error> {
        let latents: Vec<&Tensor> = parts.iter().map(|part| &part.latent).collect();
        Ok(Self {
            latent: join(&latents, 2, "the latents of the chunks")?,
            logvar: join_all(parts, |part| part.logvar.as_ref(), 2, "the log-variances of the chunks")?,
            indices: join_all(parts, |part| part.indices.as_ref(), 1, "the indices of the chunks")?,
            padding,
            window,
            frame_rate: None,
            frame_times: None,
            pixel_aspect: PixelAspect::SQUARE,
        })
    }

    /// Writes the clip, which `tokenizer` has encoded, as an [`EncodedFile`], atomically.
    ///
    /// # Errors
    /// If the latent or its padding is not of this tokenizer, or the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>, tokenizer: &Tokenizer) -> Result<(), Error> {
        self.file(tokenizer).write(path, tokenizer.decoded_size(self)?)
    }

    /// As [`save`](Self::save), with the latent and the log-variance normalised by the model's statistics
    /// ([`Config::latent_statistics`](crate::Config::latent_statistics)), which the file states too.
    ///
    /// # Errors
    /// If the model is discrete or states no statistics, or as for [`save`](Self::save).
    pub fn save_normalized(&self, path: impl AsRef<Path>, tokenizer: &Tokenizer) -> Result<(), Error> {
        let statistics = tokenizer.normalization()?;
        let file = self.file(tokenizer);
        let file = EncodedFile {
            latent: file.latent.map(|latent| statistics.normalize(&latent)),
            logvar: file.logvar.map(|logvar| statistics.normalize_logvar(&logvar)),
            normalization: Some(statistics.clone()),
            ..file
        };
        file.write(path, tokenizer.decoded_size(self)?)
    }

    /// The content of the clip's file.
    fn file(&self, tokenizer: &Tokenizer) -> EncodedFile {
        let copy = |tensor: &Option<Tensor>| tensor.as_ref().map(Tensor::shallow_clone);
        EncodedFile {
            latent: self.indices.is_none().then(|| self.latent.shallow_clone()),
            logvar: copy(&self.logvar),
            indices: copy(&self.indices),
            normalization: None,
            padding: Some(self.padding),
            window: self.window,
            model: Some(tokenizer.config().name.clone()),
            weights_sha256: Some(tokenizer.weights_sha256()),
            frame_rate: self.frame_rate,
            frame_times: self.frame_times.clone(),
            pixel_aspect: self.pixel_aspect,
        }
    }

    /// Reads an [`EncodedFile`] for decoding with `tokenizer`. Whether the file was written with the same weights is not
    /// checked: [`EncodedFile::weights_sha256`] tells.
    ///
    /// # Errors
    /// If the file cannot be read, or is not of a model like `tokenizer`.
    pub fn load(path: impl AsRef<Path>, tokenizer: &Tokenizer) -> Result<Self, Error> {
        tokenizer.read_encoded(&EncodedFile::read(path)?)
    }
}

impl Tokenizer {
    /// The statistics by which [`Encoded::save_normalized`] normalises the latent.
    ///
    /// # Errors
    /// If the model is discrete, or states no statistics.
    pub fn normalization(&self) -> Result<&LatentStatistics, Error> {
        if let Some(codes) = self.quantizer().codebook_size() {
            let (expected, found) = ("a continuous model".to_owned(), format!("a discrete one of {codes} codes"));
            return Err(Error::Shape { what: "a normalised latent", expected, found });
        }
        let statistics = self.config().latent_statistics.as_ref();
        statistics.ok_or_else(|| Error::NoLatentStatistics { name: self.config().name.clone() })
    }

    /// Makes a file's content ready for [`decode`](Self::decode). A file that does not state its padding is taken as a
    /// clip of natural size.
    ///
    /// # Errors
    /// If the file is not of a model like this one.
    pub fn read_encoded(&self, file: &EncodedFile) -> Result<Encoded, Error> {
        let shape = |tensor: &Tensor| format!("{:?}", tensor.size());
        let wrong = |expected: &str, found: String| {
            Err(Error::Shape { what: "the encoded clip", expected: expected.to_owned(), found })
        };
        let latent = match (self.quantizer().codebook_size(), &file.latent, &file.indices) {
            (Some(codes), _, Some(indices)) => self.indices_to_codes(indices, codes)?,
            (None, Some(latent), _) => {
                self.model().check_latent(latent)?;
                file.denormalize(latent, LatentStatistics::denormalize)?.to_device(self.device()).to_kind(self.kind())
            }
            (Some(_), Some(latent), None) => {
                return wrong("the indices of a discrete model", format!("a latent {}", shape(latent)));
            }
            (None, None, Some(indices)) => {
                return wrong("the latent of a continuous model", format!("indices {}", shape(indices)));
            }
            (_, None, None) => return wrong("a latent or indices", "none".to_owned()),
        };
        let padding = file.padding.unwrap_or_else(|| Padding::natural(&self.config().model));
        self.model().check_latent(&latent)?;
        self.model().check_padding(&latent, padding)?;
        let logvar = file.logvar.as_ref().map(|logvar| file.denormalize(logvar, LatentStatistics::denormalize_logvar));
        Ok(Encoded {
            latent,
            logvar: logvar.transpose()?.map(|logvar| logvar.to_device(self.device())),
            indices: file.indices.as_ref().map(|indices| indices.to_device(self.device())),
            padding,
            window: file.window,
            frame_rate: file.frame_rate,
            frame_times: file.frame_times.clone(),
            pixel_aspect: file.pixel_aspect,
        })
    }

    /// Frames, height and width of the clip that `encoded` decodes to.
    ///
    /// # Errors
    /// If the latent does not fit the model, or the padding does not fit the latent.
    pub fn decoded_size(&self, encoded: &Encoded) -> Result<[i64; 3], Error> {
        let Encoded { latent, padding, window, .. } = encoded;
        self.model().check_latent(latent)?;
        self.model().check_padding(latent, *padding)?;
        let (model, size) = (&self.config().model, latent.size());
        let (f_t, f_s) = (model.temporal_factor(), model.spatial_factor());
        // Windows that overlap encode some frames twice.
        let frames = StepBuffer::frames_without_overlap(StepSize::new(model, *window), size[2] * f_t);
        let Padding { front, back, bottom, right } = *padding;
        Ok([frames - front - back, size[3] * f_s - bottom, size[4] * f_s - right])
    }

    /// The latent of indices from a file, which may hold any numbers.
    fn indices_to_codes(&self, indices: &Tensor, codes: i64) -> Result<Tensor, Error> {
        let wrong = |expected: String, found: String| Error::Shape { what: "the indices", expected, found };
        if indices.dim() != 4 || indices.numel() == 0 || !is_integer(indices) {
            let found = format!("{:?} {:?}", indices.kind(), indices.size());
            return Err(wrong("integers [b, t, h, w]".to_owned(), found));
        }
        let (low, high) = (indices.min().int64_value(&[]), indices.max().int64_value(&[]));
        if low < 0 || high >= codes {
            return Err(wrong(format!("values from 0 to {}", codes - 1), format!("{low} to {high}")));
        }
        match self.quantizer().indices_to_codes(&indices.to_device(self.device())) {
            Some(latent) => Ok(latent.to_kind(self.kind())),
            None => {
                Err(wrong("indices that the quantizer can decode".to_owned(), "a quantizer that cannot".to_owned()))
            }
        }
    }
}

/// Joins the tensors of all parts along the axis `time`; either all parts have one, or none.
fn join_all<'a>(
    parts: &'a [Quantized],
    tensor: impl FnMut(&'a Quantized) -> Option<&'a Tensor>,
    time: usize,
    what: &'static str,
) -> Result<Option<Tensor>, Error> {
    let tensors: Vec<&Tensor> = parts.iter().filter_map(tensor).collect();
    if !tensors.is_empty() && tensors.len() < parts.len() {
        let (expected, found) = (format!("one for each of {}", parts.len()), tensors.len().to_string());
        return Err(Error::Shape { what, expected, found });
    }
    (!tensors.is_empty()).then(|| join(&tensors, time, what)).transpose()
}

/// Joins tensors that differ only in their number of frames, along the axis `time`.
fn join(tensors: &[&Tensor], time: usize, what: &'static str) -> Result<Tensor, Error> {
    let Some(first) = tensors.first() else {
        return Err(Error::Shape { what, expected: "at least one".to_owned(), found: "none".to_owned() });
    };
    let without_time = |tensor: &Tensor| {
        let mut size = tensor.size();
        size.get_mut(time).map(|t| *t = 0).map(|()| (size, tensor.kind(), tensor.device()))
    };
    let expected = without_time(first);
    match tensors.iter().find(|tensor| expected.is_none() || without_time(tensor) != expected) {
        Some(other) => Err(Error::Shape {
            what,
            expected: format!("{:?} {:?} with any number of frames, as the first", first.kind(), first.size()),
            found: format!("{:?} {:?}", other.kind(), other.size()),
        }),
        None => Ok(Tensor::cat(tensors, time as i64).contiguous()),
    }
}

/// Whether a tensor's number type is one that indices may have.
fn is_integer(tensor: &Tensor) -> bool {
    matches!(tensor.kind(), Kind::Int | Kind::Int64 | Kind::Int16 | Kind::Uint8)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::Causality;
    use crate::config::Config;
    use crate::config::tests::TINY;
    use crate::stream::EncodeOptions;

    #[test]
    fn a_saved_clip_is_loaded_with_its_size_and_its_timing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.safetensors");
        for causality in [Causality::V1_0, Causality::V1_1, Causality::NonCausal] {
            let mut config = Config::parse(TINY).unwrap();
            config.model.causality = causality;
            let tokenizer = Tokenizer::init(config, 0, Device::Cpu).unwrap();
            for (t, window) in [(1, None), (9, None), (20, Some(Window { frames: 8, overlap: 4 }))] {
                let video = Tensor::zeros([1, 3, t, 7, 10], (Kind::Float, Device::Cpu));
                let encoded = tokenizer.encode(&video, EncodeOptions { seed: None, window }).unwrap();
                assert_eq!(encoded.window, window.filter(|_| causality == Causality::NonCausal));
                assert_eq!(tokenizer.decoded_size(&encoded).unwrap(), [t, 7, 10], "{causality} {t}");
                let encoded = Encoded { frame_rate: FrameRate::new(30000, 1001), ..encoded };
                encoded.save(&path, &tokenizer).unwrap();
                let loaded = Encoded::load(&path, &tokenizer).unwrap();
                assert!(loaded.latent.equal(&encoded.latent) && loaded.logvar.is_some());
                assert_eq!((loaded.padding, loaded.window), (encoded.padding, encoded.window));
                assert_eq!(loaded.frame_rate, encoded.frame_rate);
                let file = EncodedFile::read(&path).unwrap();
                assert_eq!(file.model.as_deref(), Some(tokenizer.config().name.as_str()));
                assert_eq!(file.weights_sha256, Some(tokenizer.weights_sha256()));
            }
        }
    }

    #[test]
    fn chunks_are_joined_if_they_differ_only_in_their_number_of_frames() {
        let part = |shape: [i64; 5], has_logvar: bool| {
            let latent = Tensor::zeros(shape, (Kind::Float, Device::Cpu));
            Quantized { logvar: has_logvar.then(|| latent.shallow_clone()), latent, indices: None }
        };
        let padding = Padding { front: 0, back: 0, bottom: 0, right: 0 };
        let joined = |parts: &[Quantized]| match Encoded::join(parts, padding, None) {
            Ok(encoded) => format!("{:?} {:?}", encoded.latent.size(), encoded.logvar.map(|logvar| logvar.size())),
            Err(error) => error.to_string(),
        };
        assert_eq!(
            joined(&[part([1, 4, 2, 3, 3], true), part([1, 4, 1, 3, 3], true)]),
            "[1, 4, 3, 3, 3] Some([1, 4, 3, 3, 3])"
        );
        assert_eq!(joined(&[]), "the latents of the chunks: expected at least one, found none");
        assert!(
            joined(&[part([1, 4, 2, 3, 3], true), part([1, 4, 2, 3, 4], true)]).contains("found Float [1, 4, 2, 3, 4]")
        );
        assert!(joined(&[part([1, 4, 2, 3, 3], true), part([1, 4, 2, 3, 3], false)]).contains("log-variances"));
    }
}
