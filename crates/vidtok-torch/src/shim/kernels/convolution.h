// The gradient of a convolution's weight, for float32 channels-last activations in CPU memory.
//
// oneDNN's kernel (jit:avx2) reads channels in blocks and reaches a third of the machine's speed if they are few. Here
// each tap is a product of two matrices [positions, channels] in place.
#pragma once

#include <array>
#include <cstdint>

namespace vidtok {

// x [batch, input..., in], y [batch, output..., out], kernel [kernel..., out, in].
struct ConvolutionShape {
  using Axes = std::array<int64_t, 3>;
  int64_t batch;
  int64_t in;
  int64_t out;
  Axes input;
  Axes output;
  Axes kernel;
  Axes stride;
  Axes padding;

  // Rows of y.
  int64_t rows() const { return batch * output[0] * output[1]; }
  int64_t weights() const { return kernel[0] * kernel[1] * kernel[2] * out * in; }
};

// Whether this machine has the instructions, and the kernel is faster than libtorch's for the shape.
bool convolution_weight_gradient_wins(const ConvolutionShape& shape);

// Adds to `grad_weight` [kernel..., out, in] the share of `rows` rows of y from `first` on.
void convolution_weight_gradient(const ConvolutionShape& shape, const float* x, const float* grad_y, int64_t first,
                           int64_t rows, float* grad_weight);

}  // namespace vidtok
