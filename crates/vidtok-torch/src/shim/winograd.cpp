#include "winograd.h"

#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

#include "plain.h"

namespace vidtok {

namespace {

at::MemoryFormat channels_last(int64_t dimensions) {
  return dimensions == 5 ? at::MemoryFormat::ChannelsLast3d : at::MemoryFormat::ChannelsLast;
}

// Whether the kernels can read the operands where they are.
bool is_readable(const at::Tensor& x, const at::Tensor& weight) {
  const int64_t dimensions = x.dim();
  return is_plain(x) && is_plain(weight) && (dimensions == 4 || dimensions == 5) && weight.dim() == dimensions &&
         x.is_contiguous(channels_last(dimensions)) && !at::autocast::is_autocast_enabled(at::kCPU);
}

// The values of two or three axes as those of time, rows and columns. An image is a clip of one frame.
WinogradShape::Axes axes(at::IntArrayRef values, int64_t time) {
  WinogradShape::Axes all{time, 1, 1};
  std::copy(values.begin(), values.end(), all.end() - values.size());
  return all;
}

// The taps of `weight`, or with flipped axes and swapped channels those of the transposed convolution.
WinogradTaps taps(const at::Tensor& weight, bool is_transposed) {
  WinogradTaps taps{weight.const_data_ptr<float>(), weight.stride(0), weight.stride(1),
                    axes(weight.strides().slice(2), 0)};
  if (is_transposed) {
    std::swap(taps.out, taps.in);
    for (int64_t axis = 2; axis < weight.dim(); ++axis) {
      taps.first += (weight.size(axis) - 1) * weight.stride(axis);
    }
    for (int64_t& step : taps.kernel) {
      step = -step;
    }
  }
  return taps;
}

Convolved convolve(const WinogradShape& shape, const Norm* norm, const WinogradInput& x, const WinogradTaps& taps,
                   const at::Tensor& bias, at::IntArrayRef sizes) {
  const WinogradPlan plan = winograd_plan(shape, at::get_num_threads());
  at::Tensor y = at::empty(sizes, bias.options(), channels_last(sizes.size()));
  const at::Tensor transformed = at::empty({plan.weights}, bias.options());
  const float* added = bias.const_data_ptr<float>();
  float* weights = transformed.mutable_data_ptr<float>();
  float* to = y.mutable_data_ptr<float>();
  at::parallel_for(0, plan.panels, 1, [&](int64_t begin, int64_t end) {
    winograd_weights(shape, taps, begin, end, weights);
  });
  // Each thread takes the next block when it is free. With a fixed half each, one would wait for the slower core.
  std::atomic<int64_t> next{0};
  at::parallel_for(0, std::min<int64_t>(at::get_num_threads(), plan.blocks), 1, [&](int64_t, int64_t) {
    const at::Tensor scratch = at::empty({plan.scratch}, at::TensorOptions(at::kFloat));
    for (int64_t block = next++; block < plan.blocks; block = next++) {
      winograd_block(shape, plan, norm, x, weights, added, block, scratch.mutable_data_ptr<float>(), to);
    }
  });
  return {y, plan.multiply_adds};
}

}  // namespace

std::optional<Convolved> winograd(const at::Tensor& x, const CausalContext& context, const at::Tensor& weight,
                                  const at::Tensor& bias, at::IntArrayRef stride, at::IntArrayRef padding,
                                  Upsampled upsampled, const Norm* norm) {
  const size_t count = stride.size();
  if (!is_readable(x, weight) || !is_plain(bias) || !bias.is_contiguous() || x.size(1) != weight.size(1) ||
      stride[count - 1] != 1 || stride[count - 2] != 1) {
    return std::nullopt;
  }
  const int64_t before = context.frames == nullptr ? 0 : context.frames->size(2);
  if (before > 0 && !is_readable(*context.frames, weight)) {
    return std::nullopt;
  }
  WinogradShape shape{x.size(0),
                      x.size(1),
                      weight.size(0),
                      axes(x.sizes().slice(2), 1),
                      /*output=*/{},
                      axes(weight.sizes().slice(2), 1),
                      axes(padding, 0),
                      count == 3 ? stride[0] : 1,
                      upsampled,
                      /*normed=*/norm != nullptr,
                      before};
  const WinogradShape::Axes strides = axes(stride, 1);
  const size_t leading = 3 - count;
  shape.input[leading] += before;
  for (size_t axis = 0; axis < 3; ++axis) {
    const int64_t zeros = 2 * shape.padding[axis] + (axis == leading ? context.zeros : 0);
    const int64_t room = shape.input[axis] + zeros;
    shape.output[axis] = (room - shape.kernel[axis]) / strides[axis] + 1;
    if (upsampled == Upsampled::kPixels && axis > 0) {
      shape.output[axis] = 2 * (room - 2);  // the kernel reaches one neighbour on each side
    } else if (upsampled == Upsampled::kFrames && axis == 0) {
      shape.output[axis] = 2 * (room - 1);
    } else if (upsampled == Upsampled::kCenteredFrames && axis == 0) {
      shape.output[axis] = 2 * (room - 2);
    }
  }
  shape.padding[leading] += context.zeros;
  if (!winograd_wins(shape)) {
    return std::nullopt;
  }
  std::vector<int64_t> sizes{shape.clips, shape.out};
  sizes.insert(sizes.end(), shape.output.end() - count, shape.output.end());
  const float* frames = before > 0 ? context.frames->const_data_ptr<float>() : nullptr;
  return convolve(shape, norm, {frames, x.const_data_ptr<float>()}, taps(weight, /*is_transposed=*/false), bias, sizes);
}

std::optional<at::Tensor> winograd_input_gradient(const at::Tensor& grad_y, const at::Tensor& weight,
                                                  at::IntArrayRef sizes, at::IntArrayRef stride,
                                                  at::IntArrayRef padding) {
  if (!is_readable(grad_y, weight) || std::any_of(stride.begin(), stride.end(), [](int64_t step) { return step != 1; })) {
    return std::nullopt;
  }
  WinogradShape shape{grad_y.size(0),
                      weight.size(0),
                      weight.size(1),
                      axes(grad_y.sizes().slice(2), 1),
                      axes(sizes.slice(2), 1),
                      axes(weight.sizes().slice(2), 1),
                      axes(padding, 0),
                      /*time_stride=*/1,
                      Upsampled::kNone,
                      /*normed=*/false,
                      /*context=*/0};
  for (size_t axis = 0; axis < 3; ++axis) {
    shape.padding[axis] = shape.kernel[axis] - 1 - shape.padding[axis];
  }
  if (!winograd_wins(shape)) {
    return std::nullopt;
  }
  const at::Tensor no_bias = at::zeros({shape.out}, grad_y.options());
  const WinogradInput input{nullptr, grad_y.const_data_ptr<float>()};
  return convolve(shape, /*norm=*/nullptr, input, taps(weight, /*is_transposed=*/true), no_bias, sizes).y;
}

}  // namespace vidtok
