// No job: what the device itself can do, so that a kernel's time can be held against a floor.
#include "words.cuh"

struct CeilingArgs {
    // A word for each thread, so that nothing is optimised away.
    u32* out;
    u32 rounds;
    u32 p;
    Shoup factor;
};

DEVICE void keep(const u32 (&x)[8], u32* out) {
    out[(u64)blockIdx.x * 256 + threadIdx.x] = x[0] ^ x[1] ^ x[2] ^ x[3] ^ x[4] ^ x[5] ^ x[6] ^ x[7];
}

// Products mod p by a known factor, as in a butterfly: eight chains in each thread, 16 times a high half and two low ones in a round.
KERNEL(ceiling_products, CeilingArgs, 256) {
    u32 x[8];
#pragma unroll
    for (u32 i = 0; i < 8; i++) x[i] = threadIdx.x + i;
#pragma unroll 1
    for (u32 round = 0; round < args.rounds; round++) {
#pragma unroll
        for (u32 i = 0; i < 16; i++) x[i % 8] = mul_lazy(x[i % 8], args.factor.factor, args.factor.quotient, args.p);
    }
    keep(x, args.out);
}

// Instructions: a product with an addition, and a choice of bits, in turn, because different units do them; 32 of each in a round.
KERNEL(ceiling_instructions, CeilingArgs, 256) {
    u32 x[8], y[8];
#pragma unroll
    for (u32 i = 0; i < 8; i++) x[i] = threadIdx.x + i, y[i] = threadIdx.x * i;
#pragma unroll 1
    for (u32 round = 0; round < args.rounds; round++) {
#pragma unroll
        for (u32 i = 0; i < 32; i++) {
            x[i % 8] = x[i % 8] * args.factor.factor + x[(i + 1) % 8];
            y[i % 8] ^= y[(i + 1) % 8] & args.p;
        }
    }
#pragma unroll
    for (u32 i = 0; i < 8; i++) x[i] ^= y[i];
    keep(x, args.out);
}
