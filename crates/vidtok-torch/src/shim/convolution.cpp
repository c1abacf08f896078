// Convolutions by our own kernels, forward and backward, where they are faster than libtorch's.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mkldnn_convolution.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "convolution_check.h"
#include "kernels/convolution.h"
#include "plain.h"
#include "status.h"
#include "winograd.h"

namespace {

using torch::autograd::Node;
using torch::autograd::SavedVariable;
using torch::autograd::variable_list;
using vidtok::ConvolutionShape;

// Multiply-accumulates of all convolutions of this process so far.
std::atomic<int64_t> executed_multiply_adds{0};

// Whether libtorch would compute a single clip by a kernel that copies each window, 27 times the input. It does if
// channels, frames and rows are few, for any number of columns.
bool copies_windows(const at::Tensor& x, const at::Tensor& weight) {
  return x.dim() == 5 && x.size(0) == 1 && x.size(1) * x.size(2) * x.size(3) <= 20480 && x.is_cpu() &&
         x.scalar_type() == at::kFloat && weight.scalar_type() == at::kFloat && at::hasMKLDNN() &&
         at::globalContext().userEnabledMkldnn() && !at::autocast::is_autocast_enabled(at::kCPU);
}

at::MemoryFormat channels_last(const at::Tensor& x) {
  return x.dim() == 5 ? at::MemoryFormat::ChannelsLast3d : at::MemoryFormat::ChannelsLast;
}

// Parts of the rows, which are summed separately. Independent of the number of threads, so that the total is too.
constexpr int64_t kParts = 16;

at::Tensor weight_gradient_by_kernel(const ConvolutionShape& shape, const at::Tensor& input,
                                     const at::Tensor& grad_output, at::IntArrayRef sizes) {
  const at::Tensor x = input.contiguous(channels_last(input));
  const at::Tensor grad_y = grad_output.contiguous(channels_last(grad_output));
  at::Tensor sums = at::zeros({kParts, shape.weights()}, x.options());
  const float* from = x.const_data_ptr<float>();
  const float* gradient = grad_y.const_data_ptr<float>();
  float* to = sums.mutable_data_ptr<float>();
  const int64_t rows = shape.rows();
  at::parallel_for(0, kParts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      const int64_t first = rows * part / kParts;
      const int64_t count = rows * (part + 1) / kParts - first;
      vidtok::convolution_weight_gradient(shape, from, gradient, first, count, to + part * shape.weights());
    }
  });
  // [kernel, out, in] to [out, in, kernel].
  return sums.sum(0).view({-1, shape.out, shape.in}).permute({1, 2, 0}).contiguous().view(sizes);
}

// Stride and padding over two or three axes, in libtorch's order.
struct ConvConfig {
  at::IntArrayRef stride;
  at::IntArrayRef padding;

