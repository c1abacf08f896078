// libtorch's conversions between tensors and DLPack, which share memory. Null means failure.
#include <ATen/DLConvertor.h>
#include <ATen/core/Tensor.h>

extern "C" {

// A new DLManagedTensor, which its receiver deletes by its own deleter.
void* vidtok_py_to_dlpack(const at::Tensor* tensor) noexcept {
  try {
    return at::toDLPack(*tensor);
  } catch (...) {
    return nullptr;
  }
}

// Takes the DLManagedTensor over, if it succeeds.
at::Tensor* vidtok_py_from_dlpack(void* managed) noexcept {
  try {
    return new at::Tensor(at::fromDLPack(static_cast<DLManagedTensor*>(managed)));
  } catch (...) {
    return nullptr;
  }
}

void vidtok_py_delete_dlpack(void* managed) noexcept {
  auto* tensor = static_cast<DLManagedTensor*>(managed);
  if (tensor != nullptr && tensor->deleter != nullptr) {
    tensor->deleter(tensor);
  }
}
}
