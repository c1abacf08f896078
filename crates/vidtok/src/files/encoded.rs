//! Encoded clips, in memory and as files.

use std::path::Path;

use tch::{Kind, Tensor};
use vidtok_core::{FrameRate, FrameTimes, PixelAspect, Quantized};
use vidtok_torch::{TensorFile, write_tensors};

use crate::error::Error;
use crate::padding::Padding;
use crate::stream::Window;

/// A clip as the tokenizer's latent.
#[derive(Debug)]
pub struct Encoded {
    /// What the decoder reads, `[b, z, t, h, w]`: the mean of a continuous latent, the codes of a discrete one.
    pub latent: Tensor,
    /// Continuous latents only: the log-variance, `[b, z, t, h, w]`.
    pub logvar: Option<Tensor>,
    /// Discrete latents only: codebook indices, int32 `[b, t, h, w]`.
    pub indices: Option<Tensor>,
    /// What was added to the clip before it was encoded.
    pub padding: Padding,
    /// What a non-causal model took at a time; `None` for the whole clip.
    pub window: Option<Window>,
}

impl Encoded {
    /// Joins what the chunks of a clip gave, at least one.
    ///
    /// # Errors
    /// If there is none, or they are not of one clip: of other sizes but for the frames, or of another model.
    pub fn join(parts: &[Quantized], padding: Padding, window: Option<Window>) -> Result<Self, Error> {
        let latents: Vec<&Tensor> = parts.iter().map(|part| &part.latent).collect();
        Ok(Self {
            latent: join(&latents, 2, "the latents of the chunks")?,
            logvar: join_all(parts, |part| part.logvar.as_ref(), 2, "the log-variances of the chunks")?,
            indices: join_all(parts, |part| part.indices.as_ref(), 1, "the indices of the chunks")?,
            padding,
            window,
        })
    }
}

/// Joins what all parts have, or none.
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

/// Joins tensors that are alike but for their frames, along the axis `time`.
fn join(tensors: &[&Tensor], time: usize, what: &'static str) -> Result<Tensor, Error> {
    let Some(first) = tensors.first() else {
        return Err(Error::Shape { what, expected: "at least one".to_owned(), found: "none".to_owned() });
    };
    let alike = |tensor: &Tensor| {
        let mut size = tensor.size();
        size.get_mut(time).map(|t| *t = 0).map(|()| (size, tensor.kind(), tensor.device()))
    };
    match tensors.iter().find(|tensor| alike(tensor).is_none() || alike(tensor) != alike(first)) {
        Some(other) => Err(Error::Shape {
            what,
            expected: format!("{:?} {:?} but for the frames, as the first", first.kind(), first.size()),
            found: format!("{:?} {:?}", other.kind(), other.size()),
        }),
        None => Ok(Tensor::cat(tensors, time as i64).contiguous()),
    }
}

/// The encoded form of a clip as a `.safetensors` file: `latent` and `logvar`, or `indices`, and metadata that says
/// how to decode it.
#[derive(Debug)]
pub struct EncodedFile {
    /// The latent of a continuous model, `[b, z, t, h, w]`.
    pub latent: Option<Tensor>,
    /// Its log-variance.
    pub logvar: Option<Tensor>,
    /// The indices of a discrete model, int32 `[b, t, h, w]`.
    pub indices: Option<Tensor>,
    /// What was added to the clip before it was encoded; `None` if the file does not say.
    pub padding: Option<Padding>,
    /// What a non-causal model took at a time; `None` for the whole clip.
    pub window: Option<Window>,
    /// The name of the model.
    pub model: Option<String>,
    /// The sha256 of the model's weights.
    pub weights_sha256: Option<String>,
    /// Frames per second of the clip; on average, where they come unevenly.
    pub frame_rate: Option<FrameRate>,
    /// When each frame of the clip is shown, where their rate is not constant.
    pub frame_times: Option<FrameTimes>,
    /// The shape of the source's pixels.
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

impl EncodedFile {
    /// What is to be written of `encoded`, a clip of square pixels.
    #[must_use]
    pub fn new(encoded: Encoded, model: &str, weights_sha256: &str, frame_rate: Option<FrameRate>) -> Self {
        let Encoded { latent, logvar, indices, padding, window } = encoded;
        Self {
            latent: indices.is_none().then_some(latent),
            logvar,
            indices,
            padding: Some(padding),
            window,
            model: Some(model.to_owned()),
            weights_sha256: Some(weights_sha256.to_owned()),
            frame_rate,
            frame_times: None,
            pixel_aspect: PixelAspect::SQUARE,
        }
    }

