// Words, and the few operations on them that every kernel shares. Ranges are stated as in ntt/src/reduce.rs.
#pragma once
#include <stdint.h>

typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t i32;
typedef int64_t i64;

// One struct as the only parameter: its mirror in src/arguments.rs has the same fields in the same order, and the
// launch passes its size, which the driver checks.
#ifndef KERNEL
#define KERNEL(name, Args, threads) \
    extern "C" __global__ void __launch_bounds__(threads) name(const __grid_constant__ Args args)
#endif
#define DEVICE static __device__ __forceinline__

// A constant factor with its quotient floor(factor * 2^32 / p).
struct Shoup {
    u32 factor;
    u32 quotient;
};

// Any x; [0, 2p). One high product, two low ones.
DEVICE u32 mul_lazy(u32 x, u32 factor, u32 quotient, u32 p) {
    return x * factor - __umulhi(x, quotient) * p;
}

// [0, 2 * bound) to [0, bound), for bound <= 2^31: where x < bound the difference wraps and the minimum is x.
DEVICE u32 reduce_once(u32 x, u32 bound) {
    return min(x, x - bound);
}

// 1 if a >= b, else 0, for both below 2^63. No jump: a secret may be compared.
DEVICE u64 at_least(u64 a, u64 b) {
    return ((a - b) >> 63) ^ 1;
}

// Overwrites a block's shared memory before it ends: another kernel may find what this one left.
DEVICE void erase(volatile u32* words, u32 count) {
    __syncthreads();
    for (u32 i = threadIdx.x; i < count; i += blockDim.x) words[i] = 0;
}
