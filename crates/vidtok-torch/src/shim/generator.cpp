// The state of libtorch's default random generator on the CPU.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/Tensor.h>

#include <mutex>

#include "status.h"

extern "C" {

// Seeds the generator and returns the state it had before.
char* vidtok_generator_seed(int64_t seed, at::Tensor** before) {
  return vidtok::guarded([&] {
    auto generator = at::detail::getDefaultCPUGenerator();
    const std::lock_guard<std::mutex> lock(generator.mutex());
    auto state = generator.get_state();
    generator.set_current_seed(static_cast<uint64_t>(seed));
    *before = new at::Tensor(std::move(state));
  });
}

char* vidtok_generator_restore(const at::Tensor* state) {
  return vidtok::guarded([&] {
    auto generator = at::detail::getDefaultCPUGenerator();
    const std::lock_guard<std::mutex> lock(generator.mutex());
    generator.set_state(*state);
  });
}
}
