// Kernels for GPUs, compiled at run time by NVIDIA's compiler (NVRTC) and launched through the driver. Both libraries are
// there once `use_cuda` has opened them; nothing here needs them to compile or to link.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <string>

namespace vidtok::gpu {

// Machine code, and what the compiler says of its registers and spills.
struct Compiled {
  std::string code;
  std::string log;
};

// Compiles `source`, which may include the headers of `kernels`, for an architecture such as "sm_90".
Compiled compile(const std::string& source, const std::string& architecture);

// The source of an `extern "C"` kernel of blocks of `kThreads` threads, which calls `function(call, row of blocks,
// warp, warps of that row)` with arguments of the type `call`, both of a header of `kernels`.
std::string kernel_source(const std::string& header, const std::string& call, const std::string& function);

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;

// A kernel that is loaded on a device, where it stays until the process ends.
class Kernel {
 public:
  // Compiles and loads a source.
  Kernel(const std::string& source, c10::Device device);

  // Launches it on the current stream of its device. `call` points to the arguments.
  void launch(int64_t blocks, int64_t rows_of_blocks, const void* call) const;

 private:
  c10::Device device_;
  void* function_ = nullptr;
};

// The kernel of a source on a device, made at its first use in this process. Null if that fails, after one warning: the
// caller then takes libtorch's operations.
const Kernel* kernel(const std::string& source, c10::Device device);

}  // namespace vidtok::gpu
