// Convolutions of float32 channels-last activations in CPU memory by Winograd's algorithms, with fewer multiplications
// than outputs times taps: tiles of the input are transformed, each point of the transform is a matrix product over
// channels, and the sums are transformed back (Lavin and Gray, arXiv 1509.09308). Taps over time are summed before the
// transform back.
//
// winograd/ has the parts: axis.h the algorithms along one axis, tiling.h the cut into tiles and blocks, weights.h the
// transformed weights, multiply.h the matrix products, block.h the convolution of a block, cost.h the cost model.
//
// An infinite input makes its whole tile NaN (Inf - Inf in the transform), unlike in the direct form.
#pragma once

#include <array>
#include <cstdint>

#include "norm_silu.h"

namespace vidtok {

// What is upsampled by two (nearest neighbour) before the convolution, without being made: pixels, or frames. Over
// upsampled frames a kernel ends at its output, or is centred on it.
enum class Upsampled { kNone, kPixels, kFrames, kCenteredFrames };

// x [clips, input..., in], y [clips, output..., out]. Kernels are 3x3 or 3x1 over rows and columns and of any size over
// time (3 if frames are upsampled). Strides over rows and columns are 1.
struct WinogradShape {
  // Time, rows and columns.
  using Axes = std::array<int64_t, 3>;
  int64_t clips;
  int64_t in;
  int64_t out;
  Axes input;
  Axes output;
  Axes kernel;
  // Zeros before the first position. Those after the last follow from the output.
  Axes padding;
  int64_t time_stride;
  Upsampled upsampled;
  // Whether silu(norm(x)) is convolved. Only for kernels of one tap over time.
  bool normed;
  // The number of the input's first frames (rows, for 3x1) that are the causal context.
  int64_t context;
};

// Clips [clips, time, rows, columns, in] in two tensors: the causal context of `context` frames (rows, for 3x1), null
// if there are none, and the rest.
struct WinogradInput {
  const float* context;
  const float* rest;
};

// The weights: the address of the first tap, and steps between neighbours along each axis, which may be negative.
struct WinogradTaps {
  const float* first;
  int64_t out;
  int64_t in;
  WinogradShape::Axes kernel;
};

// How the work is cut. Results do not depend on it.
struct WinogradPlan {
  // Floats of the transformed weights.
  int64_t weights;
  // Groups of output channels whose weights are transformed together.
  int64_t panels;
  // Blocks of tiles.
  int64_t blocks;
  // Floats of scratch memory for a block.
  int64_t scratch;
  // Multiply-accumulates of the matrix products.
  int64_t multiply_adds;
};

// Whether this machine has the instructions, the kernels support the shape, and the cost model expects them to be
// faster than libtorch.
bool winograd_wins(const WinogradShape& shape);

WinogradPlan winograd_plan(const WinogradShape& shape, int64_t threads);

// The most floats that a convolution from and to `channels` channels with three taps over time holds besides its input
// and output.
int64_t winograd_workspace(int64_t channels, int64_t threads);

// Transforms the weights of the panels [begin, end).
void winograd_weights(const WinogradShape& shape, const WinogradTaps& taps, int64_t begin, int64_t end,
                      float* weights);

// Convolves a block of x, or with a norm of silu(norm(x)), of which it makes a few rows at a time.
void winograd_block(const WinogradShape& shape, const WinogradPlan& plan, const Norm* norm, const WinogradInput& x,
                    const float* weights, const float* bias, int64_t block, float* scratch, float* y);

}  // namespace vidtok
