// One operation on each of many tensors: on GPUs in a few launches, where a launch a tensor would take longer than the work.
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_foreach_zero.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>

#include <vector>

#include "status.h"

namespace {

std::vector<at::Tensor> list(at::Tensor* const* tensors, size_t count) {
  std::vector<at::Tensor> all;
  all.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    TORCH_CHECK(tensors[i]->defined(), "tensor ", i, " of ", count, " is undefined");
    all.push_back(*tensors[i]);
  }
  return all;
}

// The fused step reads all tensors of a parameter in the order of its memory.
void match_layout(at::Tensor& tensor, const at::Tensor& parameter) {
  TORCH_CHECK(tensor.sizes() == parameter.sizes() && tensor.scalar_type() == parameter.scalar_type() &&
                  tensor.device() == parameter.device(),
              "a gradient or moment does not fit its parameter");
  if (tensor.strides() != parameter.strides()) {
    tensor = at::empty_like(parameter).copy_(tensor);
  }
}

}  // namespace

extern "C" {

// Moves each of `tensors` towards that of `ends` by this share of the way.
char* vidtok_lerp_many(at::Tensor* const* tensors, at::Tensor* const* ends, size_t count, double share) {
  return vidtok::guarded([&] {
    const at::NoGradGuard no_gradients;
    if (count > 0) {
      at::_foreach_lerp_(list(tensors, count), list(ends, count), share);
    }
  });
}

char* vidtok_scale_many(at::Tensor* const* tensors, size_t count, double factor) {
  return vidtok::guarded([&] {
    const at::NoGradGuard no_gradients;
    if (count > 0) {
      at::_foreach_mul_(list(tensors, count), factor);
    }
  });
}

char* vidtok_zero_many(at::Tensor* const* tensors, size_t count) {
  return vidtok::guarded([&] {
    const at::NoGradGuard no_gradients;
    if (count > 0) {
      at::_foreach_zero_(list(tensors, count));
    }
  });
}

// The Euclidean norm of all elements.
char* vidtok_norm_of_many(at::Tensor* const* tensors, size_t count, double* norm) {
  return vidtok::guarded([&] {
    const at::NoGradGuard no_gradients;
    *norm = at::linalg_vector_norm(at::stack(at::_foreach_norm(list(tensors, count)))).item<double>();
  });
}

// The `step`-th step of AdamW.
char* vidtok_adamw_many(at::Tensor* const* parameters, at::Tensor* const* gradients, at::Tensor* const* means,
                        at::Tensor* const* mean_squares, size_t count, double step, double lr, double beta1, double beta2,
                        double weight_decay, double eps) {
  return vidtok::guarded([&] {
    const at::NoGradGuard no_gradients;
    const std::vector<at::Tensor> updated = list(parameters, count);
    std::vector<at::Tensor> of_gradients = list(gradients, count);
    const std::vector<at::Tensor> of_means = list(means, count);
    const std::vector<at::Tensor> of_squares = list(mean_squares, count);
    for (size_t i = 0; i < count; ++i) {
      TORCH_CHECK(updated[i].is_non_overlapping_and_dense() && of_means[i].strides() == updated[i].strides() &&
                      of_squares[i].strides() == updated[i].strides(),
                  "a parameter and its moments must be dense and in the same order");
      match_layout(of_gradients[i], updated[i]);
    }
    if (count > 0) {
      const std::vector<at::Tensor> steps(count, at::full({}, step, updated[0].options().dtype(at::kFloat)));
      at::_fused_adamw_(updated, of_gradients, of_means, of_squares, {}, steps, lr, beta1, beta2, weight_decay, eps,
                        /*amsgrad=*/false, /*maximize=*/false);
    }
  });
}
}
