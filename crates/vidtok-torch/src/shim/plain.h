// Tensors whose memory kernels may read as it lies.
#pragma once

#include <ATen/core/Tensor.h>

namespace vidtok {

// Whether a tensor is float32 in memory of the CPU and its memory holds its numbers: it is neither sparse nor opaque, and
// not one that libtorch negates or fills with zeros only when it is read.
inline bool is_plain(const at::Tensor& tensor) {
  return tensor.is_cpu() && tensor.scalar_type() == at::kFloat && tensor.layout() == at::kStrided &&
         !tensor.is_neg() && !tensor._is_zerotensor();
}

}  // namespace vidtok
