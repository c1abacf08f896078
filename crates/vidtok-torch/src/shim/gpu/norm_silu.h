// Layer normalisation and SiLU by our kernels for GPUs (kernels/norm_silu.h). The results are empty where those do not
// run: on other devices, for channels that are not a multiple of 8 or more than 1024, and without NVRTC.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <optional>

namespace vidtok::gpu {

// silu(norm(x + input_bias) * weight + bias) over the last axis. `input_bias` may be undefined. `frames` leaves room for as
// many frames before the first of a clip x [b, t, h, w, c].
std::optional<at::Tensor> norm_silu(const at::Tensor& x, const at::Tensor& input_bias, const at::Tensor& weight,
                                    const at::Tensor& bias, double eps, int64_t frames);

// The gradients of x, weight, bias and input_bias.
std::optional<std::array<at::Tensor, 4>> norm_silu_backward(const at::Tensor& x, const at::Tensor& input_bias,
                                                            const at::Tensor& weight, const at::Tensor& bias, double eps,
                                                            const at::Tensor& grad_y);

}  // namespace vidtok::gpu
