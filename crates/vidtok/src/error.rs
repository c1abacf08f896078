//! Errors of models, their files and their inputs.

use std::io;
use std::path::PathBuf;

use tch::TchError;
use vidtok_arch::{ArchError, Causality, StreamError};
use vidtok_core::{Bytes, VideoError, one_line};
use vidtok_quant::QuantizerError;
use vidtok_torch::{ParameterError, TensorFileError};

use crate::files::checkpoint::error::CheckpointError;
use crate::pixel_range::PixelRangeError;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration file cannot be read.
    #[error("{}: {source}", path.display())]
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A configuration is not TOML, or has unknown, missing or invalid keys.
    #[error("{}{}", prefix(path), one_line(message))]
    Config {
        /// The file, if it came from one.
        path: Option<PathBuf>,
        /// What is wrong.
        message: String,
    },
    /// An override is not of the form `key.key=value`, or does not fit the configuration.
    #[error("override {text:?}: {problem}")]
    Override {
        /// The override.
        text: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// The configuration of the networks is invalid.
    #[error(transparent)]
    Arch(#[from] ArchError),
    /// The quantizer's configuration is invalid.
    #[error(transparent)]
    Quantizer(#[from] QuantizerError),
    /// The model has a custom quantizer, which the program did not supply.
    #[error(
        "{}the quantizer {name:?} is not built in; open the model with a program that supplies it \
         (Tokenizer::builder().quantizer)",
        prefix(path)
    )]
    UnknownQuantizer {
        /// The model's file, if it came from one.
        path: Option<PathBuf>,
        /// The quantizer's name.
        name: String,
    },
    /// The custom quantizer that the program supplied cannot be made.
    #[error("{}the quantizer {name:?} cannot be made: {source}", prefix(path))]
    CustomQuantizer {
        /// The model's file, if it came from one.
        path: Option<PathBuf>,
        /// The quantizer's name.
        name: String,
        /// The quantizer's own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A configuration cannot be written as TOML.
    #[error("the configuration cannot be written: {0}")]
    ConfigForm(#[from] toml::ser::Error),
    /// A tensor file cannot be read or written.
    #[error(transparent)]
    TensorFile(#[from] TensorFileError),
    /// A PyTorch checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] Box<CheckpointError>),
    /// The parameters in the file are not those of the model.
    #[error("{}: {source}", path.display())]
    Parameters {
        /// The file.
        path: PathBuf,
        /// The keys that do not fit.
        source: Box<ParameterError>,
    },
    /// A network or a custom quantizer takes a parameter twice, which is a bug in it.
    #[error("a parameter is taken twice: {0}")]
    Network(#[source] Box<ParameterError>),
    /// The weights were made for another version of the networks.
    #[error(
        "{}: expected weights of causality {expected}, found {found}; their names and shapes are the same, but the \
         pixels would be wrong",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The configuration's version.
        expected: Causality,
        /// The version of the weights.
        found: Causality,
    },
    /// The file is a one-file model with another configuration.
    #[error("{}: the [{table}] of the model in the file differs from that of the configuration", path.display())]
    OtherModel {
        /// The file.
        path: PathBuf,
        /// The table that differs.
        table: &'static str,
    },
    /// The file has no configuration, so it is not a one-file model.
    #[error("{}: not a one-file model: it has no configuration inside (`vidtok convert` adds one)", path.display())]
    NotAModel {
        /// The file.
        path: PathBuf,
    },
    /// A folder is no model of the Python library diffusers, or one that this crate cannot compute.
    #[error("{}: {problem}", path.display())]
    Diffusers {
        /// The folder's `config.json`.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The Python library diffusers cannot compute the model.
    #[error("{name}: cannot be written for diffusers: {problem}")]
    NotForDiffusers {
        /// The model's name.
        name: String,
        /// Why not.
        problem: String,
    },
    /// The model states no statistics of its latent.
    #[error("{name}: states no statistics of its latent (`vidtok stats` measures and adds them)")]
    NoLatentStatistics {
        /// The model's name.
        name: String,
    },
    /// The file has no moving average of a parameter.
    #[error("{}: no EMA weights (model_ema.*) for {key}", path.display())]
    NoEma {
        /// The file.
        path: PathBuf,
        /// The parameter.
        key: String,
    },
    /// Two keys of a file become equal when the components of wrappers are removed.
    #[error("{}: key {key:?} is there both with and without \"module.\" or \"_orig_mod.\"", path.display())]
    TwiceNamed {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// Parameters of a model are NaN or infinite.
    #[error("{count} of the model's parameters contain NaN or infinity as {kind}: {names}")]
    ParametersNotFinite {
        /// The number of these parameters.
        count: usize,
        /// The number type. Large numbers may be infinite in half precision only.
        kind: &'static str,
        /// The first of their names.
        names: String,
    },
    /// A tensor or another argument is not as expected.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// The argument.
        what: &'static str,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A video's pixels are far outside [-1, 1].
    #[error(transparent)]
    PixelRange(#[from] PixelRangeError),
    /// The encoder's output contains NaN or infinity.
    #[error("the encoder's output is not finite: the input or the weights are faulty, or half precision overflows")]
    NotFinite,
    /// The decoder's output contains NaN or infinity.
    #[error("the decoder's output is not finite: the latent or the weights are faulty, or half precision overflows")]
    DecodedNotFinite,
    /// A network cannot take the next step of a stream.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A video cannot be read or written.
    #[error(transparent)]
    Video(#[from] VideoError),
    /// Even the smallest chunks and strips do not fit into the memory budget.
    #[error("{} of memory is not enough: at least {} is needed", Bytes(*budget), Bytes(*needed).rounded_up())]
    Memory {
        /// The smallest sufficient budget, in bytes.
        needed: u64,
        /// The budget, in bytes.
        budget: u64,
    },
    /// The networks cannot compute in this mixed precision.
    #[error("mixed precision: {0}")]
    MixedPrecision(#[source] TchError),
    /// An encoded clip's file or a stream's state file is invalid.
    #[error("{}: {problem}", path.display())]
    EncodedFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

fn prefix(path: &Option<PathBuf>) -> String {
    match path {
        Some(path) => format!("{}: ", path.display()),
        None => "configuration: ".to_owned(),
    }
}
