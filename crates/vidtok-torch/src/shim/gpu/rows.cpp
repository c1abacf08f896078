#include "rows.h"

#include <algorithm>
#include <string>

#include "kernels/rows.h"

namespace vidtok::gpu {

namespace {

const char* type_name(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return "float";
    case at::kBFloat16:
      return "simt::Bfloat16";
    case at::kHalf:
      return "simt::Float16";
    default:
      return nullptr;
  }
}

}  // namespace

bool is_readable(const at::Tensor& tensor) {
  return tensor.is_cuda() && tensor.layout() == at::kStrided && tensor.is_contiguous() && !tensor.is_neg() &&
         !tensor._is_zerotensor() && type_name(tensor) != nullptr &&
         reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % sizeof(simt::Packet) == 0;
}

const Kernel* find(const char* header, const char* call, const char* function, const at::Tensor& x,
                   at::TensorList parameters) {
  const int64_t channels = x.size(-1);
  const at::Tensor& first = parameters[0];
  const bool fits = std::all_of(parameters.begin(), parameters.end(), [&](const at::Tensor& parameter) {
    return !parameter.defined() || (is_readable(parameter) && parameter.scalar_type() == first.scalar_type());
  });
  if (!fits || !is_readable(x) || x.numel() == 0 || channels % simt::kTogether != 0 || channels > simt::kMostChannels) {
    return nullptr;
  }
  const std::string of_types = std::string(function) + "<" + std::to_string(channels) + ", " + type_name(x) + ", " +
                               type_name(first) + ">";
  return kernel(kernel_source(header, call, of_types), x.device());
}

const void* address(const at::Tensor& tensor) { return tensor.defined() ? tensor.const_data_ptr() : nullptr; }

int64_t blocks(int64_t rows, int64_t of_warp, int64_t most) {
  const int64_t of_block = of_warp * kWarps;
  return std::clamp<int64_t>((rows + of_block - 1) / of_block, 1, most);
}

}  // namespace vidtok::gpu
