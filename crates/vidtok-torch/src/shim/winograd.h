// Convolutions by the Winograd kernels, where they are faster than libtorch's. Results differ by rounding only.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "kernels/winograd.h"

namespace vidtok {

struct Convolved {
  at::Tensor y;
  // Multiply-accumulates of the matrix products.
  int64_t multiply_adds;
};

// What precedes the first frame (the first row, over two axes): this many frames of zeros, or a tensor [n, in, ...].
struct CausalContext {
  int64_t zeros = 0;
  const at::Tensor* frames = nullptr;
};

// Convolves x [n, in, ...] in channels-last memory, after its causal context, with `weight` [out, in, ...] over two or
// three axes and adds `bias`. With a norm, convolves silu(norm(x)). Stride and padding are those of libtorch's
// convolution. Returns nothing where libtorch's convolution is the better choice. No gradients. The operands have
// passed `check_convolution`.
std::optional<Convolved> winograd(const at::Tensor& x, const CausalContext& context, const at::Tensor& weight,
                                  const at::Tensor& bias, at::IntArrayRef stride, at::IntArrayRef padding,
                                  Upsampled upsampled, const Norm* norm = nullptr);

// The gradient of x, which has these sizes, from the gradient of such a convolution's output.
std::optional<at::Tensor> winograd_input_gradient(const at::Tensor& grad_y, const at::Tensor& weight, at::IntArrayRef sizes,
                                                  at::IntArrayRef stride, at::IntArrayRef padding);

}  // namespace vidtok
