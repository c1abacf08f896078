// Layer normalisation over channels and SiLU, forward and backward, in one pass over memory each.
#pragma once

#include "rows.h"

namespace simt {

// y = silu(norm(x + input_bias) * weight + bias) for clips of rows of C channels.
struct NormSiluForward {
  const void* x;           // [clips, rows, C]
  const void* input_bias;  // [C], or null
  const void* weight;      // [C]
  const void* bias;        // [C]
  void* y;                 // [clips, rows, C], in clips of `out_rows` rows
  int64_t rows;
  int64_t out_rows;
  float eps;
};

// The gradients of all of it, from that of y.
struct NormSiluBackward {
  const void* x;           // [rows, C]
  const void* grad_y;      // [rows, C]
  const void* input_bias;  // [C], or null
  const void* weight;      // [C]
  const void* bias;        // [C]
  void* grad_x;            // [rows, C]
  float* sums;             // [warps, 3, C]: each warp's part of the gradients of weight, bias and input_bias
  int64_t rows;
  float eps;
};

// Makes h - mean of h in each row, and 1 / its standard deviation. Idle channels of h are 0 before and after.
template <int C>
void centre(PerLane<RowsOfWarp<C>::kValues>& h, float eps, PerLane<1>& scale) {
  using Warp = RowsOfWarp<C>;
  constexpr float kShare = 1.0f / C;
  PerLane<1> total;
  each_lane([&](int lane) {
    total[lane][0] = 0.0f;
#pragma unroll
    for (int i = 0; i < Warp::kValues; ++i) {
      total[lane][0] += h[lane][i];
    }
  });
  sum_over_lanes<Warp::kLanesOfRow>(total);
  each_lane([&](int lane) {
    const float mean = total[lane][0] * kShare;
    total[lane][0] = 0.0f;
#pragma unroll
    for (int pack = 0; pack < Warp::kPacks; ++pack) {
      if (Warp::channel(lane, pack) >= C) {
        continue;
      }
#pragma unroll
      for (int i = pack * kTogether; i < (pack + 1) * kTogether; ++i) {
        h[lane][i] -= mean;
        total[lane][0] += h[lane][i] * h[lane][i];
      }
    }
  });
  sum_over_lanes<Warp::kLanesOfRow>(total);
  each_lane([&](int lane) { scale[lane][0] = reciprocal_root(total[lane][0] * kShare + eps); });
}

// The rows of a clip that belong to warp `warp` of `warps`. T is the type of x and y, P that of the parameters.
template <int C, class T, class P>
void norm_silu(const NormSiluForward& call, int64_t clip, int64_t warp, int64_t warps) {
  using Warp = RowsOfWarp<C>;
  const T* x = static_cast<const T*>(call.x) + clip * call.rows * C;
  T* y = static_cast<T*>(call.y) + clip * call.out_rows * C;
  PerLane<Warp::kValues> input_bias, weight, bias, h;
  PerLane<1> scale;
  each_lane([&](int lane) {
    load_channels<C, P>(call.input_bias, lane, input_bias[lane]);
    load_channels<C, P>(call.weight, lane, weight[lane]);
    load_channels<C, P>(call.bias, lane, bias[lane]);
  });
  for (int64_t first = warp * Warp::kRows; first < call.rows; first += warps * Warp::kRows) {
    each_lane([&](int lane) {
      const int64_t row = first + lane / Warp::kLanesOfRow;
      load_channels<C, T>(row < call.rows ? x + row * C : nullptr, lane, h[lane]);
#pragma unroll
      for (int i = 0; i < Warp::kValues; ++i) {
        h[lane][i] += input_bias[lane][i];
      }
    });
    centre<C>(h, call.eps, scale);
    each_lane([&](int lane) {
      const int64_t row = first + lane / Warp::kLanesOfRow;
#pragma unroll
      for (int pack = 0; pack < Warp::kPacks; ++pack) {
        const int channel = Warp::channel(lane, pack);
        float out[kTogether];
#pragma unroll
        for (int i = 0; i < kTogether; ++i) {
          const int at = pack * kTogether + i;
          const float normed = h[lane][at] * scale[lane][0] * weight[lane][at] + bias[lane][at];
          out[i] = normed * sigmoid<T>(normed);
        }
        if (row < call.rows && channel < C) {
          store(out, y + row * C + channel);
        }
      }
    });
  }
}

// As above, for one clip. Statistics are computed again. A warp's rows depend on the number of warps only, and so do the sums.
template <int C, class T, class P>
void norm_silu_backward(const NormSiluBackward& call, int64_t, int64_t warp, int64_t warps) {
  using Warp = RowsOfWarp<C>;
  constexpr float kShare = 1.0f / C;
  const T* x = static_cast<const T*>(call.x);
  const T* grad_y = static_cast<const T*>(call.grad_y);
  T* grad_x = static_cast<T*>(call.grad_x);
  PerLane<Warp::kValues> h, g, to_weight, to_bias, to_input_bias;
  PerLane<1> scale, mean_of_g, mean_of_product;
  each_lane([&](int lane) {
#pragma unroll
    for (int i = 0; i < Warp::kValues; ++i) {
      to_weight[lane][i] = to_bias[lane][i] = to_input_bias[lane][i] = 0.0f;
    }
  });
  for (int64_t first = warp * Warp::kRows; first < call.rows; first += warps * Warp::kRows) {
    each_lane([&](int lane) {
      const int64_t row = first + lane / Warp::kLanesOfRow;
      const bool exists = row < call.rows;
      load_channels<C, T>(exists ? x + row * C : nullptr, lane, h[lane]);
      // Zeros after the last row, so that it adds nothing to the sums.
      load_channels<C, T>(exists ? grad_y + row * C : nullptr, lane, g[lane]);
      float input_bias[Warp::kValues];
      load_channels<C, P>(call.input_bias, lane, input_bias);
#pragma unroll
      for (int i = 0; i < Warp::kValues; ++i) {
        h[lane][i] += input_bias[i];
      }
    });
    centre<C>(h, call.eps, scale);
    each_lane([&](int lane) {
      float weight[Warp::kValues];
      float bias[Warp::kValues];
      load_channels<C, P>(call.weight, lane, weight);
      load_channels<C, P>(call.bias, lane, bias);
      mean_of_g[lane][0] = mean_of_product[lane][0] = 0.0f;
#pragma unroll
      for (int i = 0; i < Warp::kValues; ++i) {
        const float unit = h[lane][i] * scale[lane][0];
        const float normed = unit * weight[i] + bias[i];
        const float s = sigmoid<T>(normed);
        const float to_normed = g[lane][i] * s * (1.0f + normed * (1.0f - s));
        to_weight[lane][i] += to_normed * unit;
        to_bias[lane][i] += to_normed;
        h[lane][i] = unit;
        g[lane][i] = to_normed * weight[i];
        mean_of_g[lane][0] += g[lane][i] * kShare;
        mean_of_product[lane][0] += g[lane][i] * unit * kShare;
      }
    });
    sum_over_lanes<Warp::kLanesOfRow>(mean_of_g);
    sum_over_lanes<Warp::kLanesOfRow>(mean_of_product);
    each_lane([&](int lane) {
      const int64_t row = first + lane / Warp::kLanesOfRow;
#pragma unroll
      for (int pack = 0; pack < Warp::kPacks; ++pack) {
        const int channel = Warp::channel(lane, pack);
        float out[kTogether];
#pragma unroll
        for (int i = 0; i < kTogether; ++i) {
          const int at = pack * kTogether + i;
          out[i] = scale[lane][0] * (g[lane][at] - mean_of_g[lane][0] - h[lane][at] * mean_of_product[lane][0]);
          to_input_bias[lane][at] += row < call.rows ? out[i] : 0.0f;
        }
        if (row < call.rows && channel < C) {
          store(out, grad_x + row * C + channel);
        }
      }
    });
  }
  // Over the rows that a warp has at a time.
  const auto write = [&](PerLane<Warp::kValues>& of, int index) {
#pragma unroll
    for (int i = 0; i < Warp::kValues; ++i) {
      PerLane<1> value;
      each_lane([&](int lane) { value[lane][0] = of[lane][i]; });
#pragma unroll
      for (int step = Warp::kLanesOfRow; step < kLanes; step *= 2) {
        add_of_other_lane(value, step);
      }
      each_lane([&](int lane) {
        const int channel = Warp::channel(lane, i / kTogether);
        if (lane < Warp::kLanesOfRow && channel < C) {
          call.sums[(warp * 3 + index) * C + channel + i % kTogether] = value[lane][0];
        }
      });
    }
  };
  write(to_weight, 0);
  write(to_bias, 1);
  write(to_input_bias, 2);
}

}  // namespace simt
