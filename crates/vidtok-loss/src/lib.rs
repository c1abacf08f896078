//! Training losses for video tokenizers, each usable alone: reconstruction losses behind [`vidtok_core::Loss`], and a GAN
//! loss.
//!
//! ```
//! use tch::Tensor;
//! use vidtok_core::Loss;
//! use vidtok_loss::L1;
//!
//! let (target, reconstruction) = (Tensor::from_slice(&[0.0_f32, 1.0]), Tensor::from_slice(&[0.5_f32, 1.0]));
//! assert_eq!(L1.forward(&target, &reconstruction)?.double_value(&[]), 0.25);
//! # Ok::<(), vidtok_core::MetricError>(())
//! ```
//!
//! [`ReconstructionLoss`] combines any of them, your own included. A discriminator with its losses:
//!
//! ```
//! use tch::{Device, Kind, Tensor};
//! use vidtok_core::SingleProcess;
//! use vidtok_loss::{GanConfig, GanLoss};
//! use vidtok_torch::ParamPath;
//!
//! let root = ParamPath::fresh(Device::Cpu);
//! let mut gan = GanLoss::new(&root.sub("loss"), &GanConfig::default());
//! let parameters = root.finish()?; // loss.discriminator.main.0.weight, ...
//! parameters.set_requires_grad("", true);
//!
//! let clips = Tensor::zeros([1, 3, 5, 32, 32], (Kind::Float, Device::Cpu));
//! let terms = gan.discriminate(&clips, &(&clips + 0.1), &SingleProcess);
//! terms.loss.backward();
//! # Ok::<(), vidtok_torch::ParameterError>(())
//! ```

mod adversarial;
mod batch_norm;
mod gan;
mod l1;
mod lecam;
mod mse;
mod patch_gan;
mod perceptual;
mod reconstruction;

pub use adversarial::{DiscriminatorLoss, GeneratorLoss};
pub use gan::{DiscriminatorTerms, GanConfig, GanLoss, GanStatistics};
pub use l1::L1;
pub use lecam::LeCam;
pub use mse::Mse;
pub use patch_gan::{PatchGan, PatchKind};
pub use perceptual::{Perceptual, PerceptualConfig};
pub use reconstruction::{ReconstructionLoss, ReconstructionTerms};
