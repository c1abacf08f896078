//! What can go wrong with a model, its files and its inputs.

use std::io;
use std::path::PathBuf;

use tch::TchError;
use vidtok_arch::{ArchError, Causality, StreamError};
use vidtok_core::{Bytes, one_line};
use vidtok_quant::QuantizerError;
use vidtok_torch::{ParameterError, TensorFileError};

use crate::files::checkpoint::error::CheckpointError;
use crate::pixel_range::PixelRange;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration file cannot be read.
    #[error("{}: {source}", path.display())]
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A configuration is no TOML, or has unknown, missing or wrong keys.
    #[error("{}{}", prefix(path), one_line(message))]
    Config {
        /// The file, if it came from one.
        path: Option<PathBuf>,
        /// What is wrong.
        message: String,
    },
    /// An override is not of the form `key.key=value`, or leads nowhere.
    #[error("override {text:?}: {problem}")]
    Override {
        /// The override.
        text: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// The shape of the networks makes no sense.
    #[error(transparent)]
    Arch(#[from] ArchError),
    /// The quantizer's configuration makes no sense.
    #[error(transparent)]
    Quantizer(#[from] QuantizerError),
    /// A configuration has no TOML form.
    #[error("the configuration cannot be written: {0}")]
    ConfigForm(#[from] toml::ser::Error),
    /// A tensor file cannot be read or written.
    #[error(transparent)]
    TensorFile(#[from] TensorFileError),
    /// A PyTorch checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] Box<CheckpointError>),
    /// The file's parameters are not the model's.
    #[error("{}: {source}", path.display())]
    Parameters {
        /// The file.
        path: PathBuf,
        /// Which keys do not fit.
        source: Box<ParameterError>,
    },
    /// The network asks for a parameter twice: a fault of this crate.
    #[error("faulty network: {0}")]
    Network(#[source] Box<ParameterError>),
    /// The weights were made for another version of the networks.
    #[error(
        "{}: these are weights of causality {found}, the configuration says {expected}; names and shapes are the same, \
         the pixels would be wrong",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// What the configuration says.
        expected: Causality,
        /// What the file is.
        found: Causality,
    },
    /// The file is a one-file model with another configuration.
    #[error("{}: the model in the file has another [{table}] than the configuration given", path.display())]
    OtherModel {
        /// The file.
        path: PathBuf,
        /// The table that differs.
        table: &'static str,
    },
    /// The file has no configuration, so it is no one-file model.
    #[error("{}: no model with its configuration inside (make one with `vidtok convert`)", path.display())]
    NotAModel {
        /// The file.
        path: PathBuf,
    },
    /// The file has no averaged weights.
    #[error("{}: there are no EMA weights (model_ema.*) for {key}", path.display())]
    NoEma {
        /// The file.
        path: PathBuf,
        /// A parameter without one.
        key: String,
    },
    /// A key stands in a file twice once the names of wrappers are left out of it.
    #[error("{}: key {key:?} stands there with \"module.\" or \"_orig_mod.\" and without", path.display())]
    TwiceNamed {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// Parameters of a model are NaN or infinite.
    #[error("{count} of the model's parameters hold NaN or infinity as {kind}: {names}")]
    ParametersNotFinite {
        /// How many do.
        count: usize,
        /// The number type in which they do: in a small one large numbers are infinite.
        kind: &'static str,
        /// The first of them.
        names: String,
    },
    /// A tensor, or what else is given, is not as it must be.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// What it is.
        what: &'static str,
        /// What is needed.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A video's pixels are not in [-1, 1], by far.
    #[error("the video: expected pixels in [-1, 1], found {}", range.describe())]
    PixelRange {
        /// The values that it has.
        range: PixelRange,
    },
    /// The encoder gives infinities or no numbers.
    #[error("the encoder's output is not finite: the input or the weights are faulty, or the number type is too small")]
    NotFinite,
    /// The decoder returned values that are not finite.
    #[error(
        "the decoder's output is not finite: the latent or the weights are faulty, or the number type is too small"
    )]
    DecodedNotFinite,
    /// A network cannot take the next step of a stream.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// No way to cut the work fits into the memory allowed.
    #[error("{} of memory are not enough: at least {} are needed", Bytes(*budget), Bytes(*needed).rounded_up())]
    Memory {
        /// The smallest budget that would do, in bytes.
        needed: u64,
        /// What is allowed, in bytes.
        budget: u64,
    },
    /// The networks cannot compute in this precision.
    #[error("mixed precision: {0}")]
    MixedPrecision(#[source] TchError),
    /// An encoded file says something that makes no sense.
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
