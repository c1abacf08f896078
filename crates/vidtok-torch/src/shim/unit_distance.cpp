// The weighted distance of unit vectors as one operation of which autograd saves only the inputs.
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <memory>
#include <mutex>

#include "kernels/unit_distance.h"
#include "plain.h"
#include "rows.h"
#include "status.h"

namespace {

using torch::autograd::Node;
using torch::autograd::SavedVariable;
using torch::autograd::variable_list;
using vidtok::for_parts;
using vidtok::PlainScope;
using vidtok::rows_of_part;
using vidtok::Values;

// Checks what the kernel and the backward pass rely on.
void check(const at::Tensor& x, const at::Tensor& y, const at::Tensor& weight) {
  TORCH_CHECK(x.defined() && y.defined() && weight.defined(), "unit_distance: a tensor is undefined");
  TORCH_CHECK(weight.dim() == 1 && weight.numel() > 0, "unit_distance: the weight is ", weight.sizes(),
              "; expected [channels]");
  TORCH_CHECK(x.dim() == 4 && x.size(3) == weight.numel() && x.sizes() == y.sizes() && x.numel() > 0,
              "unit_distance over ", weight.numel(), " channels: the vectors are ", x.sizes(), " and ", y.sizes());
  TORCH_CHECK(x.device() == y.device() && x.device() == weight.device(), "unit_distance: the vectors are on ",
              x.device(), " and ", y.device(), ", the weight on ", weight.device());
  TORCH_CHECK(x.is_floating_point() && y.is_floating_point() && weight.is_floating_point(), "unit_distance: the vectors are ",
              x.scalar_type(), " and ", y.scalar_type(), ", the weight ", weight.scalar_type());
}

bool is_readable(const at::Tensor& x) { return vidtok::is_plain(x) || vidtok::is_plain(x, at::kBFloat16); }

// Whether our kernel can compute everything in one pass. Other inputs take libtorch's operations.
bool has_kernel(const at::Tensor& x, const at::Tensor& y, const at::Tensor& weight) {
  return is_readable(x) && is_readable(y) && vidtok::is_plain(weight) && weight.is_contiguous();
}

// Vectors [n, h, w, c] as n images of `pixels` rows.
struct Rows {
  const at::Tensor values;
  const int64_t images;
  const int64_t pixels;
  const int64_t channels;

  explicit Rows(const at::Tensor& x)
      : values(x.contiguous()), images(x.size(0)), pixels(x.size(1) * x.size(2)), channels(x.size(3)) {}

  Values read(int64_t first, int64_t rows) const { return Values::read(values, first * channels, rows * channels); }
};

at::Tensor forward_by_kernel(const Rows& x, const Rows& y, const at::Tensor& weight) {
  // Each part sums separately; the sums are added in order.
  const int64_t at_once = rows_of_part(x.channels);
  const int64_t parts = (x.pixels + at_once - 1) / at_once;
  at::Tensor sums = at::empty({x.images, parts}, weight.options().dtype(at::kDouble));
  double* sum = sums.mutable_data_ptr<double>();
  const float* weights = weight.const_data_ptr<float>();
  for (int64_t image = 0; image < x.images; ++image) {
    for_parts(x.pixels, at_once, [&](int64_t part, int64_t first, int64_t rows) {
      const int64_t row = image * x.pixels + first;
      sum[image * parts + part] = vidtok::unit_distance_rows(weights, x.channels, x.read(row, rows).get(),
                                                             y.read(row, rows).get(), rows);
    });
  }
  return (sums.sum(1) / static_cast<double>(x.pixels)).to(at::kFloat);
}

// The gradient by y, given that of the distances [n].
at::Tensor backward_by_kernel(const Rows& x, const Rows& y, const at::Tensor& weight, const at::Tensor& gradient) {
  at::Tensor grad_y = at::empty_like(y.values);
  const int64_t at_once = rows_of_part(x.channels);
  const float* weights = weight.const_data_ptr<float>();
  const at::Tensor scales = (gradient.to(at::kFloat) / static_cast<double>(x.pixels)).contiguous();
  const float* scale = scales.const_data_ptr<float>();
  for (int64_t image = 0; image < x.images; ++image) {
    for_parts(x.pixels, at_once, [&](int64_t, int64_t first, int64_t rows) {
      const int64_t row = image * x.pixels + first;
      const Values to = Values::write(grad_y, row * x.channels, rows * x.channels);
      vidtok::unit_distance_rows_backward(weights, x.channels, x.read(row, rows).get(), y.read(row, rows).get(), rows,
                                          scale[image], to.get());
      to.finish();
    });
  }
  return grad_y;
}

at::Tensor unit_vectors(const at::Tensor& x, const at::Tensor& weight) {
  const at::Tensor wide = x.to(weight.scalar_type());
  return wide * (wide.square().sum(-1, /*keepdim=*/true) + 1e-20).rsqrt();
}

// With gradients, recorded by libtorch.
at::Tensor by_libtorch(const at::Tensor& x, const at::Tensor& y, const at::Tensor& weight) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast{c10::autocast_dispatch_keyset};
  const at::Tensor squares = (unit_vectors(x, weight) - unit_vectors(y, weight)).square();
  return squares.matmul(weight).mean({1, 2}).to(at::kFloat);
}

