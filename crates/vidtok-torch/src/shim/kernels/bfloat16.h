// Numbers in bfloat16, the upper half of a float32, in CPU memory.
#pragma once

#include <cstdint>

namespace vidtok {

void widen(const uint16_t* from, int64_t count, float* to);

// Rounds to the nearest number, ties to even. NaN stays NaN.
void narrow(const float* from, int64_t count, uint16_t* to);

}  // namespace vidtok
