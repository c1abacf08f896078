//! The file format of encoded clips.

use std::path::Path;

use tch::{Kind, Tensor};
use vidtok_core::{FrameRate, FrameTimes, PixelAspect};
use vidtok_torch::{TensorFile, write_tensors};

use crate::error::Error;
use crate::latent_statistics::LatentStatistics;
use crate::padding::Padding;
use crate::stream::Window;

/// The content of an encoded clip's `.safetensors` file: the tensors `latent` and `logvar`, or `indices`, and metadata that
/// describes how to decode and show the clip.
#[derive(Debug)]
pub struct EncodedFile {
    /// The latent of a continuous model, `[b, z, t, h, w]`.
    pub latent: Option<Tensor>,
    /// The log-variance of a continuous model, `[b, z, t, h, w]`.
    pub logvar: Option<Tensor>,
    /// The indices of a discrete model, int32 `[b, t, h, w]`.
    pub indices: Option<Tensor>,
    /// The statistics by which `latent` and `logvar` are normalised; `None` if they are as the decoder takes them.
    pub normalization: Option<LatentStatistics>,
    /// The padding that was added to the clip before it was encoded; `None` if the file does not state it.
    pub padding: Option<Padding>,
    /// The window in which a non-causal model took the clip; `None` for the whole clip. Files of causal models may state one
    /// too, which has no meaning.
    pub window: Option<Window>,
    /// The name of the model.
    pub model: Option<String>,
    /// The SHA-256 of the model's weights, in hexadecimal.
    pub weights_sha256: Option<String>,
    /// Frames per second of the clip; the average if the rate is variable.
    pub frame_rate: Option<FrameRate>,
    /// Each frame's time, if the frame rate is variable.
    pub frame_times: Option<FrameTimes>,
    /// The sample aspect ratio of the source.
    pub pixel_aspect: PixelAspect,
}

const MODEL: &str = "vidtok.model";
const WEIGHTS: &str = "vidtok.weights_sha256";
const VERSION: &str = "vidtok.version";
const FPS: &str = "vidtok.fps";
const FRAME_TIMES: &str = "vidtok.frame_times";
const PIXEL_ASPECT: &str = "vidtok.pixel_aspect";
const FRAMES: &str = "vidtok.frames";
const SIZE: &str = "vidtok.size";
const PADDING: &str = "vidtok.padding";
const WINDOW: &str = "vidtok.window";
const LATENT_MEAN: &str = "vidtok.latent_mean";
const LATENT_STD: &str = "vidtok.latent_std";

