// The preconditions of the convolution kernels. They index memory by the shapes of their operands, so operands that do
// not fit each other are errors here, with messages that name what was expected and what was found.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "winograd.h"

namespace vidtok {

// Checks x [n, in, ...] and weight [out, in, ...] over as many axes as `stride` has. `reach` is the number of
// neighbours that one output sees along each axis (the kernel's size, unless x is upsampled); they must fit into x with
// its context and padding. Returns the sizes of the output, [n, out, ...].
std::vector<int64_t> check_operands(const at::Tensor& x, const CausalContext& context, const at::Tensor& weight,
                                    at::IntArrayRef reach, at::IntArrayRef stride, at::IntArrayRef padding);

// Checks these operands and bias [out].
void check_convolution(const at::Tensor& x, const CausalContext& context, const at::Tensor& weight,
                       const at::Tensor& bias, at::IntArrayRef reach, at::IntArrayRef stride, at::IntArrayRef padding);

}  // namespace vidtok
