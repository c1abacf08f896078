// What kernels for GPUs are written in. Two compilers read the same source: NVIDIA's, at run time, makes the kernels of a
// GPU, where the 32 lanes of a warp are threads. The C++ compiler makes functions for tests on the CPU, where the lanes
// are turns of a loop. Between two sums over lanes each lane sees only its own values, so both compute the same numbers in
// the same order, up to the precision of elementary functions.
#pragma once

#ifdef __CUDACC__
using int64_t = long long;
using uint16_t = unsigned short;
using uint32_t = unsigned int;
#else
#include <c10/util/Half.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#endif

namespace simt {

constexpr int kLanes = 32;

// `N` values of each lane.
template <int N>
class PerLane {
 public:
#ifdef __CUDACC__
  float* operator[](int) { return values_; }

 private:
  float values_[N];
#else
  float* operator[](int lane) { return values_[lane]; }

 private:
  float values_[kLanes][N];
#endif
};

// Calls body(lane) for each lane of a warp.
template <class Body>
void each_lane(const Body& body) {
#ifdef __CUDACC__
  body(static_cast<int>(threadIdx.x % kLanes));
#else
  for (int lane = 0; lane < kLanes; ++lane) {
    body(lane);
  }
#endif
}

// Adds to each lane's value that of the lane whose number differs in the bit `step`.
inline void add_of_other_lane(PerLane<1>& value, int step) {
#ifdef __CUDACC__
  value[0][0] += __shfl_xor_sync(0xffffffffu, value[0][0], step);
#else
  float before[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) {
    before[lane] = value[lane][0];
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    value[lane][0] += before[lane ^ step];
  }
#endif
}

// Sums over groups of `Width` neighbouring lanes, a power of two. Each lane gets the sum of its group.
template <int Width>
void sum_over_lanes(PerLane<1>& value) {
#pragma unroll
  for (int step = Width / 2; step > 0; step /= 2) {
    add_of_other_lane(value, step);
  }
}

// Values as they lie in memory.
struct Bfloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

#ifdef __CUDACC__

inline float widen(float value) { return value; }
inline float widen(Bfloat16 value) { return __uint_as_float(static_cast<uint32_t>(value.bits) << 16); }
inline float widen(Float16 value) {
  float wide;
  asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(value.bits));
  return wide;
}

inline void narrow(float value, float& to) { to = value; }
inline void narrow(float value, Bfloat16& to) { asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(to.bits) : "f"(value)); }
inline void narrow(float value, Float16& to) { asm("cvt.rn.f16.f32 %0, %1;" : "=h"(to.bits) : "f"(value)); }

inline float reciprocal_root(float x) { return rsqrtf(x); }

// sigmoid(x), which is 0 for the most negative x. Values that are rounded to half precision need no more precision.
template <class T>
float sigmoid(float x) {
  return sizeof(T) == 4 ? 1.0f / (1.0f + expf(-x)) : __fdividef(1.0f, 1.0f + __expf(-x));
}

// 16 bytes, which a lane reads or writes at once.
struct alignas(16) Packet {
  uint32_t words[4];
};

#else

inline float widen(float value) { return value; }
inline float widen(Bfloat16 value) {
  const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
  float wide;
  std::memcpy(&wide, &bits, sizeof(wide));
  return wide;
}
inline float widen(Float16 value) { return c10::detail::fp16_ieee_to_fp32_value(value.bits); }

inline void narrow(float value, float& to) { to = value; }
inline void narrow(float value, Bfloat16& to) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  to.bits = static_cast<uint16_t>(std::isnan(value) ? 0x7fffu : rounded);
}
inline void narrow(float value, Float16& to) { to.bits = c10::detail::fp16_ieee_from_fp32_value(value); }

inline float reciprocal_root(float x) { return 1.0f / std::sqrt(x); }

template <class T>
float sigmoid(float x) {
  return 1.0f / (1.0f + std::exp(-x));
}

struct Packet {
  uint32_t words[4];
};

#endif

// Values of consecutive channels that a lane handles together.
constexpr int kTogether = 8;

// The values of a packet.
template <class T>
union Packed {
  static constexpr int kValues = sizeof(Packet) / sizeof(T);
  Packet packet;
  T values[kValues];
};

// The `kTogether` values at `from`, which is aligned to 16 bytes, widened.
template <class T>
void load(const T* from, float* to) {
#pragma unroll
  for (int first = 0; first < kTogether; first += Packed<T>::kValues) {
    Packed<T> read;
    read.packet = *reinterpret_cast<const Packet*>(from + first);
#pragma unroll
    for (int i = 0; i < Packed<T>::kValues; ++i) {
      to[first + i] = widen(read.values[i]);
    }
  }
}

// Rounds `kTogether` values and writes them to `to`, which is aligned to 16 bytes.
template <class T>
void store(const float* from, T* to) {
#pragma unroll
  for (int first = 0; first < kTogether; first += Packed<T>::kValues) {
    Packed<T> written;
#pragma unroll
    for (int i = 0; i < Packed<T>::kValues; ++i) {
      narrow(from[first + i], written.values[i]);
    }
    *reinterpret_cast<Packet*>(to + first) = written.packet;
  }
}

}  // namespace simt
