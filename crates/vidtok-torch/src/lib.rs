//! What tch lacks: named parameters with PyTorch's initialisers, layers for channels-last activations, mixed precision,
//! gradient checkpointing, tensor files.
//!
//! Activations inside the networks are contiguous `[b, t, h, w, c]`. libtorch's convolutions get permuted views of
//! them, see channels-last strides, and answer in the same layout, so that no layer copies memory to change it.
//!
//! ```
//! use tch::{Device, Kind, Tensor};
//! use vidtok_torch::{Conv2d, ConvInit, ParamPath};
//!
//! let root = ParamPath::fresh(Device::Cpu);
//! let conv = Conv2d::new(&root.sub("conv"), 3, 8, Conv2d::SAME, ConvInit::Default);
//! let parameters = root.finish()?;
//! assert_eq!(parameters.names().collect::<Vec<_>>(), ["conv.bias", "conv.weight"]);
//!
//! let frames = Tensor::zeros([1, 5, 16, 16, 3], (Kind::Float, Device::Cpu));
//! assert_eq!(conv.forward(&frames).size(), [1, 5, 16, 16, 8]);
//! # Ok::<(), vidtok_torch::ParameterError>(())
//! ```

mod attention;
mod autocast;
mod conv;
mod convolution;
mod doubled;
mod flops;
mod init;
mod layout;
mod memory;
mod norm;
mod openmp;
mod panic_message;
mod parameter;
mod params;
mod past;
mod process_group;
mod recompute;
mod shim;
#[cfg(test)]
mod soundness;
mod tensor_file;
mod with_gradient;

pub use attention::attention;
pub use autocast::autocast;
pub use conv::{Conv1d, Conv2d, Conv3d, ConvInit, Pointwise, RowEdges, SpatialGeometry, TemporalGeometry};
pub use flops::flops_executed;
pub use init::Init;
pub use layout::{add, from_channels_last, to_channels_last};
pub use memory::{free_device_memory, reuse_freed_memory};
pub use norm::LayerNorm;
pub use openmp::openmp_runtimes;
pub use panic_message::panic_message;
pub use parameter::Parameter;
pub use params::{ParamPath, ParameterError, Parameters};
pub use past::Past;
pub use process_group::{GradientReducer, ProcessGroup, ProcessGroupError};
pub use recompute::recompute;
pub use tensor_file::{TensorFile, TensorFileError, write_tensors};
pub use with_gradient::with_gradient;
