// Settings of CUDA devices. All of it is in libtorch's CPU half, which asks the CUDA half, if that is loaded.
#include <ATen/Context.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <cstdint>

#include "status.h"

extern "C" {

// Makes a device the current one of this thread, and thus the one whose context libtorch makes.
char* vidtok_cuda_set_device(int8_t index) {
  return vidtok::guarded([&] {
    const c10::Device device(c10::DeviceType::CUDA, index);
    c10::impl::VirtualGuardImpl(device.type()).setDevice(device);
  });
}

// Whether products and convolutions of float32 on CUDA devices round their factors to TF32.
char* vidtok_cuda_use_tf32(bool tf32) {
  return vidtok::guarded([&] {
    const auto precision = tf32 ? at::Float32Precision::TF32 : at::Float32Precision::IEEE;
    for (const auto op : {at::Float32Op::CONV, at::Float32Op::MATMUL, at::Float32Op::RNN}) {
      at::globalContext().setFloat32Precision(at::Float32Backend::CUDA, op, precision);
    }
  });
}

// Whether operations on CUDA devices take deterministic implementations, where libtorch has them; others only warn.
char* vidtok_cuda_use_deterministic(bool deterministic) {
  return vidtok::guarded([&] {
    at::globalContext().setDeterministicCuDNN(deterministic);
    at::globalContext().setDeterministicAlgorithms(deterministic, /*warn_only=*/true);
  });
}

bool vidtok_cuda_uses_tf32() {
  return at::globalContext().float32Precision(at::Float32Backend::CUDA, at::Float32Op::CONV) ==
         at::Float32Precision::TF32;
}
}
