//! A stream's state as a file, to resume it later or elsewhere.
//!
//! The `.safetensors` file contains the causal context of the layers (`frames.*`), the frames that wait for others
//! (`steps.pending`), and counters as int64 tensors.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;

use tch::{Kind, Tensor};
use vidtok_arch::{StreamError, StreamState};
use vidtok_torch::{TensorFile, write_tensors};

use crate::error::Error;
use crate::model::Model;
use crate::padding::Padding;
use crate::stream::decoder::StreamDecoder;
use crate::stream::encoder::StreamEncoder;
use crate::stream::noise::Noise;
use crate::stream::steps::StepBuffer;
use crate::stream::{EncodeOptions, Window};
use crate::tokenizer::Tokenizer;

const WEIGHTS: &str = "vidtok.weights_sha256";
const KIND: &str = "vidtok.stream";
const ENCODER: &str = "encoder";
const DECODER: &str = "decoder";

/// An upper bound on the frames, rows and columns of a stream.
const MOST: i64 = 1 << 40;

impl<'a> StreamEncoder<'a> {
    /// Writes the current state to a file, atomically.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let mut file = StateWriter::new(&self.state, &self.steps, self.padding, self.options.window);
        file.number("frames", self.frames);
        file.numbers("size", &self.size);
        file.number("pushed", Some(self.pushed));
        // Reinterpreted, because safetensors files of this project have signed integers only.
        file.number("noise.seed", self.options.seed.map(u64::cast_signed));
        file.number("noise.drawn", self.noise.as_ref().map(|noise| noise.drawn().cast_signed()));
        file.write(path.as_ref(), ENCODER, self.model)
    }

    /// Resumes an encoder that was [saved](Self::save) with the same model.
    ///
    /// # Errors
    /// If the file cannot be read, is not an encoder's state or of another model, or a tensor in it is invalid.
    pub fn restore(tokenizer: &'a Tokenizer, path: impl AsRef<Path>) -> Result<Self, Error> {
        let model = tokenizer.model();
        let mut file = StateReader::read(path.as_ref(), ENCODER, model)?;
        let [h, w] = file.counts("size", 1..=MOST)?;
        let seed = file.optional("noise.seed")?.map(i64::cast_unsigned);
        let options = EncodeOptions { seed, window: file.window()? };
        let mut encoder = match file.count("frames", 1..=MOST)? {
            Some(t) => Self::new(tokenizer, [t, h, w], options),
            None => Self::open_ended(tokenizer, [h, w], options),
        };
        let frames = encoder.frames.unwrap_or(MOST);
        encoder.pushed = file.count("pushed", 0..=frames)?.ok_or_else(|| file.missing("pushed"))?;
        let fill = encoder.padding;
        encoder.padding = file.padding()?;
        // No clip needs more padding, of known length or open-ended.
        let factor = model.config.model.temporal_factor();
        let Padding { front, back, bottom, right } = encoder.padding;
        if (bottom, right) != (fill.bottom, fill.right) || front > 2 * (factor - 1) || back >= factor {
            let expected = format!("{fill:?}, or up to {} frames in front and {} behind", 2 * (factor - 1), factor - 1);
            return Err(file.wrong("padding", &expected, &format!("{:?}", encoder.padding)));
        }
        if let (Some(drawn), Some(noise), Some(seed)) = (file.optional("noise.drawn")?, &mut encoder.noise, seed) {
            *noise = Noise::after(seed, drawn.cast_unsigned());
        }
        file.steps(&mut encoder.steps, 3)?;
        let arrived = if encoder.pushed > 0 { encoder.pushed + encoder.padding.front } else { 0 };
        let remaining = encoder.frames.map(|frames| frames + encoder.padding.front - arrived);
        if encoder.steps.remaining != remaining {
            let found = format!("{:?}", encoder.steps.remaining);
            return Err(file.wrong("steps.missing", &format!("{remaining:?}"), &found));
        }
        let (expected, found) = ([h + fill.bottom, w + fill.right], encoder.steps.first.as_deref());
        if found.is_some_and(|first| first[3..] != expected) {
            return Err(file.wrong(
                "steps.first",
                &format!("[b, 3, t, h, w] with {expected:?}"),
                &format!("{found:?}"),
            ));
        }
        encoder.state = file.state(&encoder.steps, |tensors, size, rows| model.encoder.restore(tensors, size, rows))?;
        Ok(encoder)
    }
}

