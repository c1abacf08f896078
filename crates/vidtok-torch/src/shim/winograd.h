// Convolutions with fewer multiplications, where the kernel is quicker than libtorch's; numbers differ by rounding.
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

// What stands in front of the first frame (of the first row, over two axes): zeros, or frames that are kept elsewhere,
// [n, in, ...].
struct CausalContext {
  int64_t zeros = 0;
  const at::Tensor* frames = nullptr;
};

// x [n, in, ...] in channels-last memory, after its context, convolved with `weight` [out, in, ...] over two or three
// axes, plus `bias`, with steps and zeros as libtorch's convolution has them; nothing where that is to be called. Without
// gradients. With a norm, silu(norm(x)) is convolved. Its operands have passed `check_convolution`.
std::optional<Convolved> winograd(const at::Tensor& x, const CausalContext& context, const at::Tensor& weight,
                                  const at::Tensor& bias, at::IntArrayRef stride, at::IntArrayRef padding,
                                  Upsampled upsampled, const Norm* norm = nullptr);

// The gradient to x, of `sizes`, from that to the output of such a convolution.
std::optional<at::Tensor> winograd_to_input(const at::Tensor& to_y, const at::Tensor& weight, at::IntArrayRef sizes,
                                            at::IntArrayRef stride, at::IntArrayRef padding);

}  // namespace vidtok
