// Convolutions of float32 channels-last activations in memory of the CPU with fewer multiplications than outputs times
// taps: tiles of the input are transformed, each point of the transform is a matrix product over channels, and the sums
// are transformed back (Lavin and Gray, arXiv 1509.09308). Taps over time are added up before that.
#pragma once

#include <array>
#include <cstdint>

#include "norm_silu.h"

namespace vidtok {

// What stands twice in the clip that is convolved, without being made. Of repeated frames the kernel ends at an output,
// or its middle stands there.
enum class Upsampled { kNone, kPixels, kFrames, kCenteredFrames };

// x [clips, input..., in], y [clips, output..., out]. Kernels are 3x3 or 3x1 over rows and columns, any over time (3 if
// frames are upsampled); steps over rows and columns are 1.
struct WinogradShape {
  // Over time, rows and columns.
  using Axes = std::array<int64_t, 3>;
  int64_t clips;
  int64_t in;
  int64_t out;
  Axes input;
  Axes output;
  Axes kernel;
  // Zeros before the first; those after the last follow from the output.
  Axes padding;
  int64_t time_stride;
  Upsampled upsampled;
  // Whether x is to be normalised and activated first; not with taps over time.
  bool normed;
  // How many of the input's frames (of its rows, for 3x1) come from another place than the rest.
  int64_t context;
};

// Clips [clips, time, rows, columns, in] in two pieces, the first of `context` frames (rows), which is null if there are
// none.
struct WinogradInput {
  const float* context;
  const float* rest;
};

// Where the tap of an output and an input channel stands: steps between neighbours along each, which may be negative.
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
  // Floats that a block needs to work.
  int64_t scratch;
  // Multiply-accumulates of the matrix products.
  int64_t multiply_adds;
};

// Whether this machine has the instructions, and the shape is one that this file is for and is quicker at.
bool winograd_wins(const WinogradShape& shape);

WinogradPlan winograd_plan(const WinogradShape& shape, int64_t threads);

// Transforms weights of the panels [begin, end).
void winograd_weights(const WinogradShape& shape, const WinogradTaps& taps, int64_t begin, int64_t end,
                      float* weights);

// Convolves a block of x, or of silu(norm(x)) where there is a norm: a few rows of it at a time.
void winograd_block(const WinogradShape& shape, const WinogradPlan& plan, const Norm* norm, const WinogradInput& x,
                    const float* weights, const float* bias, int64_t block, float* scratch, float* y);

}  // namespace vidtok
