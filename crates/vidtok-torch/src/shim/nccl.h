// NCCL's process group of libtorch's CUDA half.
#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <chrono>

namespace vidtok {

// A backend of c10d for CUDA tensors. libtorch's CUDA half must be open.
c10::intrusive_ptr<c10d::Backend> nccl_backend(c10::intrusive_ptr<c10d::Store> store, int rank, int size,
                                               std::chrono::milliseconds timeout);

}  // namespace vidtok
