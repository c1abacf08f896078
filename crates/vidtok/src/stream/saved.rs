//! A stream's state as a file, to go on later or elsewhere.
//!
//! A `.safetensors` file: what the layers keep (`frames.*`), the frames that wait (`pending`), and counters as int64
//! tensors of one number or more.

use std::collections::BTreeMap;
use std::path::Path;

use tch::Tensor;
use vidtok_arch::StreamState;
use vidtok_torch::{TensorFile, write_tensors};

use super::noise::Noise;
use super::steps::Steps;
use super::{EncodeOptions, StreamDecoder, StreamEncoder, Window};
use crate::{Error, Padding, Tokenizer};

const WEIGHTS: &str = "vidtok.weights_sha256";
const KIND: &str = "vidtok.stream";
const ENCODER: &str = "encoder";
const DECODER: &str = "decoder";

impl<'a> StreamEncoder<'a> {
    /// Writes the state between two calls, whole or not at all.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let mut file = Saved::new(&self.state, &self.steps, self.padding, self.options.window, self.strip_rows);
        file.number("frames", self.frames);
        file.numbers("size", &self.size);
        file.number("pushed", Some(self.pushed));
        // Bits as they are: the file knows signed numbers only.
        file.number("noise.seed", self.options.seed.map(u64::cast_signed));
        file.number("noise.drawn", self.noise.as_ref().map(|noise| noise.drawn().cast_signed()));
        file.write(path, ENCODER, self.tokenizer)
    }

    /// The encoder that was [saved](Self::save), for the same model.
    ///
    /// # Errors
    /// If the file cannot be read, or is of another model or no encoder's.
    pub fn restore(tokenizer: &'a Tokenizer, path: &Path) -> Result<Self, Error> {
        let mut file = Restored::read(path, ENCODER, tokenizer)?;
        let [h, w] = file.numbers("size")?.try_into().map_err(|_| file.wrong("size"))?;
        let seed = file.optional("noise.seed")?.map(i64::cast_unsigned);
        let options = EncodeOptions { seed, window: file.window()? };
        let mut encoder = match file.optional("frames")? {
            Some(t) => Self::new(tokenizer, [t, h, w], options),
            None => Self::open_ended(tokenizer, [h, w], options),
        };
        encoder.pushed = file.optional("pushed")?.ok_or_else(|| file.wrong("pushed"))?;
        encoder.padding = file.padding()?;
        if let (Some(drawn), Some(seed)) = (file.optional("noise.drawn")?, seed) {
            encoder.noise = Some(Noise::after(seed, drawn.cast_unsigned()));
        }
        file.steps(&mut encoder.steps)?;
        (encoder.state, encoder.strip_rows) = file.state()?;
        Ok(encoder)
    }
}

impl<'a> StreamDecoder<'a> {
    /// Writes the state between two calls, whole or not at all.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let mut file = Saved::new(&self.state, &self.steps, self.padding, self.window, self.strip_rows);
        file.number("to_drop", Some(self.to_drop));
        file.tensor("tail", self.blend.tail.as_ref());
        file.write(path, DECODER, self.tokenizer)
    }

    /// The decoder that was [saved](Self::save), for the same model.
    ///
    /// # Errors
    /// If the file cannot be read, or is of another model or no decoder's.
    pub fn restore(tokenizer: &'a Tokenizer, path: &Path) -> Result<Self, Error> {
        let mut file = Restored::read(path, DECODER, tokenizer)?;
        let mut decoder = Self::start(tokenizer, None, file.padding()?, file.window()?);
        decoder.to_drop = file.optional("to_drop")?.ok_or_else(|| file.wrong("to_drop"))?;
        decoder.blend.tail = file.tensors.remove("tail");
        file.steps(&mut decoder.steps)?;
        (decoder.state, decoder.strip_rows) = file.state()?;
        Ok(decoder)
    }
}

/// What is to be written.
struct Saved(Vec<(String, Tensor)>);

