// Layer normalisation and SiLU over rows of float32 in memory of the CPU: each row is read once and written once.
#pragma once

#include <cstdint>

namespace vidtok {

// Rows of `channels` values, scaled and shifted by `weight` and `bias` after normalisation.
struct Norm {
  const float* weight;
  const float* bias;
  int64_t channels;
  float eps;
};

// y = silu(norm(x)) for `rows` rows.
void norm_silu_rows(const Norm& norm, const float* x, int64_t rows, float* y);

// Writes the gradient to x, and adds those to weight and bias, from that to y.
void norm_silu_rows_backward(const Norm& norm, const float* x, const float* to_y, int64_t rows, float* to_x,
                             float* to_weight, float* to_bias);

}  // namespace vidtok
