// The cost model, which chooses among tilings and between these kernels and libtorch's.
#pragma once

#include <cstdint>

namespace vidtok {

// Times measured on an AVX2 machine, each as the number of multiply-accumulates of the multiply kernel (multiply.h)
// that take as long: transforming one value of the input or of the output at one point, and transforming the weights of
// one pair of channels and one tap over time at all points.
constexpr int64_t kInputTransformCost = 40;
constexpr int64_t kOutputTransformCost = 20;
constexpr int64_t kWeightTransformCost = 160;

// Multiply-accumulates that libtorch makes in the time of one of ours. Kernels for AVX-512 are assumed to make two;
// this was not measured.
constexpr int64_t kLibtorchPace = 1;
constexpr int64_t kLibtorchWidePace = 2;

// What a convolution by one tiling does.
struct WinogradWork {
  int64_t multiply_adds;
  // Values of the input and of the output, each at one point.
  int64_t input_values;
  int64_t output_values;
  // Pairs of channels times taps over time.
  int64_t weights;

  // The time, in multiply-accumulates.
  int64_t cost() const {
    return multiply_adds + kInputTransformCost * input_values + kOutputTransformCost * output_values +
           kWeightTransformCost * weights;
  }
};

}  // namespace vidtok
