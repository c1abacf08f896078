// Layer normalisation and SiLU over rows of float32 in CPU memory. Each row is read once and written once.
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

// From the gradient of y, writes the gradient of x and adds those of weight and bias.
void norm_silu_rows_backward(const Norm& norm, const float* x, const float* grad_y, int64_t rows, float* grad_x,
                             float* grad_weight, float* grad_bias);

}  // namespace vidtok
