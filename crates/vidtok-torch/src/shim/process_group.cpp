// Distributed training with libtorch's process groups and gradient reducer (c10d), without Python.
#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "nccl.h"
#include "status.h"

namespace {

using torch::autograd::Node;
using torch::autograd::variable_list;
using Group = c10::intrusive_ptr<c10d::ProcessGroup>;

// The sizes of PyTorch's DDP. The first bucket is small, so that its reduction starts early.
constexpr int64_t kFirstBucketBytes = 1 << 20;
constexpr int64_t kBucketBytes = 25 << 20;

at::Tensor mean_over(const Group& group, const at::Tensor& x) {
  std::vector<at::Tensor> sum{x.detach().clone(at::MemoryFormat::Contiguous)};
  group->allreduce(sum)->wait();
  return sum[0].div_(group->getSize());
}

// Every process's loss depends on every process's x, so the backward pass takes the mean as well.
class MeanOverProcesses final : public Node {
 public:
  MeanOverProcesses(const at::Tensor& x, Group group)
      : Node(torch::autograd::collect_next_edges(x)), group_(std::move(group)) {}

  std::string name() const override { return "MeanOverProcesses"; }

  variable_list apply(variable_list&& gradients) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    TORCH_CHECK(!at::GradMode::is_enabled(), "the mean over processes has no second derivative");
    TORCH_CHECK(gradients[0].defined(), "the mean over processes needs a gradient in every process");
    return {mean_over(group_, gradients[0])};
  }

 private:
  Group group_;
};

c10::intrusive_ptr<c10d::Backend> gloo_backend(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                                               std::chrono::milliseconds timeout, const std::string& interface,
                                               const std::string& address) {
  using c10d::ProcessGroupGloo;
  auto options = ProcessGroupGloo::Options::create(timeout);
  const bool local = address == "localhost" || address == "127.0.0.1";
  if (!interface.empty()) {
    options->devices.push_back(ProcessGroupGloo::createDeviceForInterface(interface));
  } else if (local) {
    options->devices.push_back(ProcessGroupGloo::createDeviceForHostname("127.0.0.1"));
  } else {
    options->devices.push_back(ProcessGroupGloo::createDefaultDevice());
  }
  return c10::make_intrusive<ProcessGroupGloo>(store, rank, size, options);
}

}  // namespace

namespace vidtok {

struct ProcessGroup {
  Group group;
};

struct GradientReducer {
  c10d::Reducer reducer;
};

// Where the processes meet: a store that one of them, or their launcher, serves.
struct Rendezvous {
  const char* address;
  uint16_t port;
  bool serves;
  // The prefix of this group's keys in the store.
  const char* prefix;
  // The name of a network interface, or empty.
  const char* interface;
};

}  // namespace vidtok

extern "C" {

char* vidtok_process_group_connect(const vidtok::Rendezvous* at, int rank, int size, uint64_t timeout_ms, bool cuda,
                                   vidtok::ProcessGroup** out) {
  return vidtok::guarded([&] {
    const std::chrono::milliseconds timeout(timeout_ms);
    c10d::TCPStoreOptions options;
    options.port = at->port;
    options.isServer = at->serves;
    options.timeout = timeout;
    // The server need not wait for the others: late processes find the entries in the store.
    options.waitWorkers = false;
    c10::intrusive_ptr<c10d::Store> store = c10::make_intrusive<c10d::TCPStore>(at->address, options);
    store = c10::make_intrusive<c10d::PrefixStore>(at->prefix, store);
    Group group = c10::make_intrusive<c10d::ProcessGroup>(store, rank, size);
    const auto type = c10d::ProcessGroup::BackendType::GLOO;
    const auto cpu = gloo_backend(c10::make_intrusive<c10d::PrefixStore>("gloo", store), rank, size, timeout,
                                  at->interface, at->address);
    cpu->setSequenceNumberForGroup();
    group->setBackend(c10::DeviceType::CPU, type, cpu);
    group->setDefaultBackend(type);
    if (cuda) {
      const auto of_nccl = c10::make_intrusive<c10d::PrefixStore>("nccl", store);
      group->setBackend(c10::DeviceType::CUDA, c10d::ProcessGroup::BackendType::NCCL,
                        vidtok::nccl_backend(of_nccl, rank, size, timeout));
      group->setDefaultBackend(c10d::ProcessGroup::BackendType::NCCL);
    }
    *out = new vidtok::ProcessGroup{group};
  });
}

void vidtok_process_group_release(vidtok::ProcessGroup* group) {
  // Without it, NCCL warns at the end of the program, and its threads may still use the group.
  vidtok_message_release(vidtok::guarded([&] { group->group->shutdown(); }));
  vidtok_message_release(vidtok::guarded([&] { delete group; }));
}

char* vidtok_broadcast(const vidtok::ProcessGroup* group, const at::Tensor* x) {
  return vidtok::guarded([&] {
    const at::NoGradGuard no_gradients;
    std::vector<at::Tensor> sent{x->detach().contiguous()};
    group->group->broadcast(sent)->wait();
    if (!sent[0].is_alias_of(*x)) {
      x->detach().copy_(sent[0]);
    }
  });
}

char* vidtok_mean_over_processes(const vidtok::ProcessGroup* group, const at::Tensor* x, at::Tensor** out) {
  return vidtok::guarded([&] {
    at::Tensor mean = mean_over(group->group, *x);
    if (at::GradMode::is_enabled() && x->requires_grad()) {
      torch::autograd::set_history(mean, std::make_shared<MeanOverProcesses>(*x, group->group));
    }
    *out = new at::Tensor(mean);
  });
}

char* vidtok_gradient_reducer_new(const vidtok::ProcessGroup* group, at::Tensor* const* parameters, size_t count,
                                  vidtok::GradientReducer** out) {
  return vidtok::guarded([&] {
    std::vector<at::Tensor> all;
    for (size_t i = 0; i < count; ++i) {
      all.push_back(*parameters[i]);
    }
    c10d::verify_params_across_processes(group->group, all, std::nullopt);
    auto [buckets, limits] = c10d::compute_bucket_assignment_by_size(all, {kFirstBucketBytes, kBucketBytes});
    // Gradients arrive in about the reverse order of the parameters; after the first step the reducer knows the true
    // order. They are views of the buckets, which saves a copy.
    std::vector<std::vector<size_t>> reversed(buckets.rbegin(), buckets.rend());
    *out = new vidtok::GradientReducer{
        c10d::Reducer(all, reversed, group->group, std::vector<bool>(count, false), kBucketBytes,
                      /*find_unused_parameters=*/false, /*gradient_as_bucket_view=*/true, {}, kFirstBucketBytes,
                      /*skip_all_reduce_unused_params=*/false, /*use_python_reducer=*/false, {})};
  });
}

char* vidtok_gradient_reducer_prepare(vidtok::GradientReducer* reducer) {
  return vidtok::guarded([&] {
    c10d::Reducer& all = reducer->reducer;
    all.prepare_for_forward();
    // Once, in the order in which gradients arrived. Also checks that the last announced pass is complete.
    all.rebuild_buckets();
    all.prepare_for_backward({});
  });
}

void vidtok_gradient_reducer_release(vidtok::GradientReducer* reducer) {
  // The destructor may throw.
  vidtok_message_release(vidtok::guarded([&] { delete reducer; }));
}
}
