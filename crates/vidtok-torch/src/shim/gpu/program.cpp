#include "program.h"

#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>

#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "../loaded_function.h"
#include "../status.h"
#include "gpu_kernel_sources.h"

namespace vidtok::gpu {

namespace {

// Types of NVRTC and of the driver (CUDA Driver API, "Module Management" and "Execution Control"). Results are 0 for success.
using NvrtcProgram = void*;
using Module = void*;
using Function = void*;
using Result = int;

constexpr const char* kNoCompiler = "CUDA's run-time compiler is not loaded";
constexpr const char* kNoDriver = "NVIDIA's driver is not loaded";

template <class F>
F* of_compiler(const char* name) {
  return loaded_function<F>(name, kNoCompiler);
}

template <class F>
F* of_driver(const char* name) {
  return loaded_function<F>(name, kNoDriver);
}

// Text that NVRTC returns in two calls, its size and the bytes.
std::string text(NvrtcProgram program, const char* size_name, const char* text_name) {
  size_t size = 0;
  of_compiler<Result(NvrtcProgram, size_t*)>(size_name)(program, &size);
  std::string found(size, '\0');
  of_compiler<Result(NvrtcProgram, char*)>(text_name)(program, found.data());
  return found;
}

// "sm_90" for a device of compute capability 9.0.
std::string architecture(c10::Device device) {
  constexpr int kMajor = 75;
  constexpr int kMinor = 76;
  const auto get = of_driver<Result(int*, int, int)>("cuDeviceGetAttribute");
  int major = 0;
  int minor = 0;
  TORCH_CHECK(get(&major, kMajor, device.index()) == 0 && get(&minor, kMinor, device.index()) == 0,
              "the driver does not know ", device);
  return "sm_" + std::to_string(major) + std::to_string(minor);
}

}  // namespace

Kernel::Kernel(const std::string& source, c10::Device device) : device_(device) {
  const c10::DeviceGuard guard(device);
  const std::string code = compile(source, architecture(device)).code;
  // Makes the device's context current, in which the module is loaded.
  TORCH_CHECK(of_driver<Result(int)>("cudaSetDevice")(device.index()) == 0, "CUDA cannot use ", device);
  Module module = nullptr;
  TORCH_CHECK(of_driver<Result(Module*, const void*)>("cuModuleLoadData")(&module, code.data()) == 0,
              "the driver does not load a kernel for ", device);
  TORCH_CHECK(of_driver<Result(Function*, Module, const char*)>("cuModuleGetFunction")(&function_, module, "kernel") == 0,
              "the driver does not find the kernel");
}

void Kernel::launch(int64_t blocks, int64_t rows_of_blocks, const void* call) const {
  using Launch = Result(Function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**,
                        void**);
  const c10::DeviceGuard guard(device_);
  void* stream = c10::impl::VirtualGuardImpl(device_.type()).getStream(device_).native_handle();
  void* arguments[] = {const_cast<void*>(call)};
  const Result result =
      of_driver<Launch>("cuLaunchKernel")(function_, static_cast<unsigned>(blocks), static_cast<unsigned>(rows_of_blocks),
                                          1, kThreads, 1, 1, /*shared memory*/ 0, stream, arguments, nullptr);
  TORCH_CHECK(result == 0, "a kernel does not start on ", device_, ": error ", result, " of the driver");
}

Compiled compile(const std::string& source, const std::string& architecture) {
  std::vector<const char*> names;
  std::vector<const char*> texts;
  for (const KernelSource& header : kKernelSources) {
    names.push_back(header.name);
    texts.push_back(header.text);
  }
  NvrtcProgram program = nullptr;
  const auto create = of_compiler<Result(NvrtcProgram*, const char*, const char*, int, const char* const*, const char* const*)>(
      "nvrtcCreateProgram");
  TORCH_CHECK(create(&program, source.c_str(), "kernel.cu", static_cast<int>(names.size()), texts.data(), names.data()) == 0,
              "CUDA's run-time compiler does not take a source");
  const auto release = [](NvrtcProgram program) {
    of_compiler<Result(NvrtcProgram*)>("nvrtcDestroyProgram")(&program);
  };
  const std::unique_ptr<void, decltype(release)> owner(program, release);
  const std::string target = "--gpu-architecture=" + architecture;
  const char* options[] = {target.c_str(), "--std=c++17", "-default-device", "--ptxas-options=-v"};
  const auto run = of_compiler<Result(NvrtcProgram, int, const char* const*)>("nvrtcCompileProgram");
  const Result result = run(program, std::size(options), options);
  std::string log = text(program, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog");
  TORCH_CHECK(result == 0, "CUDA's run-time compiler fails for ", architecture, ": ", log);
  return {text(program, "nvrtcGetCUBINSize", "nvrtcGetCUBIN"), std::move(log)};
}

std::string kernel_source(const std::string& header, const std::string& call, const std::string& function) {
  return "#include \"" + header + "\"\nextern \"C\" __global__ void __launch_bounds__(" + std::to_string(kThreads) + ", 1" +
         ") kernel(" + call + " call) {\n  const int64_t warp = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) / 32;\n  " +
         function + "(call, blockIdx.y, warp, int64_t(gridDim.x) * blockDim.x / 32);\n}\n";
}

const Kernel* kernel(const std::string& source, c10::Device device) {
  static std::mutex mutex;
  static std::map<std::pair<c10::DeviceIndex, std::string>, std::unique_ptr<Kernel>> kernels;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto [entry, is_new] = kernels.try_emplace({device.index(), source});
  if (is_new) {
    try {
      entry->second = std::make_unique<Kernel>(source, device);
    } catch (const c10::Error& error) {
      TORCH_WARN_ONCE("VidTok's GPU kernels are not used: ", error.what_without_backtrace());
    }
  }
  return entry->second.get();
}

}  // namespace vidtok::gpu

// Compiles one instance of a kernel, and says in `log` what the compiler says.
extern "C" char* vidtok_gpu_compile(const char* header, const char* call, const char* function, const char* architecture,
                                    char** log) {
  return vidtok::guarded([&] {
    const std::string source = vidtok::gpu::kernel_source(header, call, function);
    *log = vidtok::message(vidtok::gpu::compile(source, architecture).log.c_str());
    TORCH_CHECK(*log != nullptr, "out of memory");
  });
}