    /// Writes the file, whole or not at all. `[t, h, w]` are those of the clip that was encoded, for other readers.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn write(&self, path: &Path, [t, h, w]: [i64; 3]) -> Result<(), Error> {
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
        ];
        write_tensors(path, tensors, texts.into_iter().filter_map(|(key, text)| text.map(|text| (key, text))))?;
        Ok(())
    }

    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, holds neither `latent` nor `indices`, or its metadata makes no sense.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let file = TensorFile::open(path)?;
        let wrong = |problem: &str| Error::EncodedFile { path: path.to_owned(), problem: problem.to_owned() };
        let tensor = |name: &str| file.contains(name).then(|| file.tensor(name)).transpose();
        let (latent, indices) = (tensor("latent")?, tensor("indices")?);
        if latent.is_none() && indices.is_none() {
            return Err(wrong("neither \"latent\" nor \"indices\" is there; this is no encoded clip"));
        }
        let padding = file
            .metadata(PADDING)
            .map(|text| parse_padding(text).ok_or_else(|| wrong("the padding in the metadata cannot be read")))
            .transpose()?;
        let window = file
            .metadata(WINDOW)
            .map(|text| parse_window(text).ok_or_else(|| wrong("the window in the metadata cannot be read")))
            .transpose()?;
        let frame_rate = file
            .metadata(FPS)
            .map(|text| text.parse().map_err(|_| wrong("the frame rate in the metadata cannot be read")))
            .transpose()?;
        let frame_times = file
            .metadata(FRAME_TIMES)
            .map(|text| text.parse().map_err(|_| wrong("the frame times in the metadata cannot be read")))
            .transpose()?;
        let pixel_aspect = file
            .metadata(PIXEL_ASPECT)
            .map(|text| text.parse().map_err(|_| wrong("the shape of pixels in the metadata cannot be read")))
            .transpose()?;
        Ok(Self {
            latent,
            logvar: tensor("logvar")?,
            indices,
            padding,
            window,
            model: file.metadata(MODEL).map(str::to_owned),
            weights_sha256: file.metadata(WEIGHTS).map(str::to_owned),
            frame_rate,
            frame_times,
            pixel_aspect: pixel_aspect.unwrap_or_default(),
        })
    }
}

/// Numbers with their names, in order; the last may be missing and is 0 then.
fn parse_padding(text: &str) -> Option<Padding> {
    let mut parts = text.split(' ');
    let mut value = |name: &str| parts.next().map(|part| count(part.strip_prefix(name)?));
    let (front, bottom, right) = (value("front=")??, value("bottom=")??, value("right=")??);
    Some(Padding { front, bottom, right, back: value("back=").unwrap_or(Some(0))? })
}

fn parse_window(text: &str) -> Option<Window> {
    let (frames, overlap) = text.split_once(" overlap=").unwrap_or((text, "0"));
    Some(Window { frames: count(frames)?, overlap: count(overlap)? })
}

fn count(text: &str) -> Option<i64> {
    text.parse().ok().filter(|count| *count >= 0)
}

/// Whether a tensor's numbers are of a kind that indices may have.
pub(crate) fn is_integer(tensor: &Tensor) -> bool {
    matches!(tensor.kind(), Kind::Int | Kind::Int64 | Kind::Int16 | Kind::Uint8)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn parts_are_joined_if_they_are_of_one_clip() {
        let part = |shape: [i64; 5], has_logvar: bool| {
            let latent = Tensor::zeros(shape, (Kind::Float, Device::Cpu));
            Quantized { logvar: has_logvar.then(|| latent.shallow_clone()), latent, indices: None }
        };
        let padding = Padding { front: 0, back: 0, bottom: 0, right: 0 };
        let said = |parts: &[Quantized]| match Encoded::join(parts, padding, None) {
            Ok(encoded) => format!("{:?} {:?}", encoded.latent.size(), encoded.logvar.map(|logvar| logvar.size())),
            Err(error) => error.to_string(),
        };
        assert_eq!(
            said(&[part([1, 4, 2, 3, 3], true), part([1, 4, 1, 3, 3], true)]),
            "[1, 4, 3, 3, 3] Some([1, 4, 3, 3, 3])"
        );
        assert_eq!(said(&[]), "the latents of the chunks: expected at least one, found none");
        assert!(
            said(&[part([1, 4, 2, 3, 3], true), part([1, 4, 2, 3, 4], true)]).contains("found Float [1, 4, 2, 3, 4]")
        );
        assert!(said(&[part([1, 4, 2, 3, 3], true), part([1, 4, 2, 3, 3], false)]).contains("log-variances"));
    }
}
