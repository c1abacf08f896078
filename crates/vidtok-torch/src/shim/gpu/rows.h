// What our kernels over rows of channels need on the host: which tensors they read, and how many blocks they take.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "program.h"

namespace vidtok::gpu {

// More blocks than any GPU runs at once. Each goes on with later rows.
constexpr int64_t kMostBlocks = 4096;

// Whether the kernels read a tensor: contiguous, in the memory of a GPU, of one of their types, at an aligned address.
bool is_readable(const at::Tensor& tensor);

// The kernel `function` of a header for x [..., c] and parameters [c] of one type, of which some may be undefined. Null
// where it does not run: for channels that are not a multiple of 8 or more than 1024, or without NVRTC.
const Kernel* find(const char* header, const char* call, const char* function, const at::Tensor& x, at::TensorList parameters);

// The address of a tensor's values, or null if it is undefined.
const void* address(const at::Tensor& tensor);

// Blocks for `rows` rows, of which a warp has at least `of_warp`.
int64_t blocks(int64_t rows, int64_t of_warp, int64_t most = kMostBlocks);

}  // namespace vidtok::gpu
