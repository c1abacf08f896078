// How a convolution is cut into tiles, and tiles into blocks.
#pragma once

#include <algorithm>
#include <cstdint>

#include "../winograd.h"
#include "axis.h"
#include "cost.h"
#include "multiply.h"

namespace vidtok {

// Tiles of a block. The more, the less often the weights come from memory, and the less of the block's transforms stays
// in the caches. With more channels the weights outweigh the transforms, so the number grows with them:
// docs/PERFORMANCE.md has the times by tiles of a block.
constexpr int64_t kMinBlockTiles = 64;
constexpr int64_t kMaxBlockTiles = 128;
constexpr int64_t kChannelsPerBlockTile = 8;

// Floats between the points of a transform. The first cache maps addresses by their low bits, and without a gap all
// points of a tile would compete for the same lines.
constexpr int64_t kPointGap = 16;

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Whether frames are upsampled, each by convolving it in pairs with its neighbours.
inline bool upsamples_frames(const WinogradShape& shape) {
  return shape.upsampled == Upsampled::kFrames || shape.upsampled == Upsampled::kCenteredFrames;
}

// Frames whose transformed inputs a block holds at a time.
inline int64_t input_slots(const WinogradShape& shape) { return upsamples_frames(shape) ? 2 : shape.kernel[0]; }

// Sums that a block holds at a time. Of upsampled frames: those of the current pair, and two that a frame shares with
// both of its neighbours.
inline int64_t sum_slots(const WinogradShape& shape) { return upsamples_frames(shape) ? 3 : 1; }

// Floats from a point to the next in the transforms of this many tiles and channels.
inline int64_t point_step(int64_t tiles, int64_t channels) { return tiles * channels + kPointGap; }

// A range of tiles.
struct TileRange {
  int64_t first;
  int64_t count;
};

// The clip, row and column of a tile, in tiles.
struct TilePosition {
  int64_t clip;
  int64_t row;
  int64_t column;
};

// A convolution cut into tiles of rows and columns, for one pair of algorithms (axis.h).
template <class Rows, class Columns>
class Tiling {
 public:
  static constexpr int kPoints = Rows::kPoints * Columns::kPoints;

  explicit Tiling(const WinogradShape& shape)
      : shape_(shape),
        rows_(divide_up(shape.output[1], Rows::kOutputs)),
        columns_(divide_up(shape.output[2], Columns::kOutputs)),
        tiles_(shape.clips * rows_ * columns_),
        max_block_tiles_(std::clamp((input_slots(shape) * shape.in + shape.out) / kChannelsPerBlockTile, kMinBlockTiles,
                                    kMaxBlockTiles)),
        unit_tiles_(columns_ <= max_block_tiles_ ? columns_ : 1) {}

  const WinogradShape& shape() const { return shape_; }

  // Tiles of a row.
  int64_t columns() const { return columns_; }

  // Multiply-accumulates of the matrix products.
  int64_t multiply_adds() const {
    int64_t frames = shape_.kernel[0] * (upsamples_frames(shape_) ? shape_.input[0] : shape_.output[0]);
    if (upsamples_frames(shape_)) {
      // Before the first frame and after the last, a tap meets nothing.
      frames -= shape_.padding[0] == 0 ? 2 : 1;
      frames += shape_.upsampled == Upsampled::kCenteredFrames ? 1 : 0;
    }
    return tiles_ * kPoints * frames * shape_.in * shape_.out;
  }

  // The time of the convolution, in multiply-accumulates.
  int64_t cost() const {
    const int64_t points = tiles_ * kPoints;
    const WinogradWork work{multiply_adds(), points * shape_.input[0] * shape_.in,
                            points * shape_.output[0] * shape_.out, shape_.kernel[0] * shape_.in * shape_.out};
    return work.cost();
  }

  WinogradPlan plan(int64_t threads) const {
    WinogradPlan plan{};
    plan.weights = kPoints * weight_point_step();
    plan.panels = shape_.out / kPanelChannels;
    // As few blocks as their size allows, rounded up to a multiple of the threads.
    const int64_t units = tiles_ / unit_tiles_;
    plan.blocks = std::min(divide_up(divide_up(units, max_block_tiles_ / unit_tiles_), threads) * threads, units);
    const int64_t tiles = divide_up(units, plan.blocks) * unit_tiles_;
    const int64_t inputs = input_slots(shape_) * point_step(tiles, shape_.in);
    const int64_t sums = sum_slots(shape_) * point_step(tiles, shape_.out);
    plan.scratch = kPoints * (inputs + sums) + shape_.in + shape_.out + Rows::kInputs * normed_line();
    plan.multiply_adds = multiply_adds();
    return plan;
  }

  // The tiles of a plan's block.
  TileRange block(const WinogradPlan& plan, int64_t block) const {
    const int64_t units = tiles_ / unit_tiles_;
    const int64_t first = units * block / plan.blocks * unit_tiles_;
    return {first, units * (block + 1) / plan.blocks * unit_tiles_ - first};
  }

  VIDTOK_INLINE TilePosition position(int64_t tile) const {
    const int64_t row = tile / columns_;
    return {row / rows_, row % rows_, tile % columns_};
  }

  // Floats of a row of normalised input; zero without a norm.
  int64_t normed_line() const { return shape_.normed ? shape_.input[2] * shape_.in : 0; }

  // Floats from a point to the next in the transformed weights.
  int64_t weight_point_step() const { return shape_.kernel[0] * shape_.in * shape_.out + kPointGap; }

 private:
  const WinogradShape& shape_;
  // Tiles of a frame along each axis, and in all.
  int64_t rows_;
  int64_t columns_;
  int64_t tiles_;
  int64_t max_block_tiles_;
  // Tiles that stay in one block: a row of tiles, unless it is longer than a block.
  int64_t unit_tiles_;
};

}  // namespace vidtok
