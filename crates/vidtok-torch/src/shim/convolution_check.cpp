#include "convolution_check.h"

#include <c10/util/Exception.h>

#include <algorithm>

namespace vidtok {

namespace {

// Larger than any clip along an axis, and small enough that sums of a few such sizes do not overflow.
constexpr int64_t kMaxSize = int64_t{1} << 31;

bool is_count(int64_t value, int64_t least) { return value >= least && value < kMaxSize; }

// The causal context must have the shape of x, apart from the number of frames.
void check_context(const at::Tensor& x, const at::Tensor& frames) {
  TORCH_CHECK(frames.defined(), "convolution: the causal context is undefined");
  std::vector<int64_t> expected = x.sizes().vec();
  if (frames.dim() == x.dim()) {
    expected[2] = frames.size(2);
  }
  TORCH_CHECK(frames.sizes() == expected && is_count(frames.size(2), 0), "convolution: the causal context is ",
              frames.sizes(), ", the input ", x.sizes(), "; they may differ along the third axis only");
  TORCH_CHECK(frames.device() == x.device() && frames.scalar_type() == x.scalar_type(),
              "convolution: the causal context is ", frames.scalar_type(), " on ", frames.device(),
              ", the input ", x.scalar_type(), " on ", x.device());
}

}  // namespace

std::vector<int64_t> check_operands(const at::Tensor& x, const CausalContext& context, const at::Tensor& weight,
                                    at::IntArrayRef reach, at::IntArrayRef stride, at::IntArrayRef padding) {
  TORCH_CHECK(x.defined() && weight.defined(), "convolution: the input or the weight is undefined");
  const int64_t axes = static_cast<int64_t>(stride.size());
  TORCH_CHECK((axes == 2 || axes == 3) && x.dim() == axes + 2 && weight.dim() == axes + 2 &&
                  x.size(1) == weight.size(1),
              "convolution over ", axes, " axes: the input is ", x.sizes(), ", the weight ", weight.sizes(),
              "; expected [n, in, ...] and [out, in, ...]");
  const auto sizes = weight.sizes();
  TORCH_CHECK(std::all_of(sizes.begin(), sizes.end(), [](int64_t size) { return is_count(size, 1); }),
              "convolution: the weight ", sizes, " is empty");
  TORCH_CHECK(x.device() == weight.device(), "convolution: the input is on ", x.device(), ", the weight on ",
              weight.device());
  if (context.frames != nullptr) {
    check_context(x, *context.frames);
  }
  std::vector<int64_t> output{x.size(0), weight.size(0)};
  for (int64_t axis = 0; axis < axes; ++axis) {
    TORCH_CHECK(is_count(stride[axis], 1) && is_count(padding[axis], 0) && is_count(context.zeros, 0) &&
                    is_count(x.size(2 + axis), 0),
                "convolution: the stride ", stride, ", the padding ", padding, ", ", context.zeros,
                " zero frames of context or the input ", x.sizes(), " is out of range");
    const int64_t before = axis > 0 ? 0 : context.frames != nullptr ? context.frames->size(2) : context.zeros;
    const int64_t room = before + x.size(2 + axis) + 2 * padding[axis];
    TORCH_CHECK(room >= reach[axis], "convolution: the kernel reaches over ", reach[axis], " along axis ", 2 + axis,
                " of the input ", x.sizes(), ", which has ", room, " with context and padding");
    output.push_back((room - weight.size(2 + axis)) / stride[axis] + 1);
  }
  return output;
}

void check_convolution(const at::Tensor& x, const CausalContext& context, const at::Tensor& weight,
                       const at::Tensor& bias, at::IntArrayRef reach, at::IntArrayRef stride, at::IntArrayRef padding) {
  check_operands(x, context, weight, reach, stride, padding);
  TORCH_CHECK(bias.defined() && bias.dim() == 1 && bias.size(0) == weight.size(0) && bias.device() == x.device(),
              "convolution: the bias must have one element for each of the ", weight.size(0),
              " output channels, on the input's device, ", x.device());
}

}  // namespace vidtok