impl Saved {
    fn new(
        state: &StreamState,
        steps: &Steps,
        padding: Padding,
        window: Option<Window>,
        strip_rows: Option<i64>,
    ) -> Self {
        let Padding { front, back, bottom, right } = padding;
        let mut file = Self(state.tensors());
        file.numbers("padding", &[front, back, bottom, right]);
        if let Some(Window { frames, overlap }) = window {
            file.numbers("window", &[frames, overlap]);
        }
        file.number("strip_rows", strip_rows);
        file.number("steps.missing", steps.missing);
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

    fn write(self, path: &Path, kind: &str, tokenizer: &Tokenizer) -> Result<(), Error> {
        let texts = [(KIND, kind.to_owned()), (WEIGHTS, tokenizer.weights_sha256().to_owned())];
        write_tensors(path, self.0.iter().map(|(name, tensor)| (name.as_str(), tensor)), texts)?;
        Ok(())
    }
}

/// What was read.
struct Restored<'p> {
    path: &'p Path,
    tensors: BTreeMap<String, Tensor>,
}

impl<'p> Restored<'p> {
    fn read(path: &'p Path, kind: &str, tokenizer: &Tokenizer) -> Result<Self, Error> {
        let file = TensorFile::open(path)?;
        let wrong = |problem: String| Error::EncodedFile { path: path.to_owned(), problem };
        if file.metadata(KIND) != Some(kind) {
            return Err(wrong(format!("this is no saved state of a stream's {kind}")));
        }
        if file.metadata(WEIGHTS) != Some(tokenizer.weights_sha256()) {
            return Err(wrong("the state is of a model with other weights".to_owned()));
        }
        let tensors = file.tensors()?.into_iter().map(|(name, tensor)| (name, tensor.to_device(tokenizer.device())));
        Ok(Self { path, tensors: tensors.collect() })
    }

    fn wrong(&self, name: &str) -> Error {
        Error::EncodedFile { path: self.path.to_owned(), problem: format!("{name} in the state makes no sense") }
    }

    fn numbers(&self, name: &str) -> Result<Vec<i64>, Error> {
        let Some(tensor) = self.tensors.get(name) else { return Ok(Vec::new()) };
        Vec::try_from(tensor).map_err(|_| self.wrong(name))
    }

    fn optional(&self, name: &str) -> Result<Option<i64>, Error> {
        match self.numbers(name)?[..] {
            [] => Ok(None),
            [number] => Ok(Some(number)),
            _ => Err(self.wrong(name)),
        }
    }

    fn padding(&self) -> Result<Padding, Error> {
        match self.numbers("padding")?[..] {
            [front, back, bottom, right] => Ok(Padding { front, back, bottom, right }),
            _ => Err(self.wrong("padding")),
        }
    }

    fn window(&self) -> Result<Option<Window>, Error> {
        match self.numbers("window")?[..] {
            [] => Ok(None),
            [frames, overlap] => Ok(Some(Window { frames, overlap })),
            _ => Err(self.wrong("window")),
        }
    }

    fn steps(&mut self, steps: &mut Steps) -> Result<(), Error> {
        steps.missing = self.optional("steps.missing")?;
        steps.begun = self.optional("steps.begun")? == Some(1);
        steps.first = Some(self.numbers("steps.first")?).filter(|shape| !shape.is_empty());
        steps.pending = self.tensors.remove("steps.pending");
        match (&steps.first, &steps.pending) {
            (Some(first), _) if first.len() != 5 => Err(self.wrong("steps.first")),
            (None, Some(_)) => Err(self.wrong("steps.pending")),
            _ => Ok(()),
        }
    }

    fn state(&self) -> Result<(StreamState, Option<i64>), Error> {
        let state = StreamState::from_tensors(&self.tensors).ok_or_else(|| self.wrong("frames"))?;
        let rows = self.optional("strip_rows")?;
        Ok((if let Some(rows) = rows { state.in_strips(rows) } else { state }, rows))
    }
}
