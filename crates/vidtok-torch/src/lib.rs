//! The parts of a deep-learning framework that tch lacks: named parameters with PyTorch's initialisers, layers for
//! channels-last activations, autocast, gradient checkpointing, distributed training, and tensor files.
//!
//! Activations inside the networks are contiguous `[b, t, h, w, c]`. libtorch's convolutions get permuted views of them
//! with channels-last strides and return the same layout, so no layer copies memory to change it. On CPUs with AVX2,
//! Winograd kernels of our own take over where they are faster than libtorch.
//!
//! This is the only crate with `unsafe` code and C++.
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

mod autograd;
mod distributed;
mod nn;
mod runtime;
mod shim;
#[cfg(test)]
mod soundness;
mod tensor_file;

pub use autograd::autocast::autocast;
pub use autograd::recompute::recompute;
pub use autograd::with_gradient::with_gradient;
pub use distributed::openmp::openmp_runtimes;
pub use distributed::process_group::{C10dProcessGroup, GradientReducer, ProcessGroupError};
pub use nn::attention::attention;
pub use nn::causal_context::CausalContext;
pub use nn::conv::{Conv1d, Conv2d, Conv3d, ConvInit, Pointwise, RowEdges, SpatialConvConfig, TemporalConvConfig};
pub use nn::conv_call::winograd_workspace;
pub use nn::init::Init;
pub use nn::layout::{add, add_biased, from_channels_last, to_channels_last};
pub use nn::norm::LayerNorm;
pub use nn::parameter::Parameter;
pub use nn::params::{ParamPath, ParameterError, Parameters};
pub use nn::unit_distance::unit_distance;
pub use runtime::cuda::{
    CudaError, compile_gpu_kernels, cuda_devices, synchronize, use_cuda, use_deterministic, use_tf32, uses_tf32,
    with_ieee_float32,
};
pub use runtime::flops::flops_executed;
pub use runtime::generator::with_seed;
pub use runtime::gpu_kernels::GpuKernelReport;
pub use runtime::many::{AdamStep, adam_many, lerp_many, norm_of_many, scale_many, zero_many};
pub use runtime::memory::{free_device_memory, peak_memory, reset_peak_memory, reuse_freed_memory};
pub use runtime::panic_message::panic_message;
pub use tensor_file::{TensorFile, TensorFileError, write_tensors};
