//! A model with its weights.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyAny;
use tch::{Device, Kind, Tensor};
use vidtok::{Config, EncodeOptions, Encoded, EncodedFile, TrainingOptions, Weights, Window};
use vidtok_data::Preparation;
use vidtok_tokenize::{
    NumberType, ShardFormat, TokenizeOptions, finish_dataset, plan_shards, tokenize, tokenize_shard,
};
use vidtok_torch::cuda_devices;

use crate::chunks::{decode, encode, encode_video};
use crate::dlpack::{give, take};
use crate::encoded::{Clip, padding};
use crate::error::{Raise, unknown};
use crate::progress::Report;
use crate::stream::{Decoder, Encoder};
use crate::training::{Forward, Outputs};
use crate::worker::{Pool, Stop, in_thread};

/// Windows and other pairs of numbers, as tuples.
type Pair = (i64, i64);

/// A model with its weights.
#[pyclass(frozen, module = "vidtok._vidtok")]
pub(crate) struct Tokenizer {
    pool: Pool,
    config: Config,
    channels: i64,
    codes: Option<i64>,
    parameters: Mutex<Vec<(String, Tensor)>>,
}

/// The kind of a number type's name.
fn kind(name: &str) -> PyResult<Kind> {
    match name {
        "float32" => Ok(Kind::Float),
        "bfloat16" => Ok(Kind::BFloat16),
        "float16" => Ok(Kind::Half),
        _ => Err(unknown("dtype", "float32, bfloat16 or float16", name)),
    }
}

/// The device of a name, if it is there.
fn device(name: &str) -> PyResult<Device> {
    let index = match name.split_once(':') {
        None if name == "cpu" => return Ok(Device::Cpu),
        None if name == "cuda" => Some(0),
        Some(("cuda", index)) => index.parse().ok(),
        _ => None,
    };
    let index = index.ok_or_else(|| unknown("device", "cpu, cuda or cuda:N", name))?;
    // torch has loaded CUDA; whether float32 is TF32 is for its user to say.
    let count = cuda_devices().map_err(Raise::raise)?;
    if index >= count {
        return Err(unknown("device", &format!("one of {count} CUDA devices"), name));
    }
    Ok(Device::Cuda(index))
}

pub(crate) fn window(pair: Option<Pair>) -> Option<Window> {
    pair.map(|(frames, overlap)| Window { frames, overlap })
}

