// Tensors whose memory the kernels can read directly.
#pragma once

#include <ATen/core/Tensor.h>

namespace vidtok {

// Whether a tensor is of this type, by default float32, in CPU memory that holds its values: not sparse or opaque, and
// neither a negated view nor a zero tensor, whose values libtorch computes on reading.
inline bool is_plain(const at::Tensor& tensor, at::ScalarType kind = at::kFloat) {
  return tensor.is_cpu() && tensor.scalar_type() == kind && tensor.layout() == at::kStrided &&
         !tensor.is_neg() && !tensor._is_zerotensor();
}

}  // namespace vidtok
