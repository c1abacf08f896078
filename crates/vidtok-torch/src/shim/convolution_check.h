// What the kernels of convolutions rely on. They index memory by the shapes of their operands, so that operands which do
// not belong together are errors here, in messages that name what was expected and what was found.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "winograd.h"

namespace vidtok {

// Checks x [n, in, ...] and weight [out, in, ...] over as many axes as there are strides, and that along each axis `reach`
// neighbours of the input (of the kernel's own size where nothing is upsampled), which meet one output, fit into x, its
// context and its zeros. Returns the sizes of a convolution's output, [n, out, ...].
std::vector<int64_t> check_operands(const at::Tensor& x, const CausalContext& context, const at::Tensor& weight,
                                    at::IntArrayRef reach, at::IntArrayRef stride, at::IntArrayRef padding);

// Checks these and bias [out].
void check_convolution(const at::Tensor& x, const CausalContext& context, const at::Tensor& weight, const at::Tensor& bias,
                       at::IntArrayRef reach, at::IntArrayRef stride, at::IntArrayRef padding);

}  // namespace vidtok
