// The multiply kernel: products of small matrices over channels, with sums that stay in registers.
#pragma once

#include "../vector.h"

namespace vidtok {

// Output channels of a panel of weights, and rows that are multiplied with it at once: 2 x 6 vectors of sums fill
// twelve of AVX2's sixteen registers.
constexpr int kPanelChannels = 2 * kLanes;
constexpr int kRowsAtOnce = 6;

// A transformed input, rows [rows, in], and the panel of weights [in, kPanelChannels] that it is multiplied with.
struct Source {
  const float* rows;
  const float* panel;
};

// The most sources of a sum: taps over time.
constexpr int kMaxSources = 8;

// sums [Height, kPanelChannels] = the sum over sources of rows [Height, in] times panel.
template <int Height>
VIDTOK_INLINE void multiply_rows(const Source* sources, int count, int64_t row, int64_t in, float* sums,
                                 int64_t sums_step) {
  Vector low[Height] = {};
  Vector high[Height] = {};
  for (int source = 0; source < count; ++source) {
    const float* a = sources[source].rows + row * in;
    const float* b = sources[source].panel;
    for (int64_t i = 0; i < in; ++i, ++a, b += kPanelChannels) {
      const Vector b_low = load(b);
      const Vector b_high = load(b + kLanes);
#pragma GCC unroll 6
      for (int r = 0; r < Height; ++r) {
        low[r] += a[r * in] * b_low;
        high[r] += a[r * in] * b_high;
      }
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < Height; ++r) {
    store(sums + r * sums_step, low[r]);
    store(sums + r * sums_step + kLanes, high[r]);
  }
}

// As `multiply_rows`, for any number of rows.
VIDTOK_INLINE void multiply(const Source* sources, int count, int64_t rows, int64_t in, float* sums,
                            int64_t sums_step) {
  int64_t row = 0;
  for (; row + kRowsAtOnce <= rows; row += kRowsAtOnce) {
    multiply_rows<kRowsAtOnce>(sources, count, row, in, sums + row * sums_step, sums_step);
  }
  float* rest = sums + row * sums_step;
  switch (rows - row) {
    case 5: return multiply_rows<5>(sources, count, row, in, rest, sums_step);
    case 4: return multiply_rows<4>(sources, count, row, in, rest, sums_step);
    case 3: return multiply_rows<3>(sources, count, row, in, rest, sums_step);
    case 2: return multiply_rows<2>(sources, count, row, in, rest, sums_step);
    case 1: return multiply_rows<1>(sources, count, row, in, rest, sums_step);
    default: return;
  }
}

}  // namespace vidtok
