#include "convolution.h"

#include <algorithm>

#include "vector.h"

namespace vidtok {

namespace {

// Input and output channels of a tile, whose eight vectors of sums stay in registers.
constexpr int kWidth = 2 * kLanes;
constexpr int kHeight = 4;
// Positions whose values stay in the first cache while all taps and tiles read them.
constexpr int64_t kPositions = 64;

// sums[r][c] += grad_y[p][r] * x[p][c] over positions p.
template <int Height>
VIDTOK_INLINE void add_tile(const float* x, int64_t x_step, const float* grad_y, int64_t y_step, int64_t positions,
                            float* sums, int64_t sums_step) {
  Vector low[Height];
  Vector high[Height];
#pragma GCC unroll 4
  for (int r = 0; r < Height; ++r) {
    low[r] = load(sums + r * sums_step);
    high[r] = load(sums + r * sums_step + kLanes);
  }
  for (int64_t p = 0; p < positions; ++p, x += x_step, grad_y += y_step) {
    const Vector x_low = load(x);
    const Vector x_high = load(x + kLanes);
#pragma GCC unroll 4
    for (int r = 0; r < Height; ++r) {
      low[r] += grad_y[r] * x_low;
      high[r] += grad_y[r] * x_high;
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < Height; ++r) {
    store(sums + r * sums_step, low[r]);
    store(sums + r * sums_step + kLanes, high[r]);
  }
}

// One tap: sums [out, in] += transposed grad_y [positions, out] times x [positions, in].
VIDTOK_INLINE void add_tap(const ConvolutionShape& shape, const float* x, int64_t x_step, const float* grad_y,
                           int64_t positions, float* sums) {
  const int64_t in = shape.in;
  const int64_t out = shape.out;
  for (int64_t i = 0; i < in; i += kWidth) {
    int64_t o = 0;
    for (; o + kHeight <= out; o += kHeight) {
      add_tile<kHeight>(x + i, x_step, grad_y + o, out, positions, sums + o * in + i, in);
    }
    for (; o < out; ++o) {
      add_tile<1>(x + i, x_step, grad_y + o, out, positions, sums + o * in + i, in);
    }
  }
}

// A range of positions of y.
struct Range {
  int64_t begin;
  int64_t end;
};

// The part of a range whose source position, index * stride + offset, is in [0, size).
VIDTOK_INLINE Range inside(Range range, int64_t stride, int64_t offset, int64_t size) {
  const int64_t first = offset < 0 ? (-offset + stride - 1) / stride : 0;
  const int64_t last = offset < size ? (size - 1 - offset) / stride + 1 : 0;
  return {std::max(range.begin, first), std::min(range.end, last)};
}

}  // namespace

bool convolution_weight_gradient_wins(const ConvolutionShape& shape) {
  // With short rows and large kernels, reading and writing sums outweighs adding to them, and libtorch's blocks are
  // faster. On machines with AVX-512 the kernel was not measured, so libtorch's is taken.
  const bool is_known = has_vectors() && !has_wider_vectors();
  return is_known && shape.in % kWidth == 0 && shape.output[2] >= 16 && shape.weights() <= (1 << 19);
}

VIDTOK_AVX2
void convolution_weight_gradient(const ConvolutionShape& shape, const float* x, const float* grad_y, int64_t first,
                           int64_t rows, float* grad_weight) {
  const auto& [batch, in, out, input, output, kernel, stride, padding] = shape;
  for (int64_t row = first; row < first + rows; ++row) {
    const int64_t plane = row / output[1];
    const int64_t h = row % output[1] * stride[1] - padding[1];
    const int64_t d = plane % output[0] * stride[0] - padding[0];
    const int64_t clip = plane / output[0];
    const float* y_row = grad_y + row * output[2] * out;
    for (int64_t begin = 0; begin < output[2]; begin += kPositions) {
      const Range positions{begin, std::min(begin + kPositions, output[2])};
      float* sums = grad_weight;
      for (int64_t kd = 0; kd < kernel[0]; ++kd) {
        for (int64_t kh = 0; kh < kernel[1]; ++kh) {
          const bool exists = d + kd >= 0 && d + kd < input[0] && h + kh >= 0 && h + kh < input[1];
          const float* x_row = x + ((clip * input[0] + d + kd) * input[1] + h + kh) * input[2] * in;
          for (int64_t kw = 0; kw < kernel[2]; ++kw, sums += out * in) {
            const int64_t offset = kw - padding[2];
            const Range met = inside(positions, stride[2], offset, input[2]);
            if (exists && met.begin < met.end) {
              add_tap(shape, x_row + (met.begin * stride[2] + offset) * in, stride[2] * in, y_row + met.begin * out,
                      met.end - met.begin, sums);
            }
          }
        }
      }
    }
  }
}

}  // namespace vidtok
