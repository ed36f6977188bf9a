// Streams of the expander: a thread makes whole blocks of ChaCha20, sixteen words, in registers.
#pragma once
#include "words.cuh"

// What a stream is for: `Domain` of kernels/src/expand.rs.
enum Domain : u32 { DOMAIN_A = 1, DOMAIN_OVERFLOW = 2, DOMAIN_S = 3, DOMAIN_E = 4 };

struct Seed {
    u32 words[8];
};

DEVICE u32 rotate(u32 x, int left) {
    return __funnelshift_l(x, x, left);
}

DEVICE void quarter_round(u32& a, u32& b, u32& c, u32& d) {
    a += b, d = rotate(d ^ a, 16);
    c += d, b = rotate(b ^ c, 12);
    a += b, d = rotate(d ^ a, 8);
    c += d, b = rotate(b ^ c, 7);
}

// Block `counter` of a stream. Constant time.
DEVICE void block(u32 (&x)[16], const Seed& seed, u32 domain, u32 poly, u32 limb, u32 counter) {
    // "expand 32-byte k", RFC 8439 section 2.3.
    x[0] = 0x61707865, x[1] = 0x3320646E, x[2] = 0x79622D32, x[3] = 0x6B206574;
#pragma unroll
    for (int i = 0; i < 8; i++) x[4 + i] = seed.words[i];
    x[12] = counter, x[13] = domain, x[14] = poly, x[15] = limb;
#pragma unroll 1
    for (int i = 0; i < 10; i++) {
        quarter_round(x[0], x[4], x[8], x[12]);
        quarter_round(x[1], x[5], x[9], x[13]);
        quarter_round(x[2], x[6], x[10], x[14]);
        quarter_round(x[3], x[7], x[11], x[15]);
        quarter_round(x[0], x[5], x[10], x[15]);
        quarter_round(x[1], x[6], x[11], x[12]);
        quarter_round(x[2], x[7], x[8], x[13]);
        quarter_round(x[3], x[4], x[9], x[14]);
    }
    x[0] += 0x61707865, x[1] += 0x3320646E, x[2] += 0x79622D32, x[3] += 0x6B206574;
#pragma unroll
    for (int i = 0; i < 8; i++) x[4 + i] += seed.words[i];
    x[12] += counter, x[13] += domain, x[14] += poly, x[15] += limb;
}

// Coefficient `index` when its first word was not below p: the first good word of a block of its own. Public, so its
// time may depend on it. Rare, so it is a call; the seed goes by value, as a pointer to parameters needs newer drivers.
// `inline`, not `static`: a name of its own file alone carries a hash of where it was compiled, and the images must not.
inline __device__ __noinline__ u32 redraw(Seed seed, u32 p, u32 mask, u32 poly, u32 limb, u32 index) {
    u32 x[16];
    block(x, seed, DOMAIN_OVERFLOW, poly, limb, index);
    // Sixteen misses have probability below 2^-16 even for the worst prime; then a multiply decides.
    const u64 wide = (u64)x[1] << 32 | x[0];
    u32 value = (u32)__umul64hi(wide, p);
#pragma unroll
    for (int i = 15; i >= 0; i--) value = (x[i] & mask) < p ? x[i] & mask : value;
    return value;
}

// Words 16t..16t+16 of one limb of a public polynomial, in [0, p): the positions that thread t has in the lowest pass
// of a transform.
DEVICE void uniform(u32 (&x)[16], const Seed& seed, u32 p, u32 poly, u32 limb, u32 t) {
    block(x, seed, DOMAIN_A, poly, limb, t);
    // Bits of p - 1.
    const u32 mask = 0xFFFFFFFF >> __clz(p - 1);
    u32 rejected = 0;
#pragma unroll
    for (int i = 0; i < 16; i++) {
        x[i] &= mask;
        rejected |= (u32)(x[i] >= p) << i;
    }
    while (rejected) {
        const u32 which = __ffs(rejected) - 1;
        const u32 value = redraw(seed, p, mask, poly, limb, 16 * t + which);
        // No index into registers: a chain of selections instead.
#pragma unroll
        for (u32 i = 0; i < 16; i++) x[i] = i == which ? value : x[i];
        rejected &= rejected - 1;
    }
}

// Added to every small coefficient so that it fits a byte without a sign.
static constexpr u32 BIAS = 32;

// Eight coefficients of CBD(32) as biased bytes: the ones of one word minus those of the next. Constant time.
DEVICE uint2 small_eight(const Seed& seed, u32 domain, u32 poly, u32 counter) {
    u32 x[16];
    block(x, seed, domain, poly, 0, counter);
    u32 bytes[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < 8; i++) bytes[i / 4] |= (BIAS + __popc(x[2 * i]) - __popc(x[2 * i + 1])) << (8 * (i % 4));
    return make_uint2(bytes[0], bytes[1]);
}
