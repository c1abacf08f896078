// The gradient of a convolution to its weight, for float32 channels-last activations in memory of the CPU.
//
// oneDNN's own (jit:avx2) reaches a third of the machine's speed where there are few channels: its kernel wants them in
// blocks. Here each tap is a product of two matrices as they lie, positions by channels.
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

// Whether this machine has the instructions of the kernel, and the kernel is quicker than libtorch's for the shape.
bool convolution_to_weight_wins(const ConvolutionShape& shape);

// Adds to `to_weight` [kernel..., out, in] what `rows` rows of y from `first` on give.
void convolution_to_weight(const ConvolutionShape& shape, const float* x, const float* to_y, int64_t first,
                           int64_t rows, float* to_weight);

}  // namespace vidtok
