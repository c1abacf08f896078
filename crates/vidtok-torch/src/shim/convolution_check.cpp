#include "convolution_check.h"

#include <c10/util/Exception.h>

#include <algorithm>

namespace vidtok {

namespace {

// More than any clip has along an axis, and so few that sums of a few of them do not overflow.
constexpr int64_t kMost = int64_t{1} << 31;

bool is_count(int64_t value, int64_t least) { return value >= least && value < kMost; }

// Frames that a convolution sees in front of x must be x's but for their number.
void check_context(const at::Tensor& x, const at::Tensor& frames) {
  TORCH_CHECK(frames.defined(), "convolution: the frames in front of the input are undefined");
  std::vector<int64_t> expected = x.sizes().vec();
  if (frames.dim() == x.dim()) {
    expected[2] = frames.size(2);
  }
  TORCH_CHECK(frames.sizes() == expected && is_count(frames.size(2), 0), "convolution: the frames in front are ",
              frames.sizes(), ", the input is ", x.sizes(), "; they may differ along the third axis only");
  TORCH_CHECK(frames.device() == x.device() && frames.scalar_type() == x.scalar_type(),
              "convolution: the frames in front are ", frames.scalar_type(), " on ", frames.device(),
              ", the input is ", x.scalar_type(), " on ", x.device());
}

}  // namespace

std::vector<int64_t> check_operands(const at::Tensor& x, const CausalContext& context, const at::Tensor& weight,
                                    at::IntArrayRef reach, at::IntArrayRef stride, at::IntArrayRef padding) {
  TORCH_CHECK(x.defined() && weight.defined(), "convolution: the input or the weight is undefined");
  const int64_t axes = static_cast<int64_t>(stride.size());
  TORCH_CHECK((axes == 2 || axes == 3) && x.dim() == axes + 2 && weight.dim() == axes + 2 &&
                  x.size(1) == weight.size(1),
              "convolution over ", axes, " axes: the input is ", x.sizes(), ", the weight ", weight.sizes(),
              "; expected are [n, in, ...] and [out, in, ...]");
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
                " frames of zeros in front or the input ", x.sizes(), " is out of range");
    const int64_t before = axis > 0 ? 0 : context.frames != nullptr ? context.frames->size(2) : context.zeros;
    const int64_t room = before + x.size(2 + axis) + 2 * padding[axis];
    TORCH_CHECK(room >= reach[axis], "convolution: the kernel reaches over ", reach[axis], " along axis ", 2 + axis,
                " of the input ", x.sizes(), ", where there are ", room, " with what stands beside it");
    output.push_back((room - weight.size(2 + axis)) / stride[axis] + 1);
  }
  return output;
}

void check_convolution(const at::Tensor& x, const CausalContext& context, const at::Tensor& weight, const at::Tensor& bias,
                       at::IntArrayRef reach, at::IntArrayRef stride, at::IntArrayRef padding) {
  check_operands(x, context, weight, reach, stride, padding);
  TORCH_CHECK(bias.defined() && bias.dim() == 1 && bias.size(0) == weight.size(0) && bias.device() == x.device(),
              "convolution: the bias must have one number for each of the ", weight.size(0),
              " output channels, on the device of the input, ", x.device());
}

}  // namespace vidtok
