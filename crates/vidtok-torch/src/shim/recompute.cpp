// Gradient checkpointing: a graph node whose backward pass runs a Rust function again.
#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>
#include <vector>

#include "autocast.h"
#include "status.h"

namespace {

using torch::autograd::AccumulateGrad;
using torch::autograd::Edge;
using torch::autograd::Node;
using torch::autograd::SavedVariable;
using torch::autograd::variable_list;

// A Rust function from a tensor to a new one.
class Function {
 public:
  using Call = char* (*)(const void* data, at::Tensor* x, at::Tensor** y);
  using Release = void (*)(void* data);

  Function(void* data, Call call, Release release) : data_(data), call_(call), release_(release) {}
  ~Function() { release_(data_); }
  Function(const Function&) = delete;
  Function& operator=(const Function&) = delete;

  at::Tensor operator()(at::Tensor x) const {
    at::Tensor* y = nullptr;
    char* message = call_(data_, &x, &y);
    const std::unique_ptr<at::Tensor> owned(y);
    if (message != nullptr) {
      const std::string text(message);
      vidtok_message_release(message);
      TORCH_CHECK(false, "the recomputed function: ", text);
    }
    TORCH_CHECK(owned != nullptr, "the recomputed function returned no tensor");
    return *owned;
  }

 private:
  void* data_;
  Call call_;
  Release release_;
};

// The node's inputs are x and the leaves that the function holds: its parameters.
class Recompute final : public Node {
 public:
  Recompute(const at::Tensor& x, std::unique_ptr<Function> function, torch::autograd::edge_list edges)
      : Node(std::move(edges)),
        x_(x, /*is_output=*/false),
        function_(std::move(function)),
        autocast_(vidtok::Autocast::current(x.device().type())) {}

  std::string name() const override { return "Recompute"; }

  variable_list apply(variable_list&& gradients) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    TORCH_CHECK(!at::GradMode::is_enabled(), "recomputed layers have no second derivatives");
    TORCH_CHECK(function_ != nullptr, "backward through recomputed layers a second time; keep the graph to allow this");
    variable_list found(num_outputs());
    if (!gradients[0].defined()) {
      return found;
    }
    const at::Tensor x = x_.unpack().detach();
    x.set_requires_grad(next_edge(0).is_valid());
    at::Tensor y;
    {
      const vidtok::AutocastScope scope(autocast_);
      const at::AutoGradMode with_gradients(true);
      y = (*function_)(x);
    }
    variable_list inputs;
    std::vector<size_t> positions;
    for (size_t i = 0; i < num_outputs(); ++i) {
      if (task_should_compute_output(i)) {
        positions.push_back(i);
        inputs.push_back(i == 0 ? x : static_cast<AccumulateGrad*>(next_edge(i).function.get())->variable);
      }
    }
    const variable_list computed = torch::autograd::grad(
        {y}, inputs, {gradients[0]}, /*retain_graph=*/std::nullopt, /*create_graph=*/false, /*allow_unused=*/true);
    for (size_t i = 0; i < positions.size(); ++i) {
      found[positions[i]] = computed[i];
    }
    return found;
  }

  void release_variables() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    x_.reset_data();
    function_.reset();
  }

 private:
  SavedVariable x_;
  std::unique_ptr<Function> function_;
  vidtok::Autocast autocast_;
};

// Edges to the leaves of y's graph, except `x`.
torch::autograd::edge_list leaves(const at::Tensor& y, const at::Tensor& x) {
  torch::autograd::edge_list found;
  std::unordered_set<Node*> seen;
  if (x.requires_grad()) {
    seen.insert(torch::autograd::impl::gradient_edge(x).function.get());
  }
  std::vector<Edge> open{torch::autograd::impl::gradient_edge(y)};
  while (!open.empty()) {
    const Edge edge = std::move(open.back());
    open.pop_back();
    if (!edge.is_valid() || !seen.insert(edge.function.get()).second) {
      continue;
    }
    if (dynamic_cast<AccumulateGrad*>(edge.function.get()) != nullptr) {
      found.push_back(edge);
    } else {
      open.insert(open.end(), edge.function->next_edges().begin(), edge.function->next_edges().end());
    }
  }
  return found;
}

}  // namespace

extern "C" {

// `y` is the function's result on `inner`, which is `x` without its history. `out` becomes y with this node as its
// history instead of its own. The function is released by this call or with the node.
char* vidtok_recompute(const at::Tensor* x, const at::Tensor* inner, const at::Tensor* y, void* data,
                       Function::Call call, Function::Release release, at::Tensor** out) {
  return vidtok::guarded([&] {
    auto function = std::make_unique<Function>(data, call, release);
    torch::autograd::edge_list edges = torch::autograd::collect_next_edges(*x);
    const torch::autograd::edge_list parameters = leaves(*y, *inner);
    edges.insert(edges.end(), parameters.begin(), parameters.end());
    const std::shared_ptr<Node> node(new Recompute(*x, std::move(function), std::move(edges)),
                                     torch::autograd::deleteNode);
    auto result = std::make_unique<at::Tensor>(y->detach());
    torch::autograd::set_history(*result, node);
    *out = result.release();
  });
}
}
