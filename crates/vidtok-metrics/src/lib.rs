//! Reconstruction metrics for video, each a streaming type behind [`vidtok_core::Metric`], and the perceptual distance
//! LPIPS as a differentiable function.
//!
//! ```
//! use tch::{Device, Kind, Tensor};
//! use vidtok_metrics::{MetricKind, MetricNetworks, MetricSet};
//!
//! let set = MetricSet::new(&[MetricKind::Psnr, MetricKind::Ssim], MetricNetworks::default());
//! let black = Tensor::zeros([1, 3, 2, 16, 16], (Kind::Float, Device::Cpu));
//! let mut metrics = set.start();
//! metrics.update(&black, &(&black + 0.1))?;
//! assert!((metrics.value(MetricKind::Psnr).unwrap() - 20.0).abs() < 1e-3);
//! # Ok::<(), vidtok_core::MetricError>(())
//! ```
//!
//! To add a metric with a value for each frame, implement [`FrameMetric`]; [`FrameMean`] makes a streaming metric of it:
//!
//! ```
//! use tch::{Device, Kind, Tensor};
//! use vidtok_core::{Metric, MetricError};
//! use vidtok_metrics::{FrameMean, FrameMetric};
//!
//! #[derive(Debug)]
//! struct LargestError;
//!
//! impl FrameMetric for LargestError {
//!     fn name(&self) -> &'static str {
//!         "largest_error"
//!     }
//!
//!     fn frames(&self, target: &Tensor, reconstruction: &Tensor) -> Result<Tensor, MetricError> {
//!         Ok((target - reconstruction).abs().amax([1_i64, 3, 4].as_slice(), false)) // [b, t]
//!     }
//! }
//!
//! let mut metric = FrameMean::new(LargestError);
//! let black = Tensor::zeros([1, 3, 2, 16, 16], (Kind::Double, Device::Cpu));
//! metric.update(&black, &(&black + 0.25))?;
//! assert_eq!(metric.value(), Some(0.25));
//! # Ok::<(), MetricError>(())
//! ```
//!
//! LPIPS needs weights, which `cargo xtask assets` fetches:
//!
//! ```no_run
//! use tch::{Device, Kind, Tensor, no_grad};
//! use vidtok_metrics::{Lpips, LpipsNet};
//!
//! let lpips = Lpips::locate(LpipsNet::Vgg, Device::Cpu)?;
//! let image = || Tensor::rand([4, 3, 64, 64], (Kind::Float, Device::Cpu)) * 2.0 - 1.0; // in [-1, 1]
//! let (target, reconstruction) = (image(), image().set_requires_grad(true));
//! let target = no_grad(|| lpips.features(&target))?;
//! let distance = lpips.distance(&target, &lpips.features(&reconstruction)?); // [4]
//! distance.mean(Kind::Float).backward();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod codebook;
mod frame;
mod fvd;
mod lpips;
mod seam;
mod set;
mod weights;

pub use codebook::CodebookUse;
pub use frame::flicker::Flicker;
pub use frame::ms_ssim::MsSsim;
pub use frame::psnr::Psnr;
pub use frame::ssim::Ssim;
pub use frame::{FrameMean, FrameMetric};
pub use fvd::Fvd;
pub use fvd::frechet::{Gaussian, frechet_distance};
pub use fvd::i3d::I3d;
pub use lpips::metric::LpipsMetric;
pub use lpips::network::LpipsNet;
pub use lpips::{Features, Lpips};
pub use seam::Seam;
pub use set::kind::{MetricKind, UnknownMetric};
pub use set::{MetricNetworks, MetricResults, MetricSet, RunningMetrics};
pub use weights::WeightsError;