impl<'a> StreamDecoder<'a> {
    /// Writes the current state to a file, atomically.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let mut file = StateWriter::new(&self.state, &self.steps, self.padding, self.window);
        file.number("to_drop", Some(self.to_drop));
        file.tensor("tail", self.blend.tail.as_ref());
        file.write(path.as_ref(), DECODER, self.model)
    }

    /// Resumes a decoder that was [saved](Self::save) with the same model.
    ///
    /// # Errors
    /// If the file cannot be read, is not a decoder's state or of another model, or a tensor in it is invalid.
    pub fn restore(tokenizer: &'a Tokenizer, path: impl AsRef<Path>) -> Result<Self, Error> {
        let model = tokenizer.model();
        let mut file = StateReader::read(path.as_ref(), DECODER, model)?;
        let padding = file.padding()?;
        let mut decoder = Self::start(model, None, padding, file.window()?);
        decoder.to_drop = file.count("to_drop", 0..=padding.front)?.ok_or_else(|| file.missing("to_drop"))?;
        file.steps(&mut decoder.steps, model.quantizer.latent_channels())?;
        let pixels = |n: i64| n.saturating_mul(model.config.model.spatial_factor());
        let tail = decoder.steps.first.as_ref().filter(|_| decoder.blend.overlap > 0);
        let tail = tail.map(|first| vec![first[0], 3, decoder.blend.overlap, pixels(first[3]), pixels(first[4])]);
        decoder.blend.tail = file.clip("tail", tail.as_deref())?;
        decoder.state = file.state(&decoder.steps, |tensors, size, rows| model.decoder.restore(tensors, size, rows))?;
        Ok(decoder)
    }
}

/// Collects the tensors of a state file.
struct StateWriter(Vec<(String, Tensor)>);

impl StateWriter {
    fn new(state: &StreamState, steps: &StepBuffer, padding: Padding, window: Option<Window>) -> Self {
        let Padding { front, back, bottom, right } = padding;
        let mut file = Self(state.tensors());
        file.numbers("padding", &[front, back, bottom, right]);
        if let Some(Window { frames, overlap }) = window {
            file.numbers("window", &[frames, overlap]);
        }
        file.number("strip_rows", state.strip_rows());
        file.number("steps.missing", steps.remaining);
        file.number("steps.begun", Some(steps.begun.into()));
        file.numbers("steps.first", steps.first.as_deref().unwrap_or_default());
        file.tensor("steps.pending", steps.pending.as_ref());
        file
    }

    fn tensor(&mut self, name: &str, tensor: Option<&Tensor>) {
        self.0.extend(tensor.map(|tensor| (name.to_owned(), tensor.shallow_clone())));
    }

    fn numbers(&mut self, name: &str, numbers: &[i64]) {
        self.tensor(name, Some(&Tensor::from_slice(numbers)));
    }

    fn number(&mut self, name: &str, number: Option<i64>) {
        if let Some(number) = number {
            self.numbers(name, &[number]);
        }
    }

    fn write(self, path: &Path, kind: &str, model: &Model) -> Result<(), Error> {
        let texts = [(KIND, kind.to_owned()), (WEIGHTS, model.weights_sha256())];
        write_tensors(path, self.0.iter().map(|(name, tensor)| (name.as_str(), tensor)), texts)?;
        Ok(())
    }
}

/// The tensors of a state file, which are checked as they are taken.
struct StateReader<'p> {
    path: &'p Path,
    tensors: BTreeMap<String, Tensor>,
    /// The number type of the networks.
    kind: Kind,
}

impl<'p> StateReader<'p> {
    fn read(path: &'p Path, kind: &str, model: &Model) -> Result<Self, Error> {
        let file = TensorFile::open(path)?;
        let problem = |problem: &str| Error::EncodedFile { path: path.to_owned(), problem: problem.to_owned() };
        if file.metadata(KIND) != Some(kind) {
            return Err(problem(&format!("not a saved state of a stream's {kind}")));
        }
        if file.metadata(WEIGHTS) != Some(model.weights_sha256().as_str()) {
            return Err(problem("the state is of a model with other weights"));
        }
        let tensors = file.tensors()?.into_iter().map(|(name, tensor)| (name, tensor.to_device(model.device)));
        Ok(Self { path, tensors: tensors.collect(), kind: model.kind })
    }

    fn problem(&self, problem: String) -> Error {
        Error::EncodedFile { path: self.path.to_owned(), problem }
    }

    fn wrong(&self, name: &str, expected: &str, found: &str) -> Error {
        self.problem(format!("{name}: expected {expected}, found {found}"))
    }

    fn missing(&self, name: &str) -> Error {
        self.wrong(name, "a number", "none")
    }

