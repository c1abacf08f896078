#include "winograd.h"

#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace vidtok {

namespace {

at::MemoryFormat channels_last(int64_t dimensions) {
  return dimensions == 5 ? at::MemoryFormat::ChannelsLast3d : at::MemoryFormat::ChannelsLast;
}

bool is_plain(const at::Tensor& tensor) { return tensor.is_cpu() && tensor.scalar_type() == at::kFloat; }

bool is_usual(const at::Tensor& x, const at::Tensor& weight) {
  const int64_t dimensions = x.dim();
  return is_plain(x) && is_plain(weight) && (dimensions == 4 || dimensions == 5) && weight.dim() == dimensions &&
         x.is_contiguous(channels_last(dimensions)) && !at::autocast::is_autocast_enabled(at::kCPU);
}

// A picture is a clip of one frame: what a shape says of its axes, at the place of rows and columns.
WinogradShape::Axes axes(at::IntArrayRef values, int64_t of_time) {
  WinogradShape::Axes all{of_time, 1, 1};
  std::copy(values.begin(), values.end(), all.end() - values.size());
  return all;
}

// The place of each tap in `weight`, from the first on or from the last backwards.
WinogradTaps taps(const at::Tensor& weight, bool backwards) {
  WinogradTaps taps{weight.const_data_ptr<float>(), weight.stride(0), weight.stride(1),
                    axes(weight.strides().slice(2), 0)};
  if (backwards) {
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

Convolved convolve(const WinogradShape& shape, const Norm* norm, const at::Tensor& x, const WinogradTaps& taps,
                   const at::Tensor& bias, at::IntArrayRef sizes) {
  const WinogradPlan plan = winograd_plan(shape, at::get_num_threads());
  at::Tensor y = at::empty(sizes, x.options(), channels_last(x.dim()));
  const at::Tensor transformed = at::empty({plan.weights}, x.options());
  const float* from = x.const_data_ptr<float>();
  const float* added = bias.const_data_ptr<float>();
  float* weights = transformed.mutable_data_ptr<float>();
  float* to = y.mutable_data_ptr<float>();
  at::parallel_for(0, plan.panels, 1, [&](int64_t begin, int64_t end) {
    winograd_weights(shape, taps, begin, end, weights);
  });
  at::parallel_for(0, plan.blocks, 1, [&](int64_t begin, int64_t end) {
    const at::Tensor scratch = at::empty({plan.scratch}, at::TensorOptions(at::kFloat));
    winograd_blocks(shape, plan, norm, from, weights, added, begin, end, scratch.mutable_data_ptr<float>(), to);
  });
  return {y, plan.products};
}

}  // namespace

std::optional<Convolved> winograd(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                                  at::IntArrayRef stride, at::IntArrayRef padding, Repeated repeated,
                                  const Norm* norm) {
  const size_t count = stride.size();
  const bool is_clip = count == 3;
  if (!is_usual(x, weight) || !is_plain(bias) || !bias.is_contiguous() || x.size(1) != weight.size(1) ||
      stride[count - 1] != 1 || stride[count - 2] != 1) {
    return std::nullopt;
  }
  WinogradShape shape{x.size(0),
                      x.size(1),
                      weight.size(0),
                      axes(x.sizes().slice(2), 1),
                      /*output=*/{},
                      axes(weight.sizes().slice(2), 1),
                      axes(padding, 0),
                      is_clip ? stride[0] : 1,
                      repeated,
                      /*normed=*/norm != nullptr};
  const WinogradShape::Axes strides = axes(stride, 1);
  for (size_t axis = 0; axis < 3; ++axis) {
    const bool twice = repeated == (axis == 0 ? Repeated::kFrames : Repeated::kPixels);
    // Zeros beside the axis are of the small clip's size.
    const int64_t room = shape.input[axis] + 2 * shape.padding[axis];
    shape.output[axis] = twice ? 2 * (room - (axis == 0 ? 1 + shape.padding[0] : 2))
                               : (room - shape.kernel[axis]) / strides[axis] + 1;
  }
  if (!winograd_wins(shape)) {
    return std::nullopt;
  }
  std::vector<int64_t> sizes{shape.clips, shape.out};
  sizes.insert(sizes.end(), shape.output.end() - count, shape.output.end());
  return convolve(shape, norm, x, taps(weight, /*backwards=*/false), bias, sizes);
}

std::optional<at::Tensor> winograd_to_input(const at::Tensor& to_y, const at::Tensor& weight, at::IntArrayRef sizes,
                                            at::IntArrayRef stride, at::IntArrayRef padding) {
  if (!is_usual(to_y, weight) || std::any_of(stride.begin(), stride.end(), [](int64_t step) { return step != 1; })) {
    return std::nullopt;
  }
  WinogradShape shape{to_y.size(0),
                      weight.size(0),
                      weight.size(1),
                      axes(to_y.sizes().slice(2), 1),
                      axes(sizes.slice(2), 1),
                      axes(weight.sizes().slice(2), 1),
                      axes(padding, 0),
                      /*time_stride=*/1,
                      Repeated::kNothing,
                      /*normed=*/false};
  for (size_t axis = 0; axis < 3; ++axis) {
    shape.padding[axis] = shape.kernel[axis] - 1 - shape.padding[axis];
  }
  if (!winograd_wins(shape)) {
    return std::nullopt;
  }
  const at::Tensor nothing = at::zeros({shape.out}, to_y.options());
  return convolve(shape, /*norm=*/nullptr, to_y, taps(weight, /*backwards=*/true), nothing, sizes).y;
}

}  // namespace vidtok