class UnitDistance final : public Node {
 public:
  UnitDistance(const at::Tensor& x, const at::Tensor& y, const at::Tensor& weight)
      : Node(torch::autograd::collect_next_edges(x, y)),
        x_(x, /*is_output=*/false),
        y_(y, /*is_output=*/false),
        weight_(weight, /*is_output=*/false) {}

  std::string name() const override { return "UnitDistance"; }

  variable_list apply(variable_list&& gradients) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    TORCH_CHECK(!at::GradMode::is_enabled(), "unit_distance has no second derivative");
    if (!gradients[0].defined()) {
      return variable_list(2);
    }
    const PlainScope plain;
    const at::Tensor weight = weight_.unpack();
    const at::Tensor x = x_.unpack();
    const at::Tensor y = y_.unpack();
    // The data may have been replaced since the forward pass.
    check(x, y, weight);
    TORCH_CHECK(has_kernel(x, y, weight) && gradients[0].numel() == x.size(0) && gradients[0].is_cpu(),
                "unit_distance: the inputs have changed since the forward pass");
    const Rows rows_x(x);
    const Rows rows_y(y);
    variable_list out(2);
    // The distance is symmetric.
    if (task_should_compute_output(0)) {
      out[0] = backward_by_kernel(rows_y, rows_x, weight, gradients[0]);
    }
    if (task_should_compute_output(1)) {
      out[1] = backward_by_kernel(rows_x, rows_y, weight, gradients[0]);
    }
    return out;
  }

  void release_variables() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    x_.reset_data();
    y_.reset_data();
    weight_.reset_data();
  }

 private:
  SavedVariable x_;
  SavedVariable y_;
  SavedVariable weight_;
};

}  // namespace

extern "C" char* vidtok_unit_distance(const at::Tensor* x, const at::Tensor* y, const at::Tensor* weight,
                                      at::Tensor** out) {
  return vidtok::guarded([&] {
    check(*x, *y, *weight);
    if (!has_kernel(*x, *y, *weight)) {
      *out = new at::Tensor(by_libtorch(*x, *y, *weight));
      return;
    }
    at::Tensor distance;
    {
      const PlainScope plain;
      distance = forward_by_kernel(Rows(*x), Rows(*y), *weight);
    }
    if (torch::autograd::compute_requires_grad(*x, *y)) {
      torch::autograd::set_history(distance,
                                   std::shared_ptr<Node>(new UnitDistance(*x, *y, *weight), torch::autograd::deleteNode));
    }
    *out = new at::Tensor(std::move(distance));
  });
}
