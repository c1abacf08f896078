#include "winograd.h"

#include <algorithm>

#include "winograd_axis.h"

#if defined(__GNUC__)
#define VIDTOK_STAGE VIDTOK_AVX2 __attribute__((noinline))
#else
#define VIDTOK_STAGE VIDTOK_AVX2
#endif

namespace vidtok {

namespace {

// Output channels of a panel of weights, and rows that are multiplied with it at once: twelve sums stay in registers.
constexpr int kPanel = 2 * kLanes;
constexpr int kHeight = 6;
// Tiles of a block at most: the more, the less often the weights come from memory, and the less of the block's
// transforms stays in the caches. With more channels the weights outweigh the transforms.
constexpr int64_t kTiles = 64;
constexpr int64_t kMostTiles = 128;
constexpr int64_t kChannelsPerTile = 8;
// Keeps the points of a tile apart in the first cache, which maps addresses by their low bits.
constexpr int64_t kSkew = 16;

// Measured, in multiplications that take as long: transforming a value of the input or of the output at one point, and
// the weights of a pair of channels.
constexpr int64_t kInputCost = 40;
constexpr int64_t kOutputCost = 20;
constexpr int64_t kWeightCost = 160;

// A transformed input and the weights that it is multiplied with.
struct Source {
  const float* rows;
  const float* panel;
};
constexpr int kMostSources = 8;

// sums [Height, kPanel] = the sources' rows [Height, in] times panels [in, kPanel].
template <int Height>
VIDTOK_INLINE void multiply_rows(const Source* sources, int count, int64_t row, int64_t in, float* sums,
                                 int64_t sums_step) {
  Vector low[Height] = {};
  Vector high[Height] = {};
  for (int source = 0; source < count; ++source) {
    const float* a = sources[source].rows + row * in;
    const float* b = sources[source].panel;
    for (int64_t i = 0; i < in; ++i, ++a, b += kPanel) {
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

VIDTOK_INLINE void multiply(const Source* sources, int count, int64_t rows, int64_t in, float* sums,
                            int64_t sums_step) {
  int64_t row = 0;
  for (; row + kHeight <= rows; row += kHeight) {
    multiply_rows<kHeight>(sources, count, row, in, sums + row * sums_step, sums_step);
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

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// A convolution cut into tiles of rows and columns, for one pair of algorithms.
template <class Rows, class Columns>
class Tiling {
 public:
  static constexpr int kPoints = Rows::kPoints * Columns::kPoints;

  explicit Tiling(const WinogradShape& shape)
      : shape_(shape),
        rows_(divide_up(shape.output[1], Rows::kOutputs)),
        columns_(divide_up(shape.output[2], Columns::kOutputs)),
        tiles_(shape.clips * rows_ * columns_),
        most_(std::clamp((slots() * shape.in + shape.out) / kChannelsPerTile, kTiles, kMostTiles)),
        unit_(columns_ <= most_ ? columns_ : 1) {}

  // Multiply-accumulates of the matrix products.
  int64_t multiply_adds() const {
    int64_t frames = shape_.kernel[0] * (repeats() ? shape_.input[0] : shape_.output[0]);
    if (repeats()) {
      // A tap meets nothing before the first frame and after the last.
      frames -= shape_.padding[0] == 0 ? 2 : 1;
      frames += shape_.upsampled == Upsampled::kCenteredFrames ? 1 : 0;
    }
    return tiles_ * kPoints * frames * shape_.in * shape_.out;
  }

  // The time of all, in multiplications.
  int64_t cost() const {
    const int64_t values = kInputCost * shape_.input[0] * shape_.in + kOutputCost * shape_.output[0] * shape_.out;
    return multiply_adds() + tiles_ * kPoints * values + kWeightCost * shape_.kernel[0] * shape_.in * shape_.out;
  }

  WinogradPlan plan(int64_t threads) const {
    WinogradPlan plan{};
    plan.weights = kPoints * w_step();
    plan.panels = shape_.out / kPanel;
    const int64_t units = tiles_ / unit_;
    plan.blocks = std::min(divide_up(divide_up(units, most_ / unit_), threads) * threads, units);
    const int64_t tiles = divide_up(units, plan.blocks) * unit_;
    plan.scratch = kPoints * (slots() * step(tiles, shape_.in) + sums() * step(tiles, shape_.out)) + shape_.in +
                   shape_.out + Rows::kInputs * line();
    plan.multiply_adds = multiply_adds();
    return plan;
  }

  VIDTOK_STAGE void transform_weights(const WinogradTaps& taps, int64_t begin, int64_t end, float* weights) const {
    const int64_t in = shape_.in;
    const int64_t frames = shape_.kernel[0];
    for (int64_t panel = begin; panel < end; ++panel) {
      for (int64_t frame = 0; frame < frames; ++frame) {
        for (int64_t i = 0; i < in; ++i) {
          const float* first = taps.first + panel * kPanel * taps.out + i * taps.in + frame * taps.kernel[0];
          for (int lane = 0; lane < kPanel; lane += kLanes) {
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
            for (int point = 0; point < kPoints; ++point) {
              float* to = weights + point * w_step() + ((panel * frames + frame) * in + i) * kPanel + lane;
              store(to, u[point / Columns::kPoints][point % Columns::kPoints]);
            }
          }
        }
      }
    }
  }

  VIDTOK_INLINE void run(const WinogradPlan& plan, const Norm* norm, const WinogradInput& x, const float* weights,
                         const float* bias, int64_t block, float* scratch, float* y) const {
    const int64_t units = tiles_ / unit_;
    const int64_t first = units * block / plan.blocks * unit_;
    const int64_t count = units * (block + 1) / plan.blocks * unit_ - first;
    Block work(*this, norm, x, weights, bias, first, count, scratch, y);
    if (repeats()) {
      work.convolve_repeated_frames();
    } else {
      work.convolve();
    }
  }

 private:
  // Floats of a row of normalised input.
  int64_t line() const { return shape_.normed ? shape_.input[2] * shape_.in : 0; }

  // Frames whose transforms are held at a time, and sums.
  int64_t slots() const { return repeats() ? 2 : shape_.kernel[0]; }
  int64_t sums() const { return repeats() ? 3 : 1; }
  bool repeats() const {
    return shape_.upsampled == Upsampled::kFrames || shape_.upsampled == Upsampled::kCenteredFrames;
  }

  // From a point to the next in the transformed weights.
  int64_t w_step() const { return shape_.kernel[0] * shape_.in * shape_.out + kSkew; }

  // From a point to the next in a transform of so many tiles and channels.
  static int64_t step(int64_t tiles, int64_t channels) { return tiles * channels + kSkew; }

  // Tiles that go through time together.
  class Block {
   public:
    Block(const Tiling& tiling, const Norm* norm, const WinogradInput& x, const float* weights, const float* bias,
          int64_t first, int64_t count, float* scratch, float* y)
        : tiling_(tiling),
          shape_(tiling.shape_),
          norm_(norm),
          x_(x),
          weights_(weights),
          bias_(bias),
          y_(y),
          first_(first),
          count_(count),
          v_step_(step(count, shape_.in)),
          m_step_(step(count, shape_.out)) {
      zeros_ = scratch;
      std::fill(zeros_, zeros_ + shape_.in, 0.0f);
      sink_ = zeros_ + shape_.in;
      lines_ = sink_ + shape_.out;
      m_ = lines_ + Rows::kInputs * tiling.line();
      v_ = m_ + tiling.sums() * kPoints * m_step_;
    }

    VIDTOK_INLINE void convolve() {
      const auto [frames, stride, padding] = std::array{shape_.kernel[0], shape_.time_stride, shape_.padding[0]};
      int64_t seen = 0;
      for (int64_t t = 0; t < shape_.output[0]; ++t) {
        Term terms[kMostSources];
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
        multiply(terms, count, 0);
        transform_output<false>(t, 0, 0);
      }
    }

    // Of taps w0, w1, w2 the outputs before and after a frame b that follows a are w0 a + w1 a + w2 b and
    // w0 a + w1 b + w2 b. What a frame gives with w1 is in both of its neighbours.
    VIDTOK_INLINE void convolve_repeated_frames() {
      // Where the kernel's middle stands at an output, all come one earlier, and zeros follow the last frame.
      const int64_t earlier = shape_.upsampled == Upsampled::kCenteredFrames ? 1 : 0;
      const int64_t last = shape_.input[0] - 1;
      const int64_t first = 1 - shape_.padding[0];
      if (first == 1) {
        transform_input(0, 0);
        multiply_one(0);
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
        multiply(terms, count, 0);
        const int64_t to = 2 * (b - first) - earlier;
        emit(to, a);
        if (b <= last) {
          multiply_one(b);
          emit(to + 1, b);
        }
      }
    }

   private:
    // A held frame and the tap over time that it is multiplied with.
    struct Term {
      int64_t slot;
      int64_t tap;
    };

    VIDTOK_INLINE void multiply_one(int64_t frame) {
      const Term term{frame & 1, 1};
      multiply(&term, 1, 1 + (frame & 1));
    }

    // Writes frame t, the sums with what `frame`, unless it is one of zeros, gives with w1.
    VIDTOK_INLINE void emit(int64_t t, int64_t frame) {
      if (t < 0 || t >= shape_.output[0]) {
        return;
      }
      if (frame < 0) {
        transform_output<false>(t, 0, 0);
      } else {
        transform_output<true>(t, 0, 1 + (frame & 1));
      }
    }

    // The first row, the first column and the clip of a tile, in tiles.
    struct Place {
      int64_t clip;
      int64_t row;
      int64_t column;
    };
    VIDTOK_INLINE Place place(int64_t tile) const {
      const int64_t line = tile / tiling_.columns_;
      return {line / tiling_.rows_, line % tiling_.rows_, tile % tiling_.columns_};
    }

    // A row of the input.
    VIDTOK_INLINE const float* line(int64_t clip, int64_t frame, int64_t h) const {
      const auto [frames, height, width] = shape_.input;
      const int64_t context = shape_.context;
      const int64_t row = width * shape_.in;
      if (Columns::kTaps == 1) {
        return h < context ? x_.context + (clip * context + h) * row : x_.rest + (clip * (height - context) + h - context) * row;
      }
      const float* picture = frame < context ? x_.context + (clip * context + frame) * height * row
                                          : x_.rest + (clip * (frames - context) + frame - context) * height * row;
      return picture + h * row;
    }

    // Columns from the first of row h on, normalised and activated; kept until others are wanted at the row's place.
    VIDTOK_INLINE const float* normed_line(const float* from, int64_t h, int64_t width) {
      const int place = h % Rows::kInputs;
      float* line = lines_ + place * tiling_.line();
      if (held_[place] != from || widths_[place] != width) {
        norm_silu_rows(*norm_, from, width, line);
        held_[place] = from;
        widths_[place] = width;
      }
      return line;
    }

    VIDTOK_STAGE void transform_input(int64_t frame, int64_t slot) {
      const int64_t in = shape_.in;
      const auto [frames, height, width] = shape_.input;
      float* to = v_ + slot * kPoints * v_step_;
      for (int64_t tile = 0; tile < count_; ++tile, to += in) {
        const auto [clip, row, column] = place(first_ + tile);
        const float* from[Rows::kInputs][Columns::kInputs];
        for (int r = 0; r < Rows::kInputs; ++r) {
          const int64_t h = row * Rows::kStep - shape_.padding[1] + r;
          const bool is_inside = h >= 0 && h < height;
          const float* line = is_inside ? this->line(clip, frame, h) : zeros_;
          if (norm_ != nullptr && is_inside) {
            // What this block's tiles of the row reach.
            const int64_t first = column - std::min(column, tile);
            const int64_t last = column + std::min(tiling_.columns_ - column, count_ - tile) - 1;
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
            for (int c = 0; c < Columns::kPoints; ++c) store(to + (r * Columns::kPoints + c) * v_step_ + i, v[r][c]);
          }
        }
      }
    }

    VIDTOK_STAGE void multiply(const Term* terms, int count, int64_t sums) {
      const int64_t in = shape_.in;
      const int64_t panels = shape_.out / kPanel;
      const int64_t taps = shape_.kernel[0];
      for (int point = 0; point < kPoints; ++point) {
        float* to = m_ + (sums * kPoints + point) * m_step_;
        for (int64_t panel = 0; panel < panels; ++panel, to += kPanel) {
          Source sources[kMostSources];
          for (int term = 0; term < count; ++term) {
            sources[term].rows = v_ + (terms[term].slot * kPoints + point) * v_step_;
            sources[term].panel =
                weights_ + point * tiling_.w_step() + (panel * taps + terms[term].tap) * in * kPanel;
          }
          vidtok::multiply(sources, count, count_, in, to, shape_.out);
        }
      }
    }

    // Writes frame t of y from the sums, and from a second kind of sums if they have two parts.
    template <bool kTwo>
    VIDTOK_STAGE void transform_output(int64_t t, int64_t sums, int64_t more) {
      const int64_t out = shape_.out;
      const auto [frames, height, width] = shape_.output;
      const float* from = m_ + sums * kPoints * m_step_;
      const float* also = m_ + more * kPoints * m_step_;
      for (int64_t tile = 0; tile < count_; ++tile, from += out, also += out) {
        const auto [clip, row, column] = place(first_ + tile);
        float* picture = y_ + (clip * frames + t) * height * width * out;
        float* to[Rows::kOutputs][Columns::kOutputs];
        for (int r = 0; r < Rows::kOutputs; ++r) {
          for (int c = 0; c < Columns::kOutputs; ++c) {
            const int64_t h = row * Rows::kOutputs + r;
            const int64_t w = column * Columns::kOutputs + c;
            to[r][c] = h < height && w < width ? picture + (h * width + w) * out : sink_;
          }
        }
        for (int64_t o = 0; o < out; o += kLanes) {
          Vector m[Rows::kPoints][Columns::kPoints];
          Vector y[Rows::kOutputs][Columns::kOutputs];
#pragma GCC unroll 6
          for (int r = 0; r < Rows::kPoints; ++r) {
#pragma GCC unroll 6
            for (int c = 0; c < Columns::kPoints; ++c) {
              const int64_t place = (r * Columns::kPoints + c) * m_step_ + o;
              m[r][c] = load(from + place);
              if (kTwo) m[r][c] += load(also + place);
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

    const Tiling& tiling_;
    const WinogradShape& shape_;
    const Norm* norm_;
    const WinogradInput& x_;
    const float* weights_;
    const float* bias_;
    float* y_;
    int64_t first_;
    int64_t count_;
    int64_t v_step_;
    int64_t m_step_;
    float* zeros_;
    float* sink_;
    float* lines_;
    const float* held_[Rows::kInputs] = {};
    int64_t widths_[Rows::kInputs] = {};
    float* m_;
    float* v_;
  };

  const WinogradShape& shape_;
  int64_t rows_;
  int64_t columns_;
  int64_t tiles_;
  // Of a block.
  int64_t most_;
  // Tiles that stay in one block: a row of them if it is not too long.
  int64_t unit_;
};

// Calls `work` with the quickest tiling.
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

// Whether all is as the kernels above have it.
bool fits(const WinogradShape& shape) {
  const auto& kernel = shape.kernel;
  const bool has_channels = shape.in > 0 && shape.in % kLanes == 0 && shape.out > 0 && shape.out % kPanel == 0;
  const bool is_square = kernel[1] == 3 && kernel[2] == 3;
  const bool is_column = kernel[1] == 3 && kernel[2] == 1 && shape.upsampled == Upsampled::kNone;
  const bool is_over_pairs = shape.upsampled == Upsampled::kFrames || shape.upsampled == Upsampled::kCenteredFrames;
  const bool has_taps = is_over_pairs ? kernel[0] == 3 : kernel[0] <= kMostSources;
  const auto& output = shape.output;
  if (shape.normed && (kernel[0] > 1 || kernel[2] == 1)) {
    return false;
  }
  // Counted in floating point, in which nothing overflows: this many multiplications no machine makes.
  double multiply_adds = static_cast<double>(shape.in) * shape.out * kernel[0] * kernel[1] * kernel[2] * shape.clips;
  for (const int64_t size : output) {
    multiply_adds *= size;
  }
  return has_channels && (is_square || is_column) && has_taps && multiply_adds > 0 && multiply_adds < 0x1p56;
}

}  // namespace

bool winograd_wins(const WinogradShape& shape) {
  if (!has_vectors() || !fits(shape)) {
    return false;
  }
  const auto& [frames, height, width] = shape.output;
  const int64_t taps = shape.kernel[0] * shape.kernel[1] * shape.kernel[2];
  const int64_t direct = shape.clips * frames * height * width * taps * shape.in * shape.out;
  // Upsampled pixels and frames too are compared with `direct`: folding their taps, which libtorch is left with, multiplies
  // less, and took longer than this where that was timed (docs/PERFORMANCE.md).
  // How many multiplications libtorch makes in the time of one of ours, at most.
  const int64_t pace = has_wider_vectors() ? 2 : 1;
  return pace * with_tiling(shape, [&](const auto& tiling) { return tiling.cost(); }) < direct;
}

WinogradPlan winograd_plan(const WinogradShape& shape, int64_t threads) {
  return with_tiling(shape, [&](const auto& tiling) { return tiling.plan(threads); });
}

VIDTOK_AVX2
void winograd_weights(const WinogradShape& shape, const WinogradTaps& taps, int64_t begin, int64_t end,
                      float* weights) {
  with_tiling(shape, [&](const auto& tiling) VIDTOK_AVX2 { tiling.transform_weights(taps, begin, end, weights); });
}

VIDTOK_AVX2
void winograd_block(const WinogradShape& shape, const WinogradPlan& plan, const Norm* norm, const WinogradInput& x,
                    const float* weights, const float* bias, int64_t block, float* scratch, float* y) {
  with_tiling(shape, [&](const auto& tiling)
                         VIDTOK_AVX2 { tiling.run(plan, norm, x, weights, bias, block, scratch, y); });
}

}  // namespace vidtok
