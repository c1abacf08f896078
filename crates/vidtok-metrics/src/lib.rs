//! Reconstruction metrics for video, each a streaming type behind [`vidtok_core::Metric`], and the perceptual distance
//! LPIPS as a differentiable function.
//!
//! ```
//! use tch::{Device, Kind, Tensor};
//! use vidtok_core::Metric;
//! use vidtok_metrics::{Psnr, Ssim};
//!
//! let black = Tensor::zeros([1, 3, 2, 16, 16], (Kind::Float, Device::Cpu));
//! let mut metrics: [Box<dyn Metric>; 2] = [Box::new(Psnr::default()), Box::new(Ssim::default())];
//! for metric in &mut metrics {
//!     metric.update(&black, &(&black + 0.1))?;
//! }
//! assert!((metrics[0].value().unwrap() - 20.0).abs() < 1e-3);
//! # Ok::<(), vidtok_core::MetricError>(())
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
mod flicker;
mod frames;
mod fvd;
mod lpips;
mod mean;
mod ms_ssim;
mod psnr;
mod seam;
mod ssim;
mod weights;

pub use codebook::CodebookUse;
pub use flicker::Flicker;
pub use fvd::Fvd;
pub use fvd::frechet::{Gaussian, frechet_distance};
pub use fvd::i3d::I3d;
pub use lpips::metric::LpipsMetric;
pub use lpips::network::LpipsNet;
pub use lpips::{Features, Lpips};
pub use ms_ssim::MsSsim;
pub use psnr::Psnr;
pub use seam::Seam;
pub use ssim::Ssim;
pub use weights::WeightsError;