#[pymethods]
impl Tokenizer {
    /// Opens a model by its name or path.
    #[new]
    #[pyo3(signature = (model, device, dtype, progress))]
    fn open(py: Python<'_>, model: Option<PathBuf>, device: &str, dtype: &str, progress: Py<PyAny>) -> PyResult<Self> {
        let (device, kind) = (self::device(device)?, kind(dtype)?);
        let opened = in_thread(py, move |stop| {
            let mut report = Report::new(progress, stop);
            let (config, weights) = vidtok_hub::open(model.as_deref(), &mut report).map_err(Raise::raise)?;
            let path = weights.path().to_owned();
            let tokenizer = vidtok::Tokenizer::with_weights(config, weights, device, kind).map_err(Raise::raise)?;
            let named = tokenizer.parameters().iter();
            let parameters: Vec<_> = named.map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone())).collect();
            let quantizer = tokenizer.quantizer();
            let numbers = (quantizer.latent_channels(), quantizer.codebook_size());
            Ok::<_, PyErr>((tokenizer.config().clone(), path, parameters, tokenizer.weights_sha256(), numbers))
        })?;
        let (config, path, parameters, sha256, (channels, codes)) = opened?;
        let copies = |parameters: &[(String, Tensor)]| -> BTreeMap<String, Tensor> {
            parameters.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
        };
        // The tokenizers of all threads share these tensors' memory.
        let shared = Mutex::new(copies(&parameters).into_iter().collect::<Vec<_>>());
        let of_model = config.clone();
        let pool = Pool::new(py, move || {
            let tensors = copies(&shared.lock().unwrap_or_else(PoisonError::into_inner));
            let weights = Weights::from_tensors(path.clone(), tensors, Some(sha256.clone()));
            vidtok::Tokenizer::with_weights(of_model.clone(), weights, device, kind)
        })?;
        Ok(Self { pool, config, channels, codes, parameters: Mutex::new(parameters) })
    }

    /// The model's name.
    #[getter]
    fn name(&self) -> &str {
        &self.config.name
    }

    /// The configuration as TOML.
    #[getter]
    fn config(&self) -> PyResult<String> {
        self.config.to_toml().map_err(Raise::raise)
    }

    /// The SHA-256 of the weights as they are now.
    #[getter]
    fn weights_sha256(&self, py: Python<'_>) -> PyResult<String> {
        self.pool.call(py, |tokenizer, _| {
            // torch may have changed them, which libtorch's count of writes to our tensors does not tell.
            note_writes(tokenizer);
            Ok(tokenizer.weights_sha256())
        })
    }

    /// "v1.0", "v1.1" or "noncausal".
    #[getter]
    fn causality(&self) -> String {
        self.config.model.causality.to_string()
    }

    /// Frames, rows and columns of a latent position.
    #[getter]
    fn compression(&self) -> (i64, i64, i64) {
        let (time, space) = (self.config.model.temporal_factor(), self.config.model.spatial_factor());
        (time, space, space)
    }

    /// Channels of the latent.
    #[getter]
    fn latent_channels(&self) -> i64 {
        self.channels
    }

    /// Codes of a discrete model.
    #[getter]
    fn codebook_size(&self) -> Option<i64> {
        self.codes
    }

    /// The mean and the standard deviation of each latent channel, if the model states them.
    #[getter]
    fn latent_statistics(&self) -> Option<(Vec<f64>, Vec<f64>)> {
        self.config.latent_statistics.as_ref().map(|statistics| (statistics.mean.clone(), statistics.std.clone()))
    }

    /// The parameters by name, which share their memory with the model.
    fn parameters<'py>(&self, py: Python<'py>) -> PyResult<Vec<(String, Bound<'py, PyAny>)>> {
        let parameters = self.parameters.lock().unwrap_or_else(PoisonError::into_inner);
        parameters.iter().map(|(name, tensor)| Ok((name.clone(), give(py, tensor)?))).collect()
    }

    /// The names of the parameters that training changes.
    fn trained(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.pool.call(py, |tokenizer, _| {
            tokenizer.parameters().set_requires_grad("", true);
            Ok(tokenizer.parameters().trained().map(|(name, _)| name.to_owned()).collect())
        })
    }

    /// The forward pass of a training step.
    fn forward_train<'py>(&self, py: Python<'py>, video: &Bound<'py, PyAny>, step: u64) -> PyResult<Forward<'py>> {
        let video = take(video)?;
        let outputs = self.pool.call(py, move |tokenizer, _| {
            let parameters = tokenizer.parameters();
            parameters.set_requires_grad("", true);
            let pass = tokenizer.forward_train(&video, &TrainingOptions { step, ..TrainingOptions::default() })?;
            Ok(Outputs {
                reconstruction: pass.reconstruction,
                loss: pass.regularized.loss * tokenizer.quantizer().loss_weight(),
                indices: pass.regularized.indices,
                parameters: parameters.trained().map(|(_, tensor)| tensor.shallow_clone()).collect(),
            })
        })?;
        outputs.give(py, &self.pool)
    }

    /// Encodes a clip.
    #[pyo3(signature = (video, seed, window))]
    fn encode(
        &self,
        py: Python<'_>,
        video: &Bound<'_, PyAny>,
        seed: Option<u64>,
        window: Option<Pair>,
    ) -> PyResult<Clip> {
        let (video, window) = (take(video)?, self::window(window));
        self.pool
            .call(py, move |tokenizer, stop| encode(tokenizer, &video, EncodeOptions { seed, window }, stop))
            .map(Clip::new)
    }

    /// Decodes an encoded clip.
    fn decode<'py>(&self, py: Python<'py>, clip: &Clip) -> PyResult<Bound<'py, PyAny>> {
        let encoded = clip.shared();
        let video = self.pool.call(py, move |tokenizer, stop| decode(tokenizer, &encoded, stop))?;
        give(py, &video)
    }

    /// A clip of a latent or of indices, as a generative model makes them.
    #[pyo3(signature = (latent, indices, front_back_bottom_right, window))]
    fn clip(
        &self,
        py: Python<'_>,
        latent: Option<&Bound<'_, PyAny>>,
        indices: Option<&Bound<'_, PyAny>>,
        front_back_bottom_right: Option<(i64, i64, i64, i64)>,
        window: Option<Pair>,
    ) -> PyResult<Clip> {
        let [latent, indices] = [latent, indices].map(|tensor| tensor.map(take).transpose());
        let (latent, indices) = (latent?, indices?);
        let (padding, window) = (front_back_bottom_right.map(padding), self::window(window));
        let clip = self.pool.call(py, move |tokenizer, _| {
            let file = EncodedFile {
                latent,
                logvar: None,
                indices,
                normalization: None,
                padding,
                window,
                model: None,
                weights_sha256: None,
                frame_rate: None,
                frame_times: None,
                pixel_aspect: vidtok::PixelAspect::SQUARE,
            };
            tokenizer.read_encoded(&file)
        });
        clip.map(Clip::new)
    }

    /// Encodes a video file or a folder of frames, in bounded memory.
    #[pyo3(signature = (path, fps, shorter_side, crop, max_frames, seed, overlap, max_memory))]
    #[allow(clippy::too_many_arguments)] // Python's keyword arguments
    fn encode_video(
        &self,
        py: Python<'_>,
        path: PathBuf,
        fps: Option<f64>,
        shorter_side: Option<i64>,
        crop: Option<(i64, i64)>,
        max_frames: Option<usize>,
        seed: Option<u64>,
        overlap: i64,
        max_memory: Option<u64>,
    ) -> PyResult<Clip> {
        let crop = crop.map(|(height, width)| [height, width]);
        let preparation = Preparation { sample_fps: fps, shorter_side, crop, max_frames, ..Preparation::default() };
        let window = (!self.config.model.causality.is_causal()).then_some(Window { overlap, ..Window::PUBLISHED });
        let options = EncodeOptions { seed, window };
        let encoded = self
            .pool
            .call(py, move |tokenizer, stop| encode_video(tokenizer, (&path, &preparation), options, max_memory, stop));
        encoded.map(Clip::new)
    }

    /// Writes an encoded clip to a file.
    fn save_clip(&self, py: Python<'_>, clip: &Clip, path: PathBuf, normalized: bool) -> PyResult<()> {
        let encoded = clip.shared();
        self.pool.call(py, move |tokenizer, _| match normalized {
            true => encoded.save_normalized(path, tokenizer),
            false => encoded.save(path, tokenizer),
        })
    }

    /// Reads an encoded clip from a file.
    fn load_clip(&self, py: Python<'_>, path: PathBuf) -> PyResult<Clip> {
        self.pool.call(py, move |tokenizer, _| Encoded::load(path, tokenizer)).map(Clip::new)
    }

    /// Writes a one-file model, or a folder of diffusers.
    fn save(&self, py: Python<'_>, path: PathBuf, origin: String, diffusers: bool) -> PyResult<()> {
        self.pool.call(py, move |tokenizer, _| match diffusers {
            true => tokenizer.save_diffusers(path),
            false => tokenizer.save(path, &origin),
        })
    }

    /// An encoder of frames that arrive in chunks.
    #[pyo3(signature = (height, width, seed, window))]
    fn stream_encoder(
        &self,
        py: Python<'_>,
        height: i64,
        width: i64,
        seed: Option<u64>,
        window: Option<Pair>,
    ) -> PyResult<Encoder> {
        Encoder::open(py, &self.pool, [height, width], EncodeOptions { seed, window: self::window(window) })
    }

    /// A decoder of latents that arrive in chunks.
    #[pyo3(signature = (front_back_bottom_right, window))]
    fn stream_decoder(
        &self,
        py: Python<'_>,
        front_back_bottom_right: Option<(i64, i64, i64, i64)>,
        window: Option<Pair>,
    ) -> PyResult<Decoder> {
        let natural = vidtok::Padding::natural(&self.config.model);
        let padding = front_back_bottom_right.map_or(natural, padding);
        Decoder::open(py, &self.pool, padding, self::window(window))
    }

    /// Restores a saved encoder.
    fn restore_encoder(&self, py: Python<'_>, path: PathBuf) -> PyResult<Encoder> {
        Encoder::restore(py, &self.pool, path)
    }

    /// Restores a saved decoder.
    fn restore_decoder(&self, py: Python<'_>, path: PathBuf) -> PyResult<Decoder> {
        Decoder::restore(py, &self.pool, path)
    }

    /// Tokenizes a folder of videos into a dataset, and returns the numbers of finished videos and frames.
    fn tokenize(
        &self,
        py: Python<'_>,
        folders: Folders,
        settings: Settings,
        rank: usize,
        world_size: usize,
        progress: Py<PyAny>,
    ) -> PyResult<(u64, u64)> {
        let summary = self.pool.call(py, move |tokenizer, stop| {
            let options = TokenizeOptions { rank, world_size, ..tokenize_options(folders, settings, stop) };
            let report = Report::new(progress, stop);
            Ok(tokenize(tokenizer, &options, &mut |event| report.tell(&event)))
        })?;
        let summary = summary.map_err(Raise::raise)?;
        Ok((summary.meter.videos, summary.meter.frames))
    }

    /// Lists the work on videos that are elsewhere, and returns the unfinished shards with their videos.
    fn plan_shards(
        &self,
        py: Python<'_>,
        folders: Folders,
        settings: Settings,
        videos: Vec<PathBuf>,
    ) -> PyResult<Vec<(usize, Vec<String>)>> {
        let planned = self.pool.call(py, move |tokenizer, stop| {
            Ok(plan_shards(tokenizer, &tokenize_options(folders, settings, stop), videos))
        })?;
        Ok(planned.map_err(Raise::raise)?.into_iter().map(|shard| (shard.index, shard.videos)).collect())
    }

    /// Tokenizes a planned shard.
    fn tokenize_shard(&self, py: Python<'_>, folders: Folders, settings: Settings, shard: usize) -> PyResult<()> {
        let done = self.pool.call(py, move |tokenizer, stop| {
            Ok(tokenize_shard(tokenizer, &tokenize_options(folders, settings, stop), shard, &mut |_| ()))
        })?;
        done.map_err(Raise::raise)
    }

    /// Writes the manifest of a planned dataset.
    fn finish_dataset(&self, py: Python<'_>, folders: Folders, settings: Settings) -> PyResult<()> {
        let finished = self.pool.call(py, move |tokenizer, stop| {
            Ok(finish_dataset(tokenizer, &tokenize_options(folders, settings, stop)).map(drop))
        })?;
        finished.map_err(Raise::raise)
    }
}