  vidtok::Convolved forward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) const {
    if (auto convolved = vidtok::winograd(x, {}, weight, bias, stride, padding, vidtok::Upsampled::kNone)) {
      return *std::move(convolved);
    }
    return plain(x, weight, bias);
  }

  // By libtorch. The bias may be undefined.
  vidtok::Convolved plain(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) const {
    const at::Tensor y = by_libtorch(x, weight, bias);
    return {y, y.numel() * (weight.numel() / weight.size(0))};
  }

  at::Tensor by_libtorch(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) const {
    const std::vector<int64_t> ones(stride.size(), 1);
    const std::vector<int64_t> zeros(stride.size(), 0);
    if (copies_windows(x, weight)) {
      return at::mkldnn_convolution(x, weight, bias, padding, stride, ones, /*groups=*/1);
    }
    const auto convolve = [&](const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
      return at::convolution(x, weight, bias, stride, padding, ones, /*transposed=*/false, zeros, /*groups=*/1);
    };
    const c10::DeviceType device = x.device().type();
    if (!at::autocast::is_autocast_enabled(device)) {
      return convolve(x, weight, bias);
    }
    // Autocast on the CPU casts the operands of conv1d, conv2d and conv3d, but not those of at::convolution. Its cache
    // of cast parameters is left alone: a layer that runs in pieces would sum their gradients in half precision, and
    // threads share the cache, so the sums would depend on when another thread empties it.
    const at::ScalarType kind = at::autocast::get_autocast_dtype(device);
    const auto cast = [&](const at::Tensor& t) { return !t.defined() || t.scalar_type() == at::kDouble ? t : t.to(kind); };
    const c10::impl::ExcludeDispatchKeyGuard cast_here{c10::autocast_dispatch_keyset};
    return convolve(cast(x), cast(weight), cast(bias));
  }

  at::Tensor input_gradient(const at::Tensor& grad_y, const at::Tensor& x, const at::Tensor& weight) const {
    if (auto grad_x = vidtok::winograd_input_gradient(grad_y, weight, x.sizes(), stride, padding)) {
      return *std::move(grad_x);
    }
    return std::get<0>(backward(grad_y, x, weight, {true, false, false}));
  }

  at::Tensor weight_gradient(const at::Tensor& grad_y, const at::Tensor& x, const at::Tensor& weight) const {
    const ConvolutionShape shape = this->shape(x, weight);
    if (vidtok::is_plain(grad_y) && vidtok::convolution_weight_gradient_wins(shape)) {
      return weight_gradient_by_kernel(shape, x, grad_y, weight.sizes());
    }
    return std::get<1>(backward(grad_y, x, weight, {false, true, false}));
  }

  std::tuple<at::Tensor, at::Tensor, at::Tensor> backward(const at::Tensor& grad_y, const at::Tensor& x,
                                                          const at::Tensor& weight, std::array<bool, 3> wanted) const {
    const std::vector<int64_t> ones(stride.size(), 1);
    const std::vector<int64_t> zeros(stride.size(), 0);
    return at::convolution_backward(grad_y, x, weight, std::nullopt, stride, padding, ones, /*transposed=*/false, zeros,
                                    /*groups=*/1, wanted);
  }

  // The shape for our kernel. An image is a clip of one frame.
  ConvolutionShape shape(const at::Tensor& x, const at::Tensor& weight) const {
    ConvolutionShape shape{x.size(0), x.size(1), weight.size(0), {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}};
    const size_t axes = stride.size();
    for (size_t axis = 0; axis < axes; ++axis) {
      const size_t index = 3 - axes + axis;
      shape.input[index] = x.size(2 + axis);
      shape.kernel[index] = weight.size(2 + axis);
      shape.stride[index] = stride[axis];
      shape.padding[index] = padding[axis];
      shape.output[index] =
          (shape.input[index] + 2 * padding[axis] - shape.kernel[index]) / stride[axis] + 1;
    }
    return shape;
  }
};

class Convolution final : public Node {
 public:
  Convolution(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const ConvConfig& config)
      : Node(torch::autograd::collect_next_edges(x, weight, bias)),
        x_(x, /*is_output=*/false),
        weight_(weight, /*is_output=*/false),
        stride_(config.stride.vec()),
        padding_(config.padding.vec()) {}

  std::string name() const override { return "VidtokConvolution"; }

  variable_list apply(variable_list&& gradients) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    TORCH_CHECK(!at::GradMode::is_enabled(), "this convolution has no second derivative");
    variable_list found(3);
    if (!gradients[0].defined()) {
      return found;
    }
    const ConvConfig config{stride_, padding_};
    const at::Tensor x = x_.unpack();
    const at::Tensor weight = weight_.unpack();
    const at::Tensor& grad_y = gradients[0];
    // The parameters' data may have been replaced since the forward pass.
    const std::vector<int64_t> sizes =
        vidtok::check_operands(x, {}, weight, weight.sizes().slice(2), stride_, padding_);
    TORCH_CHECK(grad_y.sizes() == sizes && vidtok::is_plain(x) && vidtok::is_plain(weight),
                "convolution: the input or the weight has changed since the forward pass");
    if (task_should_compute_output(0)) {
      found[0] = config.input_gradient(grad_y, x, weight);
    }
    if (task_should_compute_output(1)) {
      found[1] = config.weight_gradient(grad_y, x, weight);
    }
    if (task_should_compute_output(2)) {
      std::vector<int64_t> positions{0};
      for (int64_t axis = 2; axis < grad_y.dim(); ++axis) {
        positions.push_back(axis);
      }
      found[2] = grad_y.sum(positions);
    }
    return found;
  }

  void release_variables() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    x_.reset_data();
    weight_.reset_data();
  }

 private:
  SavedVariable x_;
  SavedVariable weight_;
  std::vector<int64_t> stride_;
  std::vector<int64_t> padding_;
};

