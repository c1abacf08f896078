#include "winograd.h"

#include "winograd/block.h"
#include "winograd/tiling.h"
#include "winograd/weights.h"

namespace vidtok {

namespace {

// Calls `work` with the fastest tiling.
template <class Work>
VIDTOK_INLINE auto with_tiling(const WinogradShape& shape, Work&& work) {
  if (shape.upsampled == Upsampled::kPixels) {
    return work(Tiling<UpsampledPair, UpsampledPair>(shape));
  }
  if (shape.kernel[2] == 1) {
    const Tiling<F4x3, Untransformed> four(shape);
    const Tiling<F2x3, Untransformed> two(shape);
    return four.cost() <= two.cost() ? work(four) : work(two);
  }
  const Tiling<F4x3, F4x3> four(shape);
  const Tiling<F2x3, F2x3> two(shape);
  return four.cost() <= two.cost() ? work(four) : work(two);
}

// The most points of a tiling above.
constexpr int64_t kMaxPoints = F4x3::kPoints * F4x3::kPoints;

template <class Rows, class Columns>
VIDTOK_INLINE void run_block(const Tiling<Rows, Columns>& tiling, const WinogradPlan& plan, const Norm* norm,
                             const WinogradInput& x, const float* weights, const float* bias, int64_t index,
                             float* scratch, float* y) {
  Block<Rows, Columns> block(tiling, norm, x, weights, bias, tiling.block(plan, index), scratch, y);
  if (upsamples_frames(tiling.shape())) {
    block.convolve_upsampled_frames();
  } else {
    block.convolve();
  }
}

// Whether the kernels can compute the shape.
bool is_supported(const WinogradShape& shape) {
  const auto& kernel = shape.kernel;
  const bool has_channels = shape.in > 0 && shape.in % kLanes == 0 && shape.out > 0 && shape.out % kPanelChannels == 0;
  const bool is_square = kernel[1] == 3 && kernel[2] == 3;
  const bool is_column = kernel[1] == 3 && kernel[2] == 1 && shape.upsampled == Upsampled::kNone;
  const bool has_taps = upsamples_frames(shape) ? kernel[0] == 3 : kernel[0] <= kMaxSources;
  if (shape.normed && (kernel[0] > 1 || kernel[2] == 1)) {
    return false;
  }
  // Counted in floating point, which does not overflow. No machine makes this many multiplications.
  double multiply_adds = static_cast<double>(shape.in) * shape.out * kernel[0] * kernel[1] * kernel[2] * shape.clips;
  for (const int64_t size : shape.output) {
    multiply_adds *= size;
  }
  return has_channels && (is_square || is_column) && has_taps && multiply_adds > 0 && multiply_adds < 0x1p56;
}

}  // namespace

bool winograd_wins(const WinogradShape& shape) {
  if (!has_vectors() || !is_supported(shape)) {
    return false;
  }
  const auto& [frames, height, width] = shape.output;
  const int64_t taps = shape.kernel[0] * shape.kernel[1] * shape.kernel[2];
  // Also for upsampled pixels and frames. Folding their taps, which is what libtorch can do, multiplies less, but took
  // longer than this kernel wherever that was timed (docs/PERFORMANCE.md).
  const int64_t direct = shape.clips * frames * height * width * taps * shape.in * shape.out;
  const int64_t pace = has_wider_vectors() ? kLibtorchWidePace : kLibtorchPace;
  return pace * with_tiling(shape, [&](const auto& tiling) { return tiling.cost(); }) < direct;
}

WinogradPlan winograd_plan(const WinogradShape& shape, int64_t threads) {
  return with_tiling(shape, [&](const auto& tiling) { return tiling.plan(threads); });
}

int64_t winograd_workspace(int64_t channels, int64_t threads) {
  constexpr int64_t kTaps = 3;
  const int64_t weights = kTaps * kMaxPoints * channels * channels;
  // Transformed inputs for each tap over time, and sums.
  return weights + threads * kMaxPoints * kMaxBlockTiles * (kTaps + 1) * channels;
}

VIDTOK_AVX2
void winograd_weights(const WinogradShape& shape, const WinogradTaps& taps, int64_t begin, int64_t end,
                      float* weights) {
  with_tiling(shape, [&](const auto& tiling) VIDTOK_AVX2 { transform_weights(tiling, taps, begin, end, weights); });
}

VIDTOK_AVX2
void winograd_block(const WinogradShape& shape, const WinogradPlan& plan, const Norm* norm, const WinogradInput& x,
                    const float* weights, const float* bias, int64_t block, float* scratch, float* y) {
  with_tiling(shape, [&](const auto& tiling)
                         VIDTOK_AVX2 { run_block(tiling, plan, norm, x, weights, bias, block, scratch, y); });
}

}  // namespace vidtok
