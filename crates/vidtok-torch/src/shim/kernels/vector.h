// Vectors of eight float32. In functions marked VIDTOK_AVX2 the compiler turns them into AVX2 instructions.
#pragma once

#include <cstdint>

#define VIDTOK_INLINE inline __attribute__((always_inline))
#if defined(__x86_64__) && defined(__GNUC__)
#define VIDTOK_AVX2 __attribute__((target("avx2,fma")))
#else
#define VIDTOK_AVX2
#endif

// A function of its own, so that the compiler allocates registers for its loops alone.
#if defined(__GNUC__)
#define VIDTOK_AVX2_STAGE VIDTOK_AVX2 __attribute__((noinline))
#else
#define VIDTOK_AVX2_STAGE VIDTOK_AVX2
#endif

namespace vidtok {

constexpr int kLanes = 8;

// May lie at any address.
typedef float Vector __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));

// Whether this machine has AVX2.
inline bool has_vectors() {
#if defined(__x86_64__) && defined(__GNUC__)
  static const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return has;
#else
  return false;
#endif
}

// Whether this machine has AVX-512, which oneDNN and MKL use.
inline bool has_wider_vectors() {
#if defined(__x86_64__) && defined(__GNUC__)
  static const bool has = __builtin_cpu_supports("avx512f");
  return has;
#else
  return false;
#endif
}

VIDTOK_INLINE Vector load(const float* from) { return *reinterpret_cast<const Vector*>(from); }
VIDTOK_INLINE void store(float* to, Vector value) { *reinterpret_cast<Vector*>(to) = value; }

}  // namespace vidtok
