// Layer normalisation and SiLU as one operation of which autograd saves only the input. The input may still lack the bias
// of the convolution before it.
#include <ATen/core/Tensor.h>
#include <ATen/ops/add.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/native_layer_norm.h>
#include <ATen/ops/native_layer_norm_backward.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/silu_backward.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <array>
#include <memory>
#include <mutex>
#include <tuple>

#include "gpu/norm_silu.h"
#include "kernels/norm_silu.h"
#include "plain.h"
#include "rows.h"
#include "status.h"

namespace {

using vidtok::for_parts;
using vidtok::PlainScope;
using vidtok::rows_of_part;
using vidtok::Values;
using torch::autograd::Node;
using torch::autograd::SavedVariable;
using torch::autograd::variable_list;

// Checks what the kernel and the backward pass rely on.
void check(const at::Tensor& x, const at::Tensor& input_bias, const at::Tensor& weight, const at::Tensor& bias) {
  TORCH_CHECK(x.defined() && weight.defined() && bias.defined(), "norm: a tensor is undefined");
  TORCH_CHECK(weight.dim() == 1 && weight.numel() > 0 && bias.sizes() == weight.sizes(), "norm: the weight is ",
              weight.sizes(), " and the bias ", bias.sizes(), "; expected [channels] for both");
  TORCH_CHECK(x.dim() > 0 && x.size(-1) == weight.numel(), "norm over ", weight.numel(), " channels: the input is ",
              x.sizes());
  TORCH_CHECK(x.device() == weight.device() && bias.device() == weight.device(), "norm: the input is on ", x.device(),
              ", the weight on ", weight.device(), " and the bias on ", bias.device());
  TORCH_CHECK(x.is_floating_point() && weight.is_floating_point() && bias.scalar_type() == weight.scalar_type(),
              "norm: the input is ", x.scalar_type(), ", the weight ", weight.scalar_type(), " and the bias ",
              bias.scalar_type());
  TORCH_CHECK(!input_bias.defined() || (input_bias.sizes() == weight.sizes() && input_bias.device() == x.device() &&
                                        input_bias.is_floating_point()),
              "norm: the bias of the input does not fit");
}

// The input in the type of the parameters. Statistics and activation are computed in that type.
at::Tensor widened(const at::Tensor& x, const at::Tensor& input_bias, const at::Tensor& weight) {
  const at::Tensor wide = x.to(weight.scalar_type());
  return input_bias.defined() ? at::add(wide, input_bias.to(weight.scalar_type())) : wide;
}

// Whether our kernel can compute everything in one pass. Other inputs take libtorch's operations.
bool has_kernel(const at::Tensor& x, const at::Tensor& input_bias, const at::Tensor& weight, const at::Tensor& bias) {
  using vidtok::is_plain;
  return !input_bias.defined() && (is_plain(x) || is_plain(x, at::kBFloat16)) && is_plain(weight) && is_plain(bias) && weight.is_contiguous() && bias.is_contiguous();
}

// The kernel's view of the parameters, which must outlive it.
vidtok::Norm norm(const at::Tensor& weight, const at::Tensor& bias, double eps) {
  return {weight.const_data_ptr<float>(), bias.const_data_ptr<float>(), weight.numel(), static_cast<float>(eps)};
}

at::Tensor forward_by_kernel(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias, double eps) {
  const at::Tensor x = input.contiguous();
  at::Tensor y = at::empty_like(x);
  const vidtok::Norm norm = ::norm(weight, bias, eps);
  for_parts(x.numel() / norm.channels, rows_of_part(norm.channels), [&](int64_t, int64_t first, int64_t rows) {
    const int64_t offset = first * norm.channels;
    const int64_t count = rows * norm.channels;
    const Values to = Values::write(y, offset, count);
    vidtok::norm_silu_rows(norm, Values::read(x, offset, count).get(), rows, to.get());
    to.finish();
  });
  return y;
}

// The gradients of x, weight and bias, and none of a bias of the input.
variable_list backward_by_kernel(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias,
                                   double eps, const at::Tensor& grad_output) {
  const at::Tensor x = input.contiguous();
  const at::Tensor grad_y = grad_output.contiguous();
  at::Tensor grad_x = at::empty_like(x);
  const vidtok::Norm norm = ::norm(weight, bias, eps);
  const int64_t channels = norm.channels;
  const int64_t rows = x.numel() / channels;
  const int64_t at_once = rows_of_part(channels);
  // Each part sums separately; the sums are added in order.
  at::Tensor sums = at::zeros({(rows + at_once - 1) / at_once, 2, channels}, weight.options());
  float* sum = sums.mutable_data_ptr<float>();
  for_parts(rows, at_once, [&](int64_t part, int64_t first, int64_t some) {
    const int64_t offset = first * channels;
    const int64_t count = some * channels;
    float* grad_weight = sum + part * 2 * channels;
    const Values to = Values::write(grad_x, offset, count);
    vidtok::norm_silu_rows_backward(norm, Values::read(x, offset, count).get(),
                                    Values::read(grad_y, offset, count).get(), some, to.get(), grad_weight,
                                    grad_weight + channels);
    to.finish();
  });
  const at::Tensor total = sums.sum(0);
  return {grad_x, total[0], total[1], at::Tensor()};
}

at::Tensor forward_by_libtorch(const at::Tensor& x, const at::Tensor& input_bias, const at::Tensor& weight,
                               const at::Tensor& bias, double eps) {
  at::Tensor y = std::get<0>(at::native_layer_norm(widened(x, input_bias, weight), weight.sizes(), weight, bias, eps));
  return at::silu_(y).to(x.scalar_type());
}

at::Tensor forward(const at::Tensor& x, const at::Tensor& input_bias, const at::Tensor& weight, const at::Tensor& bias,
                   double eps) {
  if (has_kernel(x, input_bias, weight, bias)) {
    return forward_by_kernel(x, weight, bias, eps);
  }
  if (auto y = vidtok::gpu::norm_silu(x, input_bias, weight, bias, eps, /*frames=*/0)) {
    return *std::move(y);
  }
  return forward_by_libtorch(x, input_bias, weight, bias, eps);
}

class NormSilu final : public Node {
 public:
  NormSilu(const at::Tensor& x, const at::Tensor& input_bias, const at::Tensor& weight, const at::Tensor& bias, double eps)
      : Node(torch::autograd::collect_next_edges(x, weight, bias, input_bias)),
        x_(x, /*is_output=*/false),
        input_bias_(input_bias, /*is_output=*/false),
        weight_(weight, /*is_output=*/false),
        bias_(bias, /*is_output=*/false),
        eps_(eps) {}

