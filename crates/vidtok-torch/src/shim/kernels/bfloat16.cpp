#include "bfloat16.h"

#include <cstring>

#include "each_set.h"

namespace vidtok {

VIDTOK_FOR_EACH_SET void widen(const uint16_t* from, int64_t count, float* to) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t bits = static_cast<uint32_t>(from[i]) << 16;
    std::memcpy(&to[i], &bits, sizeof(bits));
  }
}

VIDTOK_FOR_EACH_SET void narrow(const float* from, int64_t count, uint16_t* to) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    uint32_t bits;
    std::memcpy(&bits, &from[i], sizeof(bits));
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    to[i] = static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : rounded);
  }
}

}  // namespace vidtok
