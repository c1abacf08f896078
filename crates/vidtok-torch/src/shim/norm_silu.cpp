// Layer normalisation and SiLU as one operation, of which autograd keeps the input only.
#include <ATen/core/Tensor.h>
#include <ATen/ops/native_layer_norm.h>
#include <ATen/ops/native_layer_norm_backward.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/silu_backward.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <array>
#include <memory>
#include <mutex>
#include <tuple>

#include "status.h"

namespace {

using torch::autograd::Node;
using torch::autograd::SavedVariable;
using torch::autograd::variable_list;

// Types are chosen here, so autocast stays out.
struct Plain {
  at::NoGradGuard no_gradients;
  c10::impl::ExcludeDispatchKeyGuard no_autocast{c10::autocast_dispatch_keyset};
};

// The input in the type of the parameters, in which statistics and activation are computed.
at::Tensor widened(const at::Tensor& x, const at::Tensor& weight) { return x.to(weight.scalar_type()); }

class NormSilu final : public Node {
 public:
  NormSilu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps)
      : Node(torch::autograd::collect_next_edges(x, weight, bias)),
        x_(x, /*is_output=*/false),
        weight_(weight, /*is_output=*/false),
        bias_(bias, /*is_output=*/false),
        eps_(eps) {}

  std::string name() const override { return "NormSilu"; }

  variable_list apply(variable_list&& gradients) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    TORCH_CHECK(!at::GradMode::is_enabled(), "norm_silu has no second derivative");
    if (!gradients[0].defined()) {
      return variable_list(3);
    }
    const Plain plain;
    const at::Tensor x = x_.unpack();
    const at::Tensor weight = weight_.unpack();
    const at::Tensor bias = bias_.unpack();
    const at::Tensor wide = widened(x, weight);
    // Normalising again takes one pass; keeping it would take memory until now.
    auto [normed, mean, rstd] = at::native_layer_norm(wide, weight.sizes(), weight, bias, eps_);
    at::silu_backward_out(normed, widened(gradients[0], weight), normed);
    const std::array<bool, 3> wanted{task_should_compute_output(0), task_should_compute_output(1),
                                     task_should_compute_output(2)};
    auto [to_x, to_weight, to_bias] =
        at::native_layer_norm_backward(normed, wide, weight.sizes(), mean, rstd, weight, bias, wanted);
    return {to_x.defined() ? to_x.to(x.scalar_type()) : to_x, to_weight, to_bias};
  }

  void release_variables() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    x_.reset_data();
    weight_.reset_data();
    bias_.reset_data();
  }

 private:
  SavedVariable x_;
  SavedVariable weight_;
  SavedVariable bias_;
  double eps_;
};

}  // namespace

extern "C" char* vidtok_norm_silu(const at::Tensor* x, const at::Tensor* weight, const at::Tensor* bias, double eps,
                                  at::Tensor** out) {
  return vidtok::guarded([&] {
    at::Tensor y;
    {
      const Plain plain;
      y = std::get<0>(at::native_layer_norm(widened(*x, *weight), weight->sizes(), *weight, *bias, eps));
      y = at::silu_(y).to(x->scalar_type());
    }
    if (torch::autograd::compute_requires_grad(*x, *weight, *bias)) {
      torch::autograd::set_history(
          y, std::shared_ptr<Node>(new NormSilu(*x, *weight, *bias, eps), torch::autograd::deleteNode));
    }
    *out = new at::Tensor(std::move(y));
  });
}