  std::string name() const override { return "NormSilu"; }

  variable_list apply(variable_list&& gradients) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    TORCH_CHECK(!at::GradMode::is_enabled(), "norm_silu has no second derivative");
    if (!gradients[0].defined()) {
      return variable_list(4);
    }
    const PlainScope plain;
    const at::Tensor x = x_.unpack();
    const at::Tensor input_bias = input_bias_.unpack();
    const at::Tensor weight = weight_.unpack();
    const at::Tensor bias = bias_.unpack();
    // The parameters' data may have been replaced since the forward pass.
    check(x, input_bias, weight, bias);
    TORCH_CHECK(gradients[0].sizes() == x.sizes(), "norm: the input has changed since the forward pass");
    if (has_kernel(x, input_bias, weight, bias) && vidtok::is_plain(gradients[0], x.scalar_type())) {
      return backward_by_kernel(x, weight, bias, eps_, gradients[0]);
    }
    if (const auto found = vidtok::gpu::norm_silu_backward(x, input_bias, weight, bias, eps_, gradients[0])) {
      return {found->begin(), found->end()};
    }
    const at::Tensor wide = widened(x, input_bias, weight);
    // Normalising again takes one pass. Saving the result would have taken memory until now.
    auto [normed, mean, rstd] = at::native_layer_norm(wide, weight.sizes(), weight, bias, eps_);
    at::silu_backward_out(normed, gradients[0].to(weight.scalar_type()), normed);
    const bool wants_input_bias = input_bias.defined() && task_should_compute_output(3);
    const std::array<bool, 3> wanted{task_should_compute_output(0) || wants_input_bias, task_should_compute_output(1),
                                     task_should_compute_output(2)};
    auto [grad_x, grad_weight, grad_bias] =
        at::native_layer_norm_backward(normed, wide, weight.sizes(), mean, rstd, weight, bias, wanted);
    at::Tensor grad_input_bias;
    if (wants_input_bias) {
      grad_input_bias = grad_x.view({-1, weight.numel()}).sum(0).to(input_bias.scalar_type());
    }
    return {grad_x.defined() ? grad_x.to(x.scalar_type()) : grad_x, grad_weight, grad_bias, grad_input_bias};
  }

  void release_variables() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    x_.reset_data();
    input_bias_.reset_data();
    weight_.reset_data();
    bias_.reset_data();
  }

 private:
  SavedVariable x_;
  SavedVariable input_bias_;
  SavedVariable weight_;
  SavedVariable bias_;
  double eps_;
};

}  // namespace

extern "C" {

// silu(norm(x + input_bias) * weight + bias). `input_bias` may be null.
char* vidtok_norm_silu(const at::Tensor* x, const at::Tensor* input_bias, const at::Tensor* weight, const at::Tensor* bias,
                       double eps, at::Tensor** out) {
  return vidtok::guarded([&] {
    const at::Tensor of_input = input_bias == nullptr ? at::Tensor() : *input_bias;
    check(*x, of_input, *weight, *bias);
    at::Tensor y;
    {
      const PlainScope plain;
      y = forward(*x, of_input, *weight, *bias, eps);
    }
    if (torch::autograd::compute_requires_grad(*x, of_input, *weight, *bias)) {
      torch::autograd::set_history(
          y, std::shared_ptr<Node>(new NormSilu(*x, of_input, *weight, *bias, eps), torch::autograd::deleteNode));
    }
    *out = new at::Tensor(std::move(y));
  });
}

// The same for a clip x [b, t, h, w, c], after room for `frames` frames. Null where no kernel writes there, or for
// gradients.
char* vidtok_norm_silu_after(const at::Tensor* x, const at::Tensor* input_bias, const at::Tensor* weight,
                             const at::Tensor* bias, double eps, int64_t frames, at::Tensor** out) {
  return vidtok::guarded([&] {
    const at::Tensor of_input = input_bias == nullptr ? at::Tensor() : *input_bias;
    check(*x, of_input, *weight, *bias);
    TORCH_CHECK(x->dim() == 5 && frames >= 0, "norm: the input is ", x->sizes(), "; expected a clip [b, t, h, w, c]");
    if (torch::autograd::compute_requires_grad(*x, of_input, *weight, *bias)) {
      return;
    }
    const PlainScope plain;
    if (auto y = vidtok::gpu::norm_silu(*x, of_input, *weight, *bias, eps, frames)) {
      *out = new at::Tensor(*std::move(y));
    }
  });
}
}