    fn numbers(&self, name: &str) -> Result<Vec<i64>, Error> {
        let Some(tensor) = self.tensors.get(name) else { return Ok(Vec::new()) };
        let numbers = (tensor.kind() == Kind::Int64).then(|| Vec::try_from(tensor).ok()).flatten();
        numbers.ok_or_else(|| self.wrong(name, "Int64 [n]", &describe(tensor)))
    }

    /// N numbers, each within `range`.
    fn counts<const N: usize>(&self, name: &str, range: RangeInclusive<i64>) -> Result<[i64; N], Error> {
        let numbers = self.numbers(name)?;
        let within = numbers.iter().all(|number| range.contains(number));
        let expected = || format!("{N} numbers from {} to {}", range.start(), range.end());
        match <[i64; N]>::try_from(numbers) {
            Ok(numbers) if within => Ok(numbers),
            Ok(numbers) => Err(self.wrong(name, &expected(), &format!("{numbers:?}"))),
            Err(numbers) => Err(self.wrong(name, &expected(), &format!("{numbers:?}"))),
        }
    }

    /// A number within `range`, if the file has it.
    fn count(&self, name: &str, range: RangeInclusive<i64>) -> Result<Option<i64>, Error> {
        self.tensors.contains_key(name).then(|| self.counts(name, range).map(|[count]| count)).transpose()
    }

    fn optional(&self, name: &str) -> Result<Option<i64>, Error> {
        self.count(name, i64::MIN..=i64::MAX)
    }

    fn padding(&self) -> Result<Padding, Error> {
        let [front, back, bottom, right] = self.counts("padding", 0..=MOST)?;
        Ok(Padding { front, back, bottom, right })
    }

    fn window(&self) -> Result<Option<Window>, Error> {
        let window = self.tensors.contains_key("window").then(|| self.counts("window", i64::MIN..=i64::MAX));
        Ok(window.transpose()?.map(|[frames, overlap]| Window { frames, overlap }))
    }

    /// A tensor `[b, c, t, h, w]` in the number type of the networks, if the file has it. If t is 0 in `expected`, any t of at
    /// least 1 is accepted.
    fn clip(&mut self, name: &str, expected: Option<&[i64]>) -> Result<Option<Tensor>, Error> {
        let Some(tensor) = self.tensors.remove(name) else { return Ok(None) };
        let mut size = tensor.size();
        if size.len() == 5 && expected.is_some_and(|expected| expected[2] == 0) {
            size[2] = 0;
        }
        if expected == Some(size.as_slice()) && tensor.numel() > 0 && tensor.kind() == self.kind {
            return Ok(Some(tensor));
        }
        let expected = expected.map_or("no such tensor".to_owned(), |shape| format!("{:?} {shape:?}", self.kind));
        Err(self.wrong(name, &expected, &describe(&tensor)))
    }

    /// Restores the steps of frames with this many channels.
    fn steps(&mut self, steps: &mut StepBuffer, channels: i64) -> Result<(), Error> {
        steps.remaining = self.count("steps.missing", 0..=MOST)?;
        steps.begun = self.count("steps.begun", 0..=1)? == Some(1);
        let first = self.numbers("steps.first")?;
        let is_clip = first.len() == 5 && first[1] == channels && first.iter().all(|n| (1..=MOST).contains(n));
        if !first.is_empty() && !is_clip {
            return Err(self.wrong("steps.first", &format!("[b, {channels}, t, h, w]"), &format!("{first:?}")));
        }
        steps.first = is_clip.then_some(first);
        let any_t = steps.first.as_ref().map(|first| [first[0], first[1], 0, first[3], first[4]]);
        steps.pending = self.clip("steps.pending", any_t.as_ref().map(|shape| shape.as_slice()))?;
        Ok(())
    }

    /// The causal context of the layers, as the network restores it.
    fn state(
        &self,
        steps: &StepBuffer,
        restore: impl FnOnce(&BTreeMap<String, Tensor>, [i64; 3], Option<i64>) -> Result<StreamState, StreamError>,
    ) -> Result<StreamState, Error> {
        let rows = self.count("strip_rows", 1..=i64::MAX)?;
        // A stream without frames has no context.
        let size = steps.first.as_ref().map_or([0; 3], |first| [first[0], first[3], first[4]]);
        restore(&self.tensors, size, rows).map_err(|error| self.problem(error.to_string()))
    }
}

fn describe(tensor: &Tensor) -> String {
    format!("{:?} {:?}", tensor.kind(), tensor.size())
}
