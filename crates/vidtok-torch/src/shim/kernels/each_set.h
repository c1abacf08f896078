// Plain loops for every instruction set.
#pragma once

// Compiles a function, with what is inlined into it, once for each of these instruction sets; the loader takes the best
// that the machine has. Features are named, not processors: the latter would match exactly that processor.
#if defined(__x86_64__) && defined(__linux__)
#define VIDTOK_FOR_EACH_SET __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define VIDTOK_FOR_EACH_SET
#endif
