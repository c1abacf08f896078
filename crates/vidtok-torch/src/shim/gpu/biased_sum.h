// The sum at the end of a residual block, in one pass over memory (kernels/biased_sum.h).
#pragma once

#include <ATen/core/Tensor.h>

namespace vidtok::gpu {

// x += bias + residual for contiguous x [..., c]. False, with x as it was, where the kernel does not run.
bool add_biased(const at::Tensor& x, const at::Tensor& bias, const at::Tensor& residual);

}  // namespace vidtok::gpu
