// The end of a residual block: the output of its last convolution, the bias of that, and the block's input.
#pragma once

#include "rows.h"

namespace simt {

// y = x + bias + residual. y may be x.
struct BiasedSum {
  const void* x;         // [rows, C]
  const void* bias;      // [C]
  const void* residual;  // [rows, C]
  void* y;               // [rows, C]
  int64_t rows;
};

// The rows that belong to warp `warp` of `warps`. T is the type of x, the residual and y, P that of the bias.
template <int C, class T, class P>
void biased_sum(const BiasedSum& call, int64_t, int64_t warp, int64_t warps) {
  using Warp = RowsOfWarp<C>;
  PerLane<Warp::kValues> bias;
  each_lane([&](int lane) { load_channels<C, P>(call.bias, lane, bias[lane]); });
  for (int64_t first = warp * Warp::kRows; first < call.rows; first += warps * Warp::kRows) {
    each_lane([&](int lane) {
      const int64_t row = first + lane / Warp::kLanesOfRow;
      if (row >= call.rows) {
        return;
      }
#pragma unroll
      for (int pack = 0; pack < Warp::kPacks; ++pack) {
        const int channel = Warp::channel(lane, pack);
        if (channel >= C) {
          continue;
        }
        const int64_t at = row * C + channel;
        float x[kTogether];
        float residual[kTogether];
        load(static_cast<const T*>(call.x) + at, x);
        load(static_cast<const T*>(call.residual) + at, residual);
#pragma unroll
        for (int i = 0; i < kTogether; ++i) {
          x[i] += bias[lane][pack * kTogether + i] + residual[i];
        }
        store(x, static_cast<T*>(call.y) + at);
      }
    });
  }
}

}  // namespace simt