// Whether the node above, whose gradients come from our kernels, becomes the history of a convolution.
bool has_own_backward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  using vidtok::is_plain;
  return torch::autograd::compute_requires_grad(x, weight, bias) && is_plain(x) && is_plain(weight) &&
         is_plain(bias) && x.is_contiguous(channels_last(x)) && !at::autocast::is_autocast_enabled(at::kCPU);
}

// x after its causal context in one tensor.
at::Tensor join(const at::Tensor& x, const vidtok::CausalContext& context) {
  if (context.frames != nullptr) {
    return at::cat(std::vector<at::Tensor>{*context.frames, x}, 2);
  }
  if (context.zeros == 0) {
    return x;
  }
  std::vector<int64_t> sizes = x.sizes().vec();
  sizes[2] = context.zeros;
  const at::Tensor zeros = at::empty(sizes, x.options(), channels_last(x)).zero_();
  return at::cat(std::vector<at::Tensor>{zeros, x}, 2);
}

// Whether an operand asks for gradients.
bool needs_gradients(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                     const vidtok::CausalContext& context) {
  return torch::autograd::compute_requires_grad(x, weight, bias) ||
         (context.frames != nullptr && torch::autograd::compute_requires_grad(*context.frames));
}

// Counts a convolution and hands its output to Rust.
void finish(vidtok::Convolved convolved, at::Tensor** out) {
  executed_multiply_adds += convolved.multiply_adds;
  *out = new at::Tensor(std::move(convolved.y));
}

}  // namespace

// Multiply-accumulates that convolutions of this process have executed so far, on all threads. Backward passes do not
// count.
extern "C" int64_t vidtok_executed_multiply_adds() { return executed_multiply_adds; }

// The most floats that a convolution by our kernels holds besides its input and output.
extern "C" int64_t vidtok_winograd_workspace(int64_t channels, int64_t threads) {
  return vidtok::winograd_workspace(channels, threads);
}

// Convolves x [n, in, ...] with weight [out, in, ...] and adds bias [out], which may be null. `stride` and `padding` have
// `axes` numbers. x follows `context_frames`, or `zeros` frames of zeros if that is null.
extern "C" char* vidtok_convolution(const at::Tensor* x, const at::Tensor* context_frames, int64_t zeros,
                                    const at::Tensor* weight, const at::Tensor* bias, const int64_t* stride,
                                    const int64_t* padding, size_t axes, at::Tensor** out) {
  return vidtok::guarded([&] {
    const ConvConfig config{{stride, axes}, {padding, axes}};
    const vidtok::CausalContext context{zeros, context_frames};
    if (bias == nullptr) {
      vidtok::check_operands(*x, context, *weight, weight->sizes().slice(2), config.stride, config.padding);
      return finish(config.plain(join(*x, context), *weight, {}), out);
    }
    vidtok::check_convolution(*x, context, *weight, *bias, weight->sizes().slice(2), config.stride, config.padding);
    if (!needs_gradients(*x, *weight, *bias, context)) {
      const auto none = vidtok::Upsampled::kNone;
      if (auto convolved = vidtok::winograd(*x, context, *weight, *bias, config.stride, config.padding, none)) {
        return finish(*std::move(convolved), out);
      }
    }
    const at::Tensor whole = join(*x, context);
    vidtok::Convolved convolved;
    if (has_own_backward(whole, *weight, *bias)) {
      {
        const at::NoGradGuard no_gradients;
        convolved = config.forward(whole, *weight, *bias);
      }
      const std::shared_ptr<Node> node(new Convolution(whole, *weight, *bias, config), torch::autograd::deleteNode);
      torch::autograd::set_history(convolved.y, node);
    } else {
      convolved = config.forward(whole, *weight, *bias);
    }
    finish(std::move(convolved), out);
  });
}

