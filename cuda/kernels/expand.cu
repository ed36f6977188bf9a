// What is expanded before it is used: the secret of a message, the sum of secrets, as keys; and the public polynomials,
// for an engine that keeps them.
#include "pad.cuh"

// Where a key comes from.
enum Source : u32 { SOURCE_MESSAGE = 0, SOURCE_SUM = 1 };

struct KeyArgs {
    uint2* key;
    // Roots of the forward transform.
    const uint2* roots;
    // A message's seed (8 words), or n signed coefficients.
    const void* secret;
    Field field;
    Shoup n_inverse;
    // floor((2^64 - 1) / p)
    u32 reciprocal_low;
    u32 reciprocal_high;
    u32 source;
};

// A signed coefficient mod p, for |x| < 2^30: |x| mod p, as p minus that where x is negative. No jump, no division.
DEVICE u32 residue(i32 x, const Field& field) {
    const u32 sign = (u32)(x >> 31);
    const u32 magnitude = ((u32)x ^ sign) - sign;
    const u32 reduced = reduce_once(mul_lazy(magnitude, 1, field.one, field.p), field.p);
    return reduce_once((reduced ^ sign) - sign + (field.p & sign), field.p);
}

// floor(x * 2^32 / p): the estimate is at most one too small.
DEVICE u32 quotient_of(u32 x, u32 p, u64 reciprocal) {
    const u64 numerator = (u64)x << 32;
    const u64 estimate = __umul64hi(numerator, reciprocal);
    return (u32)(estimate + at_least(numerator - estimate * p, p));
}

template <int LOG>
DEVICE void key(const KeyArgs& args, u32* shared) {
    typedef Size<LOG> S;
    const Field field = args.field;
    const u64 reciprocal = (u64)args.reciprocal_high << 32 | args.reciprocal_low;
    unsigned char* bytes = reinterpret_cast<unsigned char*>(shared + S::words);
    // One block, one polynomial; in a block made for several the other threads only wait.
    if (args.source == SOURCE_MESSAGE) {
        const Seed seed = *static_cast<const Seed*>(args.secret);
        for (u32 i = threadIdx.x; i < S::n / 8; i += S::threads)
            reinterpret_cast<uint2*>(bytes)[i] = small_eight(seed, DOMAIN_S, 0, i);
        __syncthreads();
    }
    for (u32 round = 0; round < S::rounds; round++) {
        const u32 thread = threadIdx.x + round * S::threads;
        if (thread >= S::n / 16) continue;
        const u32 first = first_index(thread, LOG - 4);
        u32 x[16];
#pragma unroll
        for (u32 i = 0; i < 16; i++) {
            const u32 at = first + (i << (LOG - 4));
            x[i] = args.source == SOURCE_MESSAGE ? bytes[at] + field.p - BIAS
                                                 : residue(static_cast<const i32*>(args.secret)[at], field);
        }
        forward_stages<S::top_stages>(x, args.roots, 1, 0, field);
        store_words<LOG, LOG - 4>(x, shared, thread);
    }
    forward_middle<LOG>(shared, args.roots, field);
    for (u32 round = 0; round < S::rounds; round++) {
        const u32 thread = threadIdx.x + round * S::threads;
        if (thread >= S::n / 16) continue;
        u32 x[16];
        load_words<LOG, 0>(x, shared, thread);
        forward_stages<4>(x, args.roots, S::n / 16, thread, field);
#pragma unroll
        for (u32 i = 0; i < 16; i++) {
            const u32 lazy = mul_lazy(x[i], args.n_inverse.factor, args.n_inverse.quotient, field.p);
            const u32 factor = reduce_once(lazy, field.p);
            args.key[key_spot<LOG>(thread, i)] = make_uint2(factor, quotient_of(factor, field.p, reciprocal));
        }
    }
    erase(shared, S::words + S::n / 4);
}

struct PublicArgs {
    u32* words;
    u32 p[2];
    u32 limbs;
    u32 log;
    u32 first_poly;
    // Threads with a block to make: polynomials * limbs * n / 16.
    u32 blocks_low;
    u32 blocks_high;
    Seed a_seed;
};

// The public polynomials of a round, [polynomial][limb][word].
KERNEL(expand_public, PublicArgs, 256) {
    const u64 index = (u64)blockIdx.x * 256 + threadIdx.x;
    if (index >= ((u64)args.blocks_high << 32 | args.blocks_low)) return;
    const u32 t = (u32)index & ((1u << (args.log - 4)) - 1);
    const u64 row = index >> (args.log - 4);
    const u32 limb = args.limbs == 2 ? (u32)row & 1 : 0;
    const u32 poly = (u32)(args.limbs == 2 ? row >> 1 : row);
    u32 x[16];
    uniform(x, args.a_seed, limb == 0 ? args.p[0] : args.p[1], args.first_poly + poly, limb, t);
    uint4* to = reinterpret_cast<uint4*>(args.words) + 4 * index;
#pragma unroll
    for (int i = 0; i < 16; i += 4) to[i / 4] = make_uint4(x[i], x[i + 1], x[i + 2], x[i + 3]);
}

#define EACH(LOG)                                                  \
    KERNEL(key_##LOG, KeyArgs, Size<LOG>::threads) {               \
        extern __shared__ uint4 block_memory[];                    \
        key<LOG>(args, reinterpret_cast<u32*>(block_memory));      \
    }

EACH(8)
EACH(9)
EACH(10)
EACH(11)
EACH(12)
EACH(13)
EACH(14)
EACH(15)
