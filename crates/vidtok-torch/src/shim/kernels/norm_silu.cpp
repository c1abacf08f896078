#include "norm_silu.h"

#include <cmath>
#include <cstring>
#include <type_traits>

#if defined(__x86_64__) && defined(__GNUC__)
#define VIDTOK_X86
#endif
#define VIDTOK_INLINE inline __attribute__((always_inline))

namespace vidtok {

namespace {

// Values that are computed side by side. The exponential is a chain of dependent operations that is longer than the
// processor looks ahead, so each operation is written for many values at once.
constexpr int kTogether = 32;

// e^x to about one unit in the last place, NaN for NaN. x is clamped to [-87, 88], where e^x is a normal number. A
// power of two times the series up to r^7 / 7! of the remainder r.
template <int Count>
VIDTOK_INLINE void exponentials(const float (&x)[Count], float (&y)[Count]) {
  constexpr float kLog2E = 1.44269504f;
  // Their sum is ln 2. The first has few bits, so its multiples are exact.
  constexpr float kLn2High = 0.693359375f;
  constexpr float kLn2Low = -2.12194440e-4f;
  // Adding it rounds to an integer in the lowest bits.
  constexpr float kRound = 12582912.0f;
  constexpr float kSeries[] = {1.0f / 720.0f, 1.0f / 120.0f, 1.0f / 24.0f, 1.0f / 6.0f, 0.5f, 1.0f, 1.0f};
  float rest[Count], scale[Count], sum[Count];
#pragma omp simd
  for (int i = 0; i < Count; ++i) {
    float held = x[i] > 88.0f ? 88.0f : x[i];
    held = held < -87.0f ? -87.0f : held;
    const float rounded = held * kLog2E + kRound;
    const float power = rounded - kRound;
    rest[i] = (held - power * kLn2High) - power * kLn2Low;
    uint32_t bits;
    std::memcpy(&bits, &rounded, sizeof(bits));
    bits = (bits << 23) + 0x3f800000u;
    std::memcpy(&scale[i], &bits, sizeof(bits));
    sum[i] = 1.0f / 5040.0f;
  }
  for (const float term : kSeries) {
#pragma omp simd
    for (int i = 0; i < Count; ++i) {
      sum[i] = sum[i] * rest[i] + term;
    }
  }
#pragma omp simd
  for (int i = 0; i < Count; ++i) {
    y[i] = sum[i] * scale[i];
  }
}

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

// `Count` values of a row from channel c on: normalised, then scaled and shifted (z), and e^-z.
template <int Count>
struct Part {
  float normed[Count];
  float z[Count];
  float exponential[Count];

  VIDTOK_INLINE Part(const Norm& norm, const Moments& moments, const float* x, int64_t c) {
    const auto [mean, rstd] = moments;
    float minus[Count];
#pragma omp simd
    for (int i = 0; i < Count; ++i) {
      normed[i] = (x[c + i] - mean) * rstd;
      z[i] = normed[i] * norm.weight[c + i] + norm.bias[c + i];
      minus[i] = -z[i];
    }
    exponentials(minus, exponential);
  }
};

// Calls `work` with a number of channels and the first of them, until all channels are done.
template <class Work>
VIDTOK_INLINE void over_parts(int64_t channels, Work&& work) {
  int64_t c = 0;
  for (; c + kTogether <= channels; c += kTogether) {
    work(std::integral_constant<int, kTogether>(), c);
  }
  for (; c + kTogether / 2 <= channels; c += kTogether / 2) {
    work(std::integral_constant<int, kTogether / 2>(), c);
  }
  for (; c < channels; ++c) {
    work(std::integral_constant<int, 1>(), c);
  }
}

VIDTOK_INLINE void forward(const Norm& norm, const float* x, int64_t rows, float* y) {
  const int64_t channels = norm.channels;
  for (int64_t row = 0; row < rows; ++row, x += channels, y += channels) {
    const Moments found = moments(x, channels, norm.eps);
    over_parts(channels, [&](auto count, int64_t c) __attribute__((always_inline)) {
      const Part<count> part(norm, found, x, c);
#pragma omp simd
      for (int i = 0; i < count; ++i) {
        y[c + i] = part.z[i] / (1.0f + part.exponential[i]);
      }
    });
  }
}

VIDTOK_INLINE void backward(const Norm& norm, const float* x, const float* grad_y, int64_t rows, float* grad_x,
                            float* grad_weight, float* grad_bias) {
  const int64_t channels = norm.channels;
  for (int64_t row = 0; row < rows; ++row, x += channels, grad_y += channels, grad_x += channels) {
    const Moments found = moments(x, channels, norm.eps);
    float sum = 0.0f;
    float projected = 0.0f;
    over_parts(channels, [&](auto count, int64_t c) __attribute__((always_inline)) {
      const Part<count> part(norm, found, x, c);
#pragma omp simd reduction(+ : sum, projected)
      for (int i = 0; i < count; ++i) {
        const float s = 1.0f / (1.0f + part.exponential[i]);
        const float grad_z = grad_y[c + i] * s * (1.0f + part.z[i] * (1.0f - s));
        grad_weight[c + i] += grad_z * part.normed[i];
        grad_bias[c + i] += grad_z;
        grad_x[c + i] = grad_z * norm.weight[c + i];
        sum += grad_x[c + i];
        projected += grad_x[c + i] * part.normed[i];
      }
    });
    // The gradient through the mean and the variance of the row.
    sum /= static_cast<float>(channels);
    projected /= static_cast<float>(channels);
    const auto [mean, rstd] = found;
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) {
      grad_x[c] = rstd * (grad_x[c] - sum - (x[c] - mean) * rstd * projected);
    }
  }
}

// The compiler vectorises the loops above, once for each instruction set.
using Forward = void(const Norm&, const float*, int64_t, float*);
using Backward = void(const Norm&, const float*, const float*, int64_t, float*, float*, float*);

#define VIDTOK_KERNELS(set, attributes)                                                                         \
  attributes void forward_##set(const Norm& norm, const float* x, int64_t rows, float* y) {                     \
    forward(norm, x, rows, y);                                                                                  \
  }                                                                                                             \
  attributes void backward_##set(const Norm& norm, const float* x, const float* grad_y, int64_t rows,           \
                                 float* grad_x, float* grad_weight, float* grad_bias) {                         \
    backward(norm, x, grad_y, rows, grad_x, grad_weight, grad_bias);                                            \
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

// The kernels for the best instruction set of this machine.
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

void norm_silu_rows_backward(const Norm& norm, const float* x, const float* grad_y, int64_t rows, float* grad_x,
                             float* grad_weight, float* grad_bias) {
  kernels().backward(norm, x, grad_y, rows, grad_x, grad_weight, grad_bias);
}

}  // namespace vidtok
