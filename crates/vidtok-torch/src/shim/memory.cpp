#include <c10/core/CachingDeviceAllocator.h>

#include <cstdint>
#include <cstdlib>

#include "status.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

extern "C" void vidtok_keep_freed_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 0x7fffffff);
  mallopt(M_TOP_PAD, 64 << 20);
#endif
}

extern "C" void vidtok_return_freed_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 128 << 10);
#endif
}

// Bytes that a CUDA device has free.
extern "C" char* vidtok_cuda_free_memory(int8_t index, uint64_t* bytes) {
  return vidtok::guarded(
      [&] { *bytes = c10::getDeviceAllocator(c10::DeviceType::CUDA)->getMemoryInfo(index).first; });
}
