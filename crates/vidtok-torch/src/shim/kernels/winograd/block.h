// A block: tiles that go through all frames of their clips together, so that transforms stay in the caches.
#pragma once

#include <algorithm>
#include <array>

#include "tiling.h"

namespace vidtok {

template <class Rows, class Columns>
class Block {
 public:
  static constexpr int kPoints = Tiling<Rows, Columns>::kPoints;

  Block(const Tiling<Rows, Columns>& tiling, const Norm* norm, const WinogradInput& x, const float* weights,
        const float* bias, TileRange tiles, float* scratch, float* y)
      : tiling_(tiling),
        shape_(tiling.shape()),
        norm_(norm),
        x_(x),
        weights_(weights),
        bias_(bias),
        y_(y),
        tiles_(tiles),
        input_step_(point_step(tiles.count, shape_.in)),
        sum_step_(point_step(tiles.count, shape_.out)) {
    zeros_ = scratch;
    std::fill(zeros_, zeros_ + shape_.in, 0.0f);
    discarded_ = zeros_ + shape_.in;
    normed_lines_ = discarded_ + shape_.out;
    sums_ = normed_lines_ + Rows::kInputs * tiling.normed_line();
    inputs_ = sums_ + sum_slots(shape_) * kPoints * sum_step_;
  }

  // Each output frame is a sum over the taps over time.
  VIDTOK_INLINE void convolve() {
    const auto [frames, stride, padding] = std::array{shape_.kernel[0], shape_.time_stride, shape_.padding[0]};
    int64_t seen = 0;
    for (int64_t t = 0; t < shape_.output[0]; ++t) {
      Term terms[kMaxSources];
      int count = 0;
      for (int64_t k = 0; k < frames; ++k) {
        const int64_t frame = t * stride + k - padding;
        if (frame < 0 || frame >= shape_.input[0]) {
          continue;
        }
        if (frame >= seen) {
          transform_input(frame, frame % frames);
          seen = frame + 1;
        }
        terms[count++] = {frame % frames, k};
      }
      multiply_terms(terms, count, 0);
      transform_output<false>(t, 0, 0);
    }
  }

  // With taps w0, w1, w2, the outputs before and after an input frame b that follows a are w0 a + w1 a + w2 b and
  // w0 a + w1 b + w2 b. The product of a frame with w1 is part of both of its neighbours' sums.
  VIDTOK_INLINE void convolve_upsampled_frames() {
    // With a centred kernel, all outputs come one frame earlier, and zeros follow the last frame.
    const int64_t earlier = shape_.upsampled == Upsampled::kCenteredFrames ? 1 : 0;
    const int64_t last = shape_.input[0] - 1;
    const int64_t first = 1 - shape_.padding[0];
    if (first == 1) {
      transform_input(0, 0);
      multiply_middle_tap(0);
    }
    for (int64_t b = first; b <= last + earlier; ++b) {
      const int64_t a = b - 1;
      Term terms[2];
      int count = 0;
      if (a >= 0) {
        terms[count++] = {a & 1, 0};
      }
      if (b <= last) {
        transform_input(b, b & 1);
        terms[count++] = {b & 1, 2};
      }
      multiply_terms(terms, count, 0);
      const int64_t to = 2 * (b - first) - earlier;
      write_frame(to, a);
      if (b <= last) {
        multiply_middle_tap(b);
        write_frame(to + 1, b);
      }
    }
  }

 private:
  // A transformed frame by its slot, and the tap over time that it is multiplied with.
  struct Term {
    int64_t slot;
    int64_t tap;
  };

  VIDTOK_INLINE void multiply_middle_tap(int64_t frame) {
    const Term term{frame & 1, 1};
    multiply_terms(&term, 1, 1 + (frame & 1));
  }

  // Writes the output frame t: the sums of the pair, plus `frame`'s product with the middle tap if `frame` exists.
  VIDTOK_INLINE void write_frame(int64_t t, int64_t frame) {
    if (t < 0 || t >= shape_.output[0]) {
      return;
    }
    if (frame < 0) {
      transform_output<false>(t, 0, 0);
    } else {
      transform_output<true>(t, 0, 1 + (frame & 1));
    }
  }

  // Row h of a frame of the input, from the causal context or from the rest.
  VIDTOK_INLINE const float* line(int64_t clip, int64_t frame, int64_t h) const {
    const auto [frames, height, width] = shape_.input;
    const int64_t context = shape_.context;
    const int64_t row = width * shape_.in;
    if (Columns::kTaps == 1) {
      // The rows are frames.
      return h < context ? x_.context + (clip * context + h) * row
                         : x_.rest + (clip * (height - context) + h - context) * row;
    }
    const float* image = frame < context
                             ? x_.context + (clip * context + frame) * height * row
                             : x_.rest + (clip * (frames - context) + frame - context) * height * row;
    return image + h * row;
  }

  // `width` positions of row h, normalised and activated. They are kept until another row needs their memory.
  VIDTOK_INLINE const float* normed_line(const float* from, int64_t h, int64_t width) {
    const int index = h % Rows::kInputs;
    float* line = normed_lines_ + index * tiling_.normed_line();
    if (normed_from_[index] != from || normed_widths_[index] != width) {
      norm_silu_rows(*norm_, from, width, line);
      normed_from_[index] = from;
      normed_widths_[index] = width;
    }
    return line;
  }

