#include "norm_silu_kernel.h"

#include <cmath>
#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__)
#define VIDTOK_X86
#endif
#define VIDTOK_INLINE inline __attribute__((always_inline))

namespace vidtok {

namespace {

// e^x to about one unit in the last place, NaN for NaN; x is held in [-87, 88], where e^x is a normal number. The sum
// of the series up to x^7 / 7! for what is left of x after powers of two.
VIDTOK_INLINE float exponential(float x) {
  constexpr float kLog2E = 1.44269504f;
  // Their sum is ln 2; the first has few bits, so that its multiples are exact.
  constexpr float kLn2High = 0.693359375f;
  constexpr float kLn2Low = -2.12194440e-4f;
  // Adding it rounds to an integer, which then stands in the lowest bits.
  constexpr float kRound = 12582912.0f;
  x = x > 88.0f ? 88.0f : x;
  x = x < -87.0f ? -87.0f : x;
  const float rounded = x * kLog2E + kRound;
  const float power = rounded - kRound;
  const float rest = (x - power * kLn2High) - power * kLn2Low;
  float sum = 1.0f / 5040.0f;
  sum = sum * rest + 1.0f / 720.0f;
  sum = sum * rest + 1.0f / 120.0f;
  sum = sum * rest + 1.0f / 24.0f;
  sum = sum * rest + 1.0f / 6.0f;
  sum = sum * rest + 0.5f;
  sum = sum * rest + 1.0f;
  sum = sum * rest + 1.0f;
  uint32_t bits;
  std::memcpy(&bits, &rounded, sizeof(bits));
  bits = (bits << 23) + 0x3f800000u;
  float scale;
  std::memcpy(&scale, &bits, sizeof(scale));
  return sum * scale;
}

VIDTOK_INLINE float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

struct Moments {
  float mean;
  float rstd;
};

VIDTOK_INLINE Moments moments(const float* x, int64_t channels, float eps) {
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (int64_t c = 0; c < channels; ++c) {
    sum += x[c];
  }
  const float mean = sum / static_cast<float>(channels);
  float squares = 0.0f;
#pragma omp simd reduction(+ : squares)
  for (int64_t c = 0; c < channels; ++c) {
    squares += (x[c] - mean) * (x[c] - mean);
  }
  return {mean, 1.0f / std::sqrt(squares / static_cast<float>(channels) + eps)};
}

VIDTOK_INLINE void forward(const Norm& norm, const float* x, int64_t rows, float* y) {
  const auto [weight, bias, channels, eps] = norm;
  for (int64_t row = 0; row < rows; ++row, x += channels, y += channels) {
    const auto [mean, rstd] = moments(x, channels, eps);
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) {
      const float z = (x[c] - mean) * rstd * weight[c] + bias[c];
      y[c] = z * sigmoid(z);
    }
  }
}

VIDTOK_INLINE void backward(const Norm& norm, const float* x, const float* to_y, int64_t rows, float* to_x,
                            float* to_weight, float* to_bias) {
  const auto [weight, bias, channels, eps] = norm;
  for (int64_t row = 0; row < rows; ++row, x += channels, to_y += channels, to_x += channels) {
    const auto [mean, rstd] = moments(x, channels, eps);
    float sum = 0.0f;
    float projected = 0.0f;
#pragma omp simd reduction(+ : sum, projected)
    for (int64_t c = 0; c < channels; ++c) {
      const float normed = (x[c] - mean) * rstd;
      const float z = normed * weight[c] + bias[c];
      const float s = sigmoid(z);
      const float to_z = to_y[c] * s * (1.0f + z * (1.0f - s));
      to_weight[c] += to_z * normed;
      to_bias[c] += to_z;
      to_x[c] = to_z * weight[c];
      sum += to_x[c];
      projected += to_x[c] * normed;
    }
    // What the mean and the variance of the row take with them.
    sum /= static_cast<float>(channels);
    projected /= static_cast<float>(channels);
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) {
      to_x[c] = rstd * (to_x[c] - sum - (x[c] - mean) * rstd * projected);
    }
  }
}

// The loops above are plain: the compiler turns them into vectors, once for each set of instructions.
using Forward = void(const Norm&, const float*, int64_t, float*);
using Backward = void(const Norm&, const float*, const float*, int64_t, float*, float*, float*);

#define VIDTOK_KERNELS(set, attributes)                                                                            \
  attributes void forward_##set(const Norm& norm, const float* x, int64_t rows, float* y) {                        \
    forward(norm, x, rows, y);                                                                                     \
  }                                                                                                                \
  attributes void backward_##set(const Norm& norm, const float* x, const float* to_y, int64_t rows, float* to_x,   \
                                 float* to_weight, float* to_bias) {                                               \
    backward(norm, x, to_y, rows, to_x, to_weight, to_bias);                                                       \
  }

VIDTOK_KERNELS(common, )
#ifdef VIDTOK_X86
VIDTOK_KERNELS(avx2, __attribute__((target("avx2,fma"))))
VIDTOK_KERNELS(avx512, __attribute__((target("avx512f,avx512dq,avx512vl,fma"))))
#endif

struct Kernels {
  Forward* forward;
  Backward* backward;
};

// The best that this machine has.
const Kernels& kernels() {
  static const Kernels best = [] {
#ifdef VIDTOK_X86
    const bool fma = __builtin_cpu_supports("fma") != 0;
    const bool wide = __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (fma && wide && __builtin_cpu_supports("avx512f")) {
      return Kernels{forward_avx512, backward_avx512};
    }
    if (fma && __builtin_cpu_supports("avx2")) {
      return Kernels{forward_avx2, backward_avx2};
    }
#endif
    return Kernels{forward_common, backward_common};
  }();
  return best;
}

}  // namespace

void norm_silu_rows(const Norm& norm, const float* x, int64_t rows, float* y) {
  kernels().forward(norm, x, rows, y);
}

void norm_silu_rows_backward(const Norm& norm, const float* x, const float* to_y, int64_t rows, float* to_x,
                             float* to_weight, float* to_bias) {
  kernels().backward(norm, x, to_y, rows, to_x, to_weight, to_bias);
}

}  // namespace vidtok
