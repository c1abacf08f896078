#include "unit_distance.h"

#include <cmath>

#include "each_set.h"

#define VIDTOK_INLINE inline __attribute__((always_inline))

namespace vidtok {

namespace {

// Stands under the root, so that the gradient is finite at zero.
constexpr float kEpsSquared = 1e-20f;

VIDTOK_INLINE float reciprocal_length(const float* x, int64_t channels) {
  float squares = 0.0f;
#pragma omp simd reduction(+ : squares)
  for (int64_t c = 0; c < channels; ++c) {
    squares += x[c] * x[c];
  }
  return 1.0f / std::sqrt(squares + kEpsSquared);
}

}  // namespace

VIDTOK_FOR_EACH_SET
double unit_distance_rows(const float* weight, int64_t channels, const float* x, const float* y, int64_t rows) {
  double total = 0.0;
  for (int64_t row = 0; row < rows; ++row, x += channels, y += channels) {
    const float x_scale = reciprocal_length(x, channels);
    const float y_scale = reciprocal_length(y, channels);
    // Scaled once only after the difference: whether or not the compiler fuses operations, equal rows differ by zero.
    const float ratio = y_scale / x_scale;
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < channels; ++c) {
      const float difference = (x[c] - y[c] * ratio) * x_scale;
      sum += weight[c] * difference * difference;
    }
    total += sum;
  }
  return total;
}

VIDTOK_FOR_EACH_SET
void unit_distance_rows_backward(const float* weight, int64_t channels, const float* x, const float* y, int64_t rows,
                                 float scale, float* grad_y) {
  for (int64_t row = 0; row < rows; ++row, x += channels, y += channels, grad_y += channels) {
    const float x_scale = reciprocal_length(x, channels);
    const float y_scale = reciprocal_length(y, channels);
    const float ratio = x_scale / y_scale;
    float projected = 0.0f;
#pragma omp simd reduction(+ : projected)
    for (int64_t c = 0; c < channels; ++c) {
      // The gradient by the unit vector, of which only the part across that vector changes the distance.
      grad_y[c] = 2.0f * scale * weight[c] * (y[c] - x[c] * ratio) * y_scale;
      projected += grad_y[c] * y[c] * y_scale;
    }
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) {
      grad_y[c] = y_scale * (grad_y[c] - projected * y[c] * y_scale);
    }
  }
}

}  // namespace vidtok
