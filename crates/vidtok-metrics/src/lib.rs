//! Reconstruction metrics for video, each a streaming type behind [`vidtok_core::Metric`].
//!
//! ```
//! use tch::{Device, Kind, Tensor};
//! use vidtok_core::Metric;
//! use vidtok_metrics::Psnr;
//!
//! let black = Tensor::zeros([1, 3, 2, 8, 8], (Kind::Float, Device::Cpu));
//! let mut psnr = Psnr::default();
//! psnr.update(&black, &(&black + 0.1));
//! assert!((psnr.value().unwrap() - 20.0).abs() < 1e-3);
//! ```

mod psnr;

pub use psnr::Psnr;
