// No job: what the device itself can do, so that a kernel's time can be held against a floor.
#include "words.cuh"

struct CeilingArgs {
    // A word for each thread, so that nothing is optimised away.
    u32* out;
    u32 rounds;
    u32 factor;
};

// Eight chains of products in each thread, sixteen products of each kind in a round.
KERNEL(ceiling_multiply_low, CeilingArgs, 256) {
    u32 x[8];
#pragma unroll
    for (u32 i = 0; i < 8; i++) x[i] = threadIdx.x + i;
#pragma unroll 1
    for (u32 round = 0; round < args.rounds; round++) {
#pragma unroll
        for (u32 i = 0; i < 16; i++) x[i % 8] = x[i % 8] * args.factor + x[(i + 1) % 8];
    }
    args.out[(u64)blockIdx.x * 256 + threadIdx.x] = x[0] ^ x[1] ^ x[2] ^ x[3] ^ x[4] ^ x[5] ^ x[6] ^ x[7];
}

KERNEL(ceiling_multiply_high, CeilingArgs, 256) {
    u32 x[8];
#pragma unroll
    for (u32 i = 0; i < 8; i++) x[i] = 0x9E3779B9 * (threadIdx.x + i + 1);
#pragma unroll 1
    for (u32 round = 0; round < args.rounds; round++) {
#pragma unroll
        for (u32 i = 0; i < 16; i++) x[i % 8] = __umulhi(x[i % 8], args.factor) + x[(i + 1) % 8];
    }
    args.out[(u64)blockIdx.x * 256 + threadIdx.x] = x[0] ^ x[1] ^ x[2] ^ x[3] ^ x[4] ^ x[5] ^ x[6] ^ x[7];
}