// Like `vidtok_convolution` with stride 1, on an x whose pixels (two axes) or frames (three axes) are upsampled by two.
// Over frames, the kernel is centred on its output or ends there. Null if our kernel is not the faster one, or for
// gradients.
extern "C" char* vidtok_upsampled_convolution(const at::Tensor* x, const at::Tensor* context_frames, int64_t zeros,
                                             const at::Tensor* weight, const at::Tensor* bias, bool centered,
                                             const int64_t* padding, size_t axes, at::Tensor** out) {
  return vidtok::guarded([&] {
    const std::vector<int64_t> ones(axes, 1);
    const auto frames = centered ? vidtok::Upsampled::kCenteredFrames : vidtok::Upsampled::kFrames;
    const auto upsampled = axes == 2 ? vidtok::Upsampled::kPixels : frames;
    const vidtok::CausalContext context{zeros, context_frames};
    // A kernel over upsampled frames that ends at its output sees two frames only: two of its three taps share one.
    const std::vector<int64_t> two_frames{2, 3, 3};
    const std::vector<int64_t> threes(axes, 3);
    const auto& reach = upsampled == vidtok::Upsampled::kFrames ? two_frames : threes;
    vidtok::check_convolution(*x, context, *weight, *bias, reach, ones, {padding, axes});
    TORCH_CHECK(weight->sizes().slice(2) == threes, "convolution of an upsampled input: the weight is ",
                weight->sizes(), "; expected three taps along each axis");
    // The kernel goes over pairs of frames and begins with the first frame or with one frame of zeros.
    const bool starts_a_pair = axes == 2 || (padding[0] == (centered ? 1 : 0) && zeros + padding[0] <= 1);
    if (needs_gradients(*x, *weight, *bias, context) || !starts_a_pair) {
      return;
    }
    if (auto convolved = vidtok::winograd(*x, context, *weight, *bias, ones, {padding, axes}, upsampled)) {
      finish(*std::move(convolved), out);
    }
  });
}

// Convolves silu(norm(x)) for images x [n, in, h, w] with stride 1. Null if our kernel is not the faster one, or for
// gradients.
extern "C" char* vidtok_normed_convolution(const at::Tensor* x, const at::Tensor* norm_weight,
                                           const at::Tensor* norm_bias, double eps, const at::Tensor* weight,
                                           const at::Tensor* bias, const int64_t* padding, at::Tensor** out) {
  return vidtok::guarded([&] {
    TORCH_CHECK(x->defined() && x->dim() == 4, "convolution after a norm: the input must be [n, in, h, w]");
    for (const at::Tensor* parameter : {norm_weight, norm_bias}) {
      const bool fits = vidtok::is_plain(*parameter) && parameter->is_contiguous() && parameter->numel() == x->size(1);
      if (!fits || torch::autograd::compute_requires_grad(*parameter)) {
        return;
      }
    }
    if (torch::autograd::compute_requires_grad(*x, *weight, *bias)) {
      return;
    }
    vidtok::check_convolution(*x, {}, *weight, *bias, weight->sizes().slice(2), {1, 1}, {padding, 2});
    const vidtok::Norm norm{norm_weight->const_data_ptr<float>(), norm_bias->const_data_ptr<float>(), x->size(1),
                            static_cast<float>(eps)};
    const auto none = vidtok::Upsampled::kNone;
    if (auto convolved = vidtok::winograd(*x, {}, *weight, *bias, {1, 1}, {padding, 2}, none, &norm)) {
      finish(*std::move(convolved), out);
    }
  });
}