impl EncodedFile {
    /// Writes the file atomically; `[t, h, w]` is the size of the clip, for readers without the model.
    /// [`Encoded::save`](crate::Encoded::save) fills in everything by itself.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>, [t, h, w]: [i64; 3]) -> Result<(), Error> {
        let named = [("latent", &self.latent), ("logvar", &self.logvar), ("indices", &self.indices)];
        let tensors = named.into_iter().filter_map(|(name, tensor)| tensor.as_ref().map(|tensor| (name, tensor)));
        let padding = self.padding.map(|padding| {
            let Padding { front, back, bottom, right } = padding;
            format!("front={front} bottom={bottom} right={right} back={back}")
        });
        let window = self.window.map(|window| match window {
            Window { frames, overlap: 0 } => frames.to_string(),
            Window { frames, overlap } => format!("{frames} overlap={overlap}"),
        });
        let numbers = |of: fn(&LatentStatistics) -> &[f64]| {
            let numbers = of(self.normalization.as_ref()?).iter().map(f64::to_string);
            Some(numbers.collect::<Vec<_>>().join(" "))
        };
        let texts = [
            (MODEL, self.model.clone()),
            (WEIGHTS, self.weights_sha256.clone()),
            (VERSION, Some(env!("CARGO_PKG_VERSION").to_owned())),
            (FPS, self.frame_rate.map(|rate| rate.to_string())),
            (FRAME_TIMES, self.frame_times.as_ref().map(ToString::to_string)),
            (PIXEL_ASPECT, (!self.pixel_aspect.is_square()).then(|| self.pixel_aspect.to_string())),
            (FRAMES, Some(t.to_string())),
            (SIZE, Some(format!("{w}x{h}"))),
            (PADDING, padding),
            (WINDOW, window),
            (LATENT_MEAN, numbers(|statistics| &statistics.mean)),
            (LATENT_STD, numbers(|statistics| &statistics.std)),
        ];
        write_tensors(
            path.as_ref(),
            tensors,
            texts.into_iter().filter_map(|(key, text)| text.map(|text| (key, text))),
        )?;
        Ok(())
    }

    /// A tensor `[b, z, t, h, w]` of the file without its normalisation, which `inverse` undoes.
    pub(crate) fn denormalize(
        &self,
        tensor: &Tensor,
        inverse: fn(&LatentStatistics, &Tensor) -> Tensor,
    ) -> Result<Tensor, Error> {
        let Some(statistics) = &self.normalization else { return Ok(tensor.shallow_clone()) };
        statistics.validate(tensor.size().get(1).copied().unwrap_or(0))?;
        Ok(inverse(statistics, &tensor.to_kind(Kind::Float)))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// If the file cannot be read, has neither `latent` nor `indices`, or its metadata is invalid.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let file = TensorFile::open(path)?;
        let wrong = |problem: &str| Error::EncodedFile { path: path.to_owned(), problem: problem.to_owned() };
        let tensor = |name: &str| file.contains(name).then(|| file.tensor(name)).transpose();
        let (latent, indices) = (tensor("latent")?, tensor("indices")?);
        if latent.is_none() && indices.is_none() {
            return Err(wrong("not an encoded clip: expected a tensor \"latent\" or \"indices\""));
        }
        let text = |key| file.metadata(key).map(|text| (key, text));
        let invalid = |(key, text): (&str, &str)| wrong(&format!("the metadata {key} is invalid: {text:?}"));
        let padding = text(PADDING).map(|stated| parse_padding(stated.1).ok_or_else(|| invalid(stated)));
        let window = text(WINDOW).map(|stated| parse_window(stated.1).ok_or_else(|| invalid(stated)));
        let frame_rate = text(FPS).map(|stated| stated.1.parse().map_err(|_| invalid(stated)));
        let frame_times = text(FRAME_TIMES).map(|stated| stated.1.parse().map_err(|_| invalid(stated)));
        let pixel_aspect = text(PIXEL_ASPECT).map(|stated| stated.1.parse().map_err(|_| invalid(stated)));
        let numbers = |key| text(key).map(|stated| parse_numbers(stated.1).ok_or_else(|| invalid(stated))).transpose();
        let normalization = match (numbers(LATENT_MEAN)?, numbers(LATENT_STD)?) {
            (None, None) => None,
            (Some(mean), Some(std)) => Some(LatentStatistics { mean, std }),
            _ => return Err(wrong(&format!("the metadata states only one of {LATENT_MEAN} and {LATENT_STD}"))),
        };
        Ok(Self {
            latent,
            logvar: tensor("logvar")?,
            indices,
            normalization,
            padding: padding.transpose()?,
            window: window.transpose()?,
            model: file.metadata(MODEL).map(str::to_owned),
            weights_sha256: file.metadata(WEIGHTS).map(str::to_owned),
            frame_rate: frame_rate.transpose()?,
            frame_times: frame_times.transpose()?,
            pixel_aspect: pixel_aspect.transpose()?.unwrap_or_default(),
        })
    }
}

/// `front=3 bottom=0 right=0 back=0`. Older files have no `back`, which is then 0.
fn parse_padding(text: &str) -> Option<Padding> {
    let mut parts = text.split(' ');
    let mut value = |name: &str| parts.next().map(|part| count(part.strip_prefix(name)?));
    let (front, bottom, right) = (value("front=")??, value("bottom=")??, value("right=")??);
    Some(Padding { front, bottom, right, back: value("back=").unwrap_or(Some(0))? })
}

/// `16`, or `16 overlap=4`.
fn parse_window(text: &str) -> Option<Window> {
    let (frames, overlap) = text.split_once(" overlap=").unwrap_or((text, "0"));
    Some(Window { frames: count(frames)?, overlap: count(overlap)? })
}

/// Numbers with one space between each two.
fn parse_numbers(text: &str) -> Option<Vec<f64>> {
    text.split(' ').map(|number| number.parse().ok()).collect()
}

fn count(text: &str) -> Option<i64> {
    text.parse().ok().filter(|count| *count >= 0)
}
