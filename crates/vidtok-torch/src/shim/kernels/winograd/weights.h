// Transformed weights: for each point, panels of output channels [panels, taps over time, in, kPanelChannels].
#pragma once

#include "tiling.h"

namespace vidtok {

// Transforms the weights of the panels [begin, end).
template <class Rows, class Columns>
VIDTOK_AVX2_STAGE void transform_weights(const Tiling<Rows, Columns>& tiling, const WinogradTaps& taps, int64_t begin,
                                         int64_t end, float* weights) {
  const int64_t in = tiling.shape().in;
  const int64_t frames = tiling.shape().kernel[0];
  for (int64_t panel = begin; panel < end; ++panel) {
    for (int64_t frame = 0; frame < frames; ++frame) {
      for (int64_t i = 0; i < in; ++i) {
        const float* first = taps.first + panel * kPanelChannels * taps.out + i * taps.in + frame * taps.kernel[0];
        for (int lane = 0; lane < kPanelChannels; lane += kLanes) {
          Vector w[Rows::kTaps][Columns::kTaps];
          Vector u[Rows::kPoints][Columns::kPoints];
          for (int r = 0; r < Rows::kTaps; ++r) {
            for (int c = 0; c < Columns::kTaps; ++c) {
              const float* tap = first + lane * taps.out + r * taps.kernel[1] + c * taps.kernel[2];
              for (int l = 0; l < kLanes; ++l) {
                w[r][c][l] = tap[l * taps.out];
              }
            }
          }
          Planar<Rows, Columns>::weight(w, u);
          for (int point = 0; point < Tiling<Rows, Columns>::kPoints; ++point) {
            float* to = weights + point * tiling.weight_point_step() +
                        ((panel * frames + frame) * in + i) * kPanelChannels + lane;
            store(to, u[point / Columns::kPoints][point % Columns::kPoints]);
          }
        }
      }
    }
  }
}

}  // namespace vidtok
