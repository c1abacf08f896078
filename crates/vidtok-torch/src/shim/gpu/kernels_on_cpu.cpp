// The kernels of the folder `kernels` as functions on the CPU, for tests: only they refer to this file.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>

#include <limits>

#include "../status.h"
#include "kernels/biased_sum.h"
#include "kernels/norm_silu.h"

namespace {

// Few, so that each has several turns.
constexpr int64_t kWarpsOfTests = 3;

const void* address(const at::Tensor& tensor) { return tensor.defined() ? tensor.const_data_ptr() : nullptr; }

template <int C, class T, class P>
void forward(const simt::NormSiluForward& call, int64_t clips) {
  for (int64_t clip = 0; clip < clips; ++clip) {
    for (int64_t warp = 0; warp < kWarpsOfTests; ++warp) {
      simt::norm_silu<C, T, P>(call, clip, warp, kWarpsOfTests);
    }
  }
}

template <int C, class T, class P>
void backward(const simt::NormSiluBackward& call) {
  for (int64_t warp = 0; warp < kWarpsOfTests; ++warp) {
    simt::norm_silu_backward<C, T, P>(call, 0, warp, kWarpsOfTests);
  }
}

template <int C, class T, class P>
void sum(const simt::BiasedSum& call) {
  for (int64_t warp = 0; warp < kWarpsOfTests; ++warp) {
    simt::biased_sum<C, T, P>(call, 0, warp, kWarpsOfTests);
  }
}

template <int C, class T, class P>
struct Instance {
  static constexpr int kChannels = C;
  using Value = T;
  using Parameter = P;
};

// Calls body(instance) with the instance for these channels and types.
template <class Body>
void with_instance(int64_t channels, at::ScalarType type, at::ScalarType parameter_type, const Body& body) {
  bool found = false;
  const auto of_types = [&](auto channels_of_instance) {
    constexpr int C = decltype(channels_of_instance)::value;
    if (channels != C) {
      return;
    }
    found = true;
    const bool wide = parameter_type == at::kFloat;
    switch (type) {
      case at::kFloat:
        return body(Instance<C, float, float>());
      case at::kBFloat16:
        return wide ? body(Instance<C, simt::Bfloat16, float>()) : body(Instance<C, simt::Bfloat16, simt::Bfloat16>());
      default:
        return wide ? body(Instance<C, simt::Float16, float>()) : body(Instance<C, simt::Float16, simt::Float16>());
    }
  };
  const auto of_channels = [&](auto... each) { (of_types(each), ...); };
  of_channels(std::integral_constant<int, 8>(), std::integral_constant<int, 48>(), std::integral_constant<int, 64>(),
              std::integral_constant<int, 128>(), std::integral_constant<int, 192>(), std::integral_constant<int, 256>(),
              std::integral_constant<int, 512>());
  TORCH_CHECK(found, "no instance for ", channels, " channels");
}

}  // namespace

extern "C" {

// y [clips, frames + rows, c] of x [clips, rows, c], NaN where the kernel does not write. `input_bias` may be null.
char* vidtok_gpu_norm_silu_on_cpu(const at::Tensor* x, const at::Tensor* input_bias, const at::Tensor* weight,
                                  const at::Tensor* bias, double eps, int64_t ahead, at::Tensor** out) {
  return vidtok::guarded([&] {
    const at::Tensor shift = input_bias == nullptr ? at::Tensor() : *input_bias;
    const int64_t channels = weight->numel();
    const int64_t rows = x->size(1);
    at::Tensor y = at::full({x->size(0), ahead + rows, channels}, std::numeric_limits<double>::quiet_NaN(), x->options());
    const simt::NormSiluForward call{address(*x), address(shift), address(*weight), address(*bias),
                                     static_cast<char*>(y.data_ptr()) + ahead * channels * x->element_size(),
                                     rows, ahead + rows, static_cast<float>(eps)};
    with_instance(channels, x->scalar_type(), weight->scalar_type(), [&](auto instance) {
      using I = decltype(instance);
      forward<I::kChannels, typename I::Value, typename I::Parameter>(call, x->size(0));
    });
    *out = new at::Tensor(std::move(y));
  });
}

// The gradient of x [rows, c] in `out`, and those of weight, bias and input_bias [3, c] in `sums`.
char* vidtok_gpu_norm_silu_backward_on_cpu(const at::Tensor* x, const at::Tensor* grad_y, const at::Tensor* input_bias,
                                           const at::Tensor* weight, const at::Tensor* bias, double eps, at::Tensor** out,
                                           at::Tensor** sums) {
  return vidtok::guarded([&] {
    const at::Tensor shift = input_bias == nullptr ? at::Tensor() : *input_bias;
    const int64_t channels = weight->numel();
    at::Tensor grad_x = at::full(x->sizes(), std::numeric_limits<double>::quiet_NaN(), x->options());
    at::Tensor parts = at::full({kWarpsOfTests, 3, channels}, std::numeric_limits<double>::quiet_NaN(), at::kFloat);
    const simt::NormSiluBackward call{address(*x), address(*grad_y), address(shift), address(*weight), address(*bias),
                                      grad_x.data_ptr(), parts.mutable_data_ptr<float>(), x->size(0),
                                      static_cast<float>(eps)};
    with_instance(channels, x->scalar_type(), weight->scalar_type(), [&](auto instance) {
      using I = decltype(instance);
      backward<I::kChannels, typename I::Value, typename I::Parameter>(call);
    });
    *out = new at::Tensor(std::move(grad_x));
    *sums = new at::Tensor(parts.sum(0));
  });
}

// x [rows, c] + bias + residual.
char* vidtok_gpu_biased_sum_on_cpu(const at::Tensor* x, const at::Tensor* bias, const at::Tensor* residual,
                                   at::Tensor** out) {
  return vidtok::guarded([&] {
    at::Tensor y = at::full(x->sizes(), std::numeric_limits<double>::quiet_NaN(), x->options());
    const simt::BiasedSum call{address(*x), address(*bias), address(*residual), y.data_ptr(), x->size(0)};
    with_instance(x->size(1), x->scalar_type(), bias->scalar_type(), [&](auto instance) {
      using I = decltype(instance);
      sum<I::kChannels, typename I::Value, typename I::Parameter>(call);
    });
    *out = new at::Tensor(std::move(y));
  });
}
}
