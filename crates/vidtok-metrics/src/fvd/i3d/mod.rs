//! The Inflated 3D ConvNet for action recognition (Carreira & Zisserman 2017, arXiv 1705.07750), with the weights that
//! define FVD.

pub(crate) mod network;

use std::path::{Path, PathBuf};

use tch::{Device, Tensor};
use vidtok_core::MetricError;
use vidtok_torch::ParamPath;

use crate::weights::{WeightsError, load, locate, network_of};
use network::Network;

/// The network's name in the metadata of its file.
const NET: &str = "i3d";
/// The metadata key of the names of the classes, one per line.
const LABELS: &str = "labels";

/// I3D for Kinetics-400, frozen.
///
/// Parameters have the names of the published network: `Conv3d_1a_7x7`, `Mixed_3b.Branch_1.Conv3d_0b_3x3` and so on,
/// each with `weight` and with `bias`, `running_mean` and `running_var` of its batch norm.
#[derive(Debug)]
pub struct I3d {
    network: Network,
    labels: Vec<String>,
}

impl I3d {
    /// The number of action classes.
    pub const CLASSES: i64 = 400;
    /// Height and width of its input frames.
    pub const SIDE: i64 = 224;
    /// The fewest frames of a clip.
    pub const MIN_FRAMES: i64 = 9;

    /// Makes or loads the network, without the names of its classes.
    #[must_use]
    pub fn new(path: &ParamPath) -> Self {
        Self { network: Network::new(path), labels: Vec::new() }
    }

    /// Loads a file made by `cargo xtask assets`.
    ///
    /// # Errors
    /// If the file cannot be read or holds another network.
    pub fn open(path: &Path, device: Device) -> Result<Self, WeightsError> {
        let (file, net) = network_of(path, "I3D")?;
        if net != NET {
            return Err(WeightsError::OtherNetwork { path: path.to_owned(), network: "I3D" });
        }
        let i3d = load(&file, device, Self::new)?;
        let labels = file.metadata(LABELS).unwrap_or_default().lines().map(str::to_owned).collect();
        Ok(Self { labels, ..i3d })
    }

    /// The path of the weights fetched by `cargo xtask assets`.
    ///
    /// # Errors
    /// If they were not fetched.
    pub fn weights_file() -> Result<PathBuf, WeightsError> {
        locate("assets/i3d.safetensors".into())
    }

    /// Loads [`weights_file`](Self::weights_file).
    ///
    /// # Errors
    /// If the weights were not fetched or cannot be read.
    pub fn locate(device: Device) -> Result<Self, WeightsError> {
        Self::open(&Self::weights_file()?, device)
    }

    /// The names of the classes in the order of the logits; empty if the file does not hold them.
    #[must_use]
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The logits `[n, 400]` of clips `[n, 3, t, 224, 224]` in [-1, 1], with t of at least 9.
    ///
    /// # Errors
    /// If the shape differs.
    pub fn logits(&self, clips: &Tensor) -> Result<Tensor, MetricError> {
        match clips.size()[..] {
            [_, 3, t, Self::SIDE, Self::SIDE] if t >= Self::MIN_FRAMES => {
                Ok(tch::no_grad(|| self.network.forward(clips)))
            }
            _ => Err(MetricError {
                metric: NET,
                expected: format!("clips [n, 3, t, 224, 224] with t of at least {}", Self::MIN_FRAMES),
                found: format!("{:?}", clips.size()),
            }),
        }
    }
}
