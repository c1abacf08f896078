//! Latent quantizers: the KL-regularised Gaussian ([`Kl`]) and finite scalar quantization ([`Fsq`]), both after VidTok
//! (arXiv 2412.13061).
//!
//! ```
//! use tch::{Device, Kind, Tensor};
//! use vidtok_quant::{Fsq, FsqConfig, Quantizer};
//!
//! let fsq = Fsq::new(&FsqConfig::new([8, 8, 8, 8]))?;
//! let encoded = Tensor::randn([1, 4, 5, 4, 4], (Kind::Float, Device::Cpu));
//! let quantized = fsq.quantize(&encoded, None);
//! let indices = quantized.indices.unwrap(); // [1, 5, 4, 4], each below 4096
//! assert!(fsq.indices_to_codes(&indices).unwrap().allclose(&quantized.latent, 1e-6, 1e-6, false));
//! # Ok::<(), vidtok_quant::QuantizerError>(())
//! ```

mod config;
mod entropy;
mod error;
mod fsq;
mod kl;

pub use config::{CustomConfig, QuantizerConfig};
pub use error::QuantizerError;
pub use fsq::{Fsq, FsqConfig};
pub use kl::{Kl, KlConfig};
pub use vidtok_core::{Quantized, Quantizer, Regularized};
