// Winograd's algorithms along one axis (Winograd 1980; for convolutions Lavin and Gray, arXiv 1509.09308): outputs from
// products of transformed inputs and transformed weights, with fewer multiplications than outputs times taps.
//
// F(m, r) computes m outputs of r taps with m + r - 1 multiplications, one for each point at which the polynomials of
// inputs and weights are evaluated. Each struct transforms `kInputs` neighbours to `kOutputs` outputs. The inputs of
// the next tile start `kStep` later.
#pragma once

#include "../vector.h"

namespace vidtok {

// An axis along which the kernel has one tap.
struct Untransformed {
  static constexpr int kTaps = 1, kInputs = 1, kPoints = 1, kOutputs = 1, kStep = 1;

  template <class T>
  VIDTOK_INLINE static void input(const T (&x)[1], T (&v)[1]) { v[0] = x[0]; }
  template <class T>
  VIDTOK_INLINE static void weight(const T (&w)[1], T (&u)[1]) { u[0] = w[0]; }
  template <class T>
  VIDTOK_INLINE static void output(const T (&m)[1], T (&y)[1]) { y[0] = m[0]; }
};

// F(2, 3) with points 0, 1, -1 and infinity.
struct F2x3 {
  static constexpr int kTaps = 3, kInputs = 4, kPoints = 4, kOutputs = 2, kStep = 2;

  template <class T>
  VIDTOK_INLINE static void input(const T (&x)[4], T (&v)[4]) {
    v[0] = x[0] - x[2];
    v[1] = x[2] + x[1];
    v[2] = x[2] - x[1];
    v[3] = x[3] - x[1];
  }
  template <class T>
  VIDTOK_INLINE static void weight(const T (&w)[3], T (&u)[4]) {
    const T even = 0.5f * (w[0] + w[2]);
    const T odd = 0.5f * w[1];
    u[0] = w[0];
    u[1] = even + odd;
    u[2] = even - odd;
    u[3] = w[2];
  }
  template <class T>
  VIDTOK_INLINE static void output(const T (&m)[4], T (&y)[2]) {
    y[0] = m[0] + (m[1] + m[2]);
    y[1] = (m[1] - m[2]) + m[3];
  }
};

// F(4, 3) with points 0, +-sqrt(1/2), +-sqrt(2) and infinity. Rounding errors are less than half of those with the
// usual points 0, +-1, +-2 and infinity.
struct F4x3 {
  static constexpr int kTaps = 3, kInputs = 6, kPoints = 6, kOutputs = 4, kStep = 4;
  static constexpr float kNear = 0.70710678f;
  static constexpr float kFar = 1.41421356f;

  template <class T>
  VIDTOK_INLINE static void input(const T (&x)[6], T (&v)[6]) {
    const T near_even = x[4] - 2.0f * x[2];
    const T near_odd = kNear * x[3] - kFar * x[1];
    const T far_even = x[4] - 0.5f * x[2];
    const T far_odd = kFar * x[3] - kNear * x[1];
    v[0] = (x[0] + x[4]) - 2.5f * x[2];
    v[1] = near_even + near_odd;
    v[2] = near_even - near_odd;
    v[3] = far_even + far_odd;
    v[4] = far_even - far_odd;
    v[5] = (x[1] + x[5]) - 2.5f * x[3];
  }
  template <class T>
  VIDTOK_INLINE static void weight(const T (&w)[3], T (&u)[6]) {
    constexpr float kThird = 1.0f / 3.0f;
    const T near_even = -kThird * (2.0f * w[0] + w[2]);
    const T near_odd = -kThird * kFar * w[1];
    const T far_even = kThird * (0.5f * w[0] + w[2]);
    const T far_odd = kThird * kNear * w[1];
    u[0] = w[0];
    u[1] = near_even + near_odd;
    u[2] = near_even - near_odd;
    u[3] = far_even + far_odd;
    u[4] = far_even - far_odd;
    u[5] = w[2];
  }
  template <class T>
  VIDTOK_INLINE static void output(const T (&m)[6], T (&y)[4]) {
    const T near_even = m[1] + m[2];
    const T near_odd = m[1] - m[2];
    const T far_even = m[3] + m[4];
    const T far_odd = m[3] - m[4];
    y[0] = m[0] + near_even + far_even;
    y[1] = kNear * near_odd + kFar * far_odd;
    y[2] = 0.5f * near_even + 2.0f * far_even;
    y[3] = (0.5f * kNear) * near_odd + (2.0f * kFar) * far_odd + m[5];
  }
};

// Two outputs of three taps on an axis that is upsampled by two: the taps meet the sources a, b, b, then b, b, c. With
// s the sum of the weights, the outputs are s b + w0 (a - b) and s b + w2 (c - b): three multiplications.
struct UpsampledPair {
  static constexpr int kTaps = 3, kInputs = 3, kPoints = 3, kOutputs = 2, kStep = 1;

  template <class T>
  VIDTOK_INLINE static void input(const T (&x)[3], T (&v)[3]) {
    v[0] = x[0] - x[1];
    v[1] = x[1];
    v[2] = x[2] - x[1];
  }
  template <class T>
  VIDTOK_INLINE static void weight(const T (&w)[3], T (&u)[3]) {
    u[0] = w[0];
    u[1] = w[0] + w[1] + w[2];
    u[2] = w[2];
  }
  template <class T>
  VIDTOK_INLINE static void output(const T (&m)[3], T (&y)[2]) {
    y[0] = m[1] + m[0];
    y[1] = m[1] + m[2];
  }
};

// Transforms the columns of `from`, then the rows of the result.
template <class T, int kRows, int kColumns, int kToRows, int kToColumns, class Down, class Across>
VIDTOK_INLINE void transform_both(const T (&from)[kRows][kColumns], T (&to)[kToRows][kToColumns], Down&& down,
                                  Across&& across) {
  T half[kToRows][kColumns];
#pragma GCC unroll 6
  for (int c = 0; c < kColumns; ++c) {
    T column[kRows], transformed[kToRows];
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) column[r] = from[r][c];
    down(column, transformed);
#pragma GCC unroll 6
    for (int r = 0; r < kToRows; ++r) half[r][c] = transformed[r];
  }
#pragma GCC unroll 6
  for (int r = 0; r < kToRows; ++r) across(half[r], to[r]);
}

// Rows and columns, one after the other.
template <class Rows, class Columns>
struct Planar {
  template <class T>
  VIDTOK_INLINE static void input(const T (&x)[Rows::kInputs][Columns::kInputs],
                                  T (&v)[Rows::kPoints][Columns::kPoints]) {
    transform_both(x, v, Rows::template input<T>, Columns::template input<T>);
  }
  template <class T>
  VIDTOK_INLINE static void weight(const T (&w)[Rows::kTaps][Columns::kTaps],
                                   T (&u)[Rows::kPoints][Columns::kPoints]) {
    transform_both(w, u, Rows::template weight<T>, Columns::template weight<T>);
  }
  template <class T>
  VIDTOK_INLINE static void output(const T (&m)[Rows::kPoints][Columns::kPoints],
                                   T (&y)[Rows::kOutputs][Columns::kOutputs]) {
    transform_both(m, y, Rows::template output<T>, Columns::template output<T>);
  }
};

}  // namespace vidtok
