//! Reconstruction losses for video tokenizers, each a type behind [`vidtok_core::Loss`].
//!
//! ```
//! use tch::Tensor;
//! use vidtok_core::Loss;
//! use vidtok_loss::L1;
//!
//! let (target, reconstruction) = (Tensor::from_slice(&[0.0_f32, 1.0]), Tensor::from_slice(&[0.5_f32, 1.0]));
//! assert_eq!(L1.forward(&target, &reconstruction).double_value(&[]), 0.25);
//! ```

mod l1;

pub use l1::L1;
