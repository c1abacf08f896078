#include "norm_silu.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <vector>

#include "kernels/norm_silu.h"
#include "rows.h"

namespace vidtok::gpu {

namespace {

// Rows that a warp of the backward pass has at least, so that its sums stay few.
constexpr int64_t kRowsOfSum = 16;

}  // namespace

std::optional<at::Tensor> norm_silu(const at::Tensor& input, const at::Tensor& input_bias, const at::Tensor& weight,
                                    const at::Tensor& bias, double eps, int64_t frames) {
  if (!input.is_cuda()) {
    return std::nullopt;
  }
  const at::Tensor x = input.contiguous();
  const Kernel* kernel = find("norm_silu.h", "simt::NormSiluForward", "simt::norm_silu", x, {weight, bias, input_bias});
  if (kernel == nullptr) {
    return std::nullopt;
  }
  const int64_t channels = weight.numel();
  std::vector<int64_t> sizes = x.sizes().vec();
  const int64_t clips = frames == 0 ? 1 : sizes[0];
  const int64_t rows = x.numel() / channels / clips;
  int64_t before = 0;
  if (frames > 0) {
    before = frames * sizes[2] * sizes[3];
    sizes[1] += frames;
  }
  at::Tensor y = at::empty(sizes, x.options());
  const simt::NormSiluForward call{address(x), address(input_bias), address(weight), address(bias),
                                   static_cast<char*>(y.data_ptr()) + before * channels * x.element_size(),
                                   rows, before + rows, static_cast<float>(eps)};
  kernel->launch(blocks(rows, simt::rows_of_warp(channels), std::max<int64_t>(1, kMostBlocks / clips)), clips, &call);
  return y;
}

std::optional<std::array<at::Tensor, 4>> norm_silu_backward(const at::Tensor& input, const at::Tensor& input_bias,
                                                            const at::Tensor& weight, const at::Tensor& bias, double eps,
                                                            const at::Tensor& grad_output) {
  if (!input.is_cuda() || grad_output.scalar_type() != input.scalar_type()) {
    return std::nullopt;
  }
  const at::Tensor x = input.contiguous();
  const at::Tensor grad_y = grad_output.contiguous();
  const Kernel* kernel =
      find("norm_silu.h", "simt::NormSiluBackward", "simt::norm_silu_backward", x, {weight, bias, input_bias});
  if (kernel == nullptr || !is_readable(grad_y)) {
    return std::nullopt;
  }
  const int64_t channels = weight.numel();
  const int64_t rows = x.numel() / channels;
  const int64_t count = blocks(rows, std::max(kRowsOfSum, simt::rows_of_warp(channels)), kMostBlocks / kWarps);
  at::Tensor grad_x = at::empty_like(x);
  at::Tensor sums = at::empty({count * kWarps, 3, channels}, x.options().dtype(at::kFloat));
  const simt::NormSiluBackward call{address(x), address(grad_y), address(input_bias), address(weight), address(bias),
                                    grad_x.data_ptr(), sums.mutable_data_ptr<float>(), rows, static_cast<float>(eps)};
  kernel->launch(count, 1, &call);
  const at::Tensor total = sums.sum(0).to(weight.scalar_type());
  return std::array<at::Tensor, 4>{grad_x, total[0], total[1], input_bias.defined() ? total[2] : at::Tensor()};
}

}  // namespace vidtok::gpu
