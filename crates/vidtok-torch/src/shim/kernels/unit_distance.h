// The distance of vectors of unit length, over rows of float32 in CPU memory.
#pragma once

#include <cstdint>

namespace vidtok {

// The sum over rows and channels c of weight_c (x_c / |x| - y_c / |y|)^2. A row of zeros stays zero.
double unit_distance_rows(const float* weight, int64_t channels, const float* x, const float* y, int64_t rows);

// Writes the gradient of `scale` times that sum by y.
void unit_distance_rows_backward(const float* weight, int64_t channels, const float* x, const float* y, int64_t rows,
                                 float scale, float* grad_y);

}  // namespace vidtok
