// Operations of our own over the rows of tensors in float32 or bfloat16, which kernels compute in float32.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <algorithm>
#include <vector>

#include "kernels/bfloat16.h"

namespace vidtok {

// Our operations record their gradients themselves and choose their types, so both are off inside them.
struct PlainScope {
  at::NoGradGuard no_gradients;
  c10::impl::ExcludeDispatchKeyGuard no_autocast{c10::autocast_dispatch_keyset};
};

// Rows of a part. Independent of the number of threads, so that sums over parts are too.
inline int64_t rows_of_part(int64_t channels) { return std::max<int64_t>(1, (1 << 14) / channels); }

// Calls body(part, first row, rows) for each part of `at_once` rows, in parallel.
template <typename Body>
void for_parts(int64_t rows, int64_t at_once, const Body& body) {
  at::parallel_for(0, (rows + at_once - 1) / at_once, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      const int64_t first = part * at_once;
      body(part, first, std::min(at_once, rows - first));
    }
  });
}

// Some values of a contiguous tensor in float32 or bfloat16, as float32: in place, or in a copy.
class Values {
 public:
  static Values read(const at::Tensor& tensor, int64_t first, int64_t count) {
    Values values(tensor, first, count);
    if (values.narrow_ != nullptr) {
      widen(values.narrow_, count, values.wide_);
    }
    return values;
  }

  // The values are still to be computed. The tensor has them after `finish`.
  static Values write(const at::Tensor& tensor, int64_t first, int64_t count) { return {tensor, first, count}; }

  float* get() const { return wide_; }

  void finish() const {
    if (narrow_ != nullptr) {
      narrow(wide_, static_cast<int64_t>(copy_.size()), narrow_);
    }
  }

 private:
  Values(const at::Tensor& tensor, int64_t first, int64_t count) {
    if (tensor.scalar_type() == at::kFloat) {
      wide_ = static_cast<float*>(tensor.data_ptr()) + first;
    } else {
      narrow_ = static_cast<uint16_t*>(tensor.data_ptr()) + first;
      copy_.resize(count);
      wide_ = copy_.data();
    }
  }

  std::vector<float> copy_;
  float* wide_ = nullptr;
  uint16_t* narrow_ = nullptr;
};

}  // namespace vidtok