/// The folder of videos and that of the dataset.
type Folders = (PathBuf, PathBuf);
/// Frames per second, shorter side, crop (height and width), videos of a shard, whether shards are for WebDataset, memory in
/// bytes, decoders.
type Settings = (Option<f64>, Option<i64>, Option<Pair>, usize, bool, u64, usize);

fn tokenize_options((data, out): Folders, settings: Settings, stop: &Stop) -> TokenizeOptions {
    let (sample_fps, shorter_side, crop, shard_videos, webdataset, max_memory, decoders) = settings;
    let crop = crop.map(|(height, width)| [height, width]);
    TokenizeOptions {
        data,
        out,
        preparation: Preparation { sample_fps, shorter_side, crop, ..Preparation::default() },
        format: if webdataset { ShardFormat::Webdataset } else { ShardFormat::Safetensors },
        latents: NumberType::F16,
        shard_videos,
        max_memory,
        decoders,
        retry: false,
        rank: 0,
        world_size: 1,
        stop: stop.flag(),
    }
}

/// Counts a write to every parameter that changes nothing.
fn note_writes(tokenizer: &vidtok::Tokenizer) {
    tch::no_grad(|| {
        for (_, tensor) in tokenizer.parameters().iter() {
            let _ = tensor.flatten(0, -1).narrow(0, 0, 0).zero_();
        }
    });
}
