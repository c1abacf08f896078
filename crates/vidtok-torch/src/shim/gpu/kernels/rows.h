// How the warps of a GPU share out the rows of a tensor whose last axis has C channels.
#pragma once

#include "simt.h"

namespace simt {

// More would not fit into the registers of a thread.
constexpr int64_t kMostChannels = 1024;

// How a warp shares out rows of C channels: a lane has `kPacks` times `kTogether` channels of one row. A row takes a
// power of two of lanes, of which the last may be idle.
template <int C>
struct RowsOfWarp {
  static_assert(C % kTogether == 0, "whole packs only");
  static constexpr int lanes_of(int packs) {
    int lanes = 1;
    while (lanes < packs && lanes < kLanes) {
      lanes *= 2;
    }
    return lanes;
  }
  static constexpr int kPacksOfRow = C / kTogether;
  static constexpr int kLanesOfRow = lanes_of(kPacksOfRow);
  static constexpr int kPacks = (kPacksOfRow + kLanesOfRow - 1) / kLanesOfRow;
  static constexpr int kValues = kPacks * kTogether;
  static constexpr int kRows = kLanes / kLanesOfRow;

  // The first channel of a lane's pack, C or more if it has none.
  static int channel(int lane, int pack) { return (pack * kLanesOfRow + lane % kLanesOfRow) * kTogether; }
};

// The rows that a warp has at a time.
inline int64_t rows_of_warp(int64_t channels) {
  int64_t rows = kLanes;
  while (rows > 1 && kLanes / rows * kTogether < channels) {
    rows /= 2;
  }
  return rows;
}

// Reads the lane's channels of a vector of C, or zeros if there is no vector.
template <int C, class T>
void load_channels(const void* vector, int lane, float* to) {
  using Warp = RowsOfWarp<C>;
#pragma unroll
  for (int pack = 0; pack < Warp::kPacks; ++pack) {
    const int channel = Warp::channel(lane, pack);
    float* values = to + pack * kTogether;
    if (vector != nullptr && channel < C) {
      load(static_cast<const T*>(vector) + channel, values);
    } else {
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
        values[i] = 0.0f;
      }
    }
  }
}

}  // namespace simt