  VIDTOK_AVX2_STAGE void transform_input(int64_t frame, int64_t slot) {
    const int64_t in = shape_.in;
    const auto [frames, height, width] = shape_.input;
    float* to = inputs_ + slot * kPoints * input_step_;
    for (int64_t tile = 0; tile < tiles_.count; ++tile, to += in) {
      const auto [clip, row, column] = tiling_.position(tiles_.first + tile);
      const float* from[Rows::kInputs][Columns::kInputs];
      for (int r = 0; r < Rows::kInputs; ++r) {
        const int64_t h = row * Rows::kStep - shape_.padding[1] + r;
        const bool is_inside = h >= 0 && h < height;
        const float* line = is_inside ? this->line(clip, frame, h) : zeros_;
        if (norm_ != nullptr && is_inside) {
          // The columns that this block's tiles of the row reach.
          const int64_t first = column - std::min(column, tile);
          const int64_t last = column + std::min(tiling_.columns() - column, tiles_.count - tile) - 1;
          const int64_t left = std::max<int64_t>(0, first * Columns::kStep - shape_.padding[2]);
          const int64_t right = std::min(width, last * Columns::kStep - shape_.padding[2] + Columns::kInputs);
          line = normed_line(line + left * in, h, right - left) - left * in;
        }
        for (int c = 0; c < Columns::kInputs; ++c) {
          const int64_t w = column * Columns::kStep - shape_.padding[2] + c;
          from[r][c] = is_inside && w >= 0 && w < width ? line + w * in : zeros_;
        }
      }
      for (int64_t i = 0; i < in; i += kLanes) {
        Vector d[Rows::kInputs][Columns::kInputs];
        Vector v[Rows::kPoints][Columns::kPoints];
#pragma GCC unroll 6
        for (int r = 0; r < Rows::kInputs; ++r) {
#pragma GCC unroll 6
          for (int c = 0; c < Columns::kInputs; ++c) d[r][c] = load(from[r][c] + i);
        }
        Planar<Rows, Columns>::input(d, v);
#pragma GCC unroll 6
        for (int r = 0; r < Rows::kPoints; ++r) {
#pragma GCC unroll 6
          for (int c = 0; c < Columns::kPoints; ++c) store(to + (r * Columns::kPoints + c) * input_step_ + i, v[r][c]);
        }
      }
    }
  }

  // Multiplies the terms at each point and stores the sums in a slot.
  VIDTOK_AVX2_STAGE void multiply_terms(const Term* terms, int count, int64_t slot) {
    const int64_t in = shape_.in;
    const int64_t panels = shape_.out / kPanelChannels;
    const int64_t taps = shape_.kernel[0];
    for (int point = 0; point < kPoints; ++point) {
      float* to = sums_ + (slot * kPoints + point) * sum_step_;
      for (int64_t panel = 0; panel < panels; ++panel, to += kPanelChannels) {
        Source sources[kMaxSources];
        for (int term = 0; term < count; ++term) {
          sources[term].rows = inputs_ + (terms[term].slot * kPoints + point) * input_step_;
          sources[term].panel =
              weights_ + point * tiling_.weight_point_step() + (panel * taps + terms[term].tap) * in * kPanelChannels;
        }
        multiply(sources, count, tiles_.count, in, to, shape_.out);
      }
    }
  }

  // Writes frame t of y from the sums in a slot, plus those in a second slot.
  template <bool kHasSecond>
  VIDTOK_AVX2_STAGE void transform_output(int64_t t, int64_t slot, int64_t second) {
    const int64_t out = shape_.out;
    const auto [frames, height, width] = shape_.output;
    const float* from = sums_ + slot * kPoints * sum_step_;
    const float* also = sums_ + second * kPoints * sum_step_;
    for (int64_t tile = 0; tile < tiles_.count; ++tile, from += out, also += out) {
      const auto [clip, row, column] = tiling_.position(tiles_.first + tile);
      float* image = y_ + (clip * frames + t) * height * width * out;
      float* to[Rows::kOutputs][Columns::kOutputs];
      for (int r = 0; r < Rows::kOutputs; ++r) {
        for (int c = 0; c < Columns::kOutputs; ++c) {
          const int64_t h = row * Rows::kOutputs + r;
          const int64_t w = column * Columns::kOutputs + c;
          to[r][c] = h < height && w < width ? image + (h * width + w) * out : discarded_;
        }
      }
      for (int64_t o = 0; o < out; o += kLanes) {
        Vector m[Rows::kPoints][Columns::kPoints];
        Vector y[Rows::kOutputs][Columns::kOutputs];
#pragma GCC unroll 6
        for (int r = 0; r < Rows::kPoints; ++r) {
#pragma GCC unroll 6
          for (int c = 0; c < Columns::kPoints; ++c) {
            const int64_t offset = (r * Columns::kPoints + c) * sum_step_ + o;
            m[r][c] = load(from + offset);
            if (kHasSecond) m[r][c] += load(also + offset);
          }
        }
        Planar<Rows, Columns>::output(m, y);
        const Vector bias = load(bias_ + o);
#pragma GCC unroll 4
        for (int r = 0; r < Rows::kOutputs; ++r) {
#pragma GCC unroll 4
          for (int c = 0; c < Columns::kOutputs; ++c) store(to[r][c] + o, y[r][c] + bias);
        }
      }
    }
  }

  const Tiling<Rows, Columns>& tiling_;
  const WinogradShape& shape_;
  const Norm* norm_;
  const WinogradInput& x_;
  const float* weights_;
  const float* bias_;
  float* y_;
  TileRange tiles_;
  // Floats from a point to the next in the transformed inputs and in the sums.
  int64_t input_step_;
  int64_t sum_step_;
  // Scratch memory: a position of zeros, one for outputs beyond the edges, rows of normalised input, and by slots the
  // sums and the transformed inputs.
  float* zeros_;
  float* discarded_;
  float* normed_lines_;
  float* sums_;
  float* inputs_;
  // Where each row of normalised input comes from.
  const float* normed_from_[Rows::kInputs] = {};
  int64_t normed_widths_[Rows::kInputs] = {};
};

}  // namespace vidtok
