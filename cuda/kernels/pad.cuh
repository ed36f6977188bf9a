// a_j * s inside a block: what pad, encrypt and decrypt have in common.
#pragma once
#include "expand.cuh"
#include "ntt.cuh"

// One prime of a ring.
struct Limb {
    Field field;
    // Roots of the inverse transform.
    const uint2* roots;
    // The transformed secret times n^-1: factors and quotients as `key` below leaves them.
    const uint2* key;
};

struct RingArgs {
    Limb limb[2];
    u32 limbs;
    u32 polys;
    u32 first_poly;
    Seed a_seed;
    // The public polynomials [polynomial][limb][word], where they were expanded before; otherwise null.
    const u32* cached;
};

// A key's word i of thread t lies at i * (n / 16) + t, so that neighbouring threads read neighbouring words.
template <int LOG>
DEVICE u32 key_spot(u32 t, u32 i) {
    return i * (Size<LOG>::n / 16) + t;
}

// One limb of a_poly * s for all of the block's polynomials, up to the top pass, whose words are then in shared memory.
template <int LOG>
DEVICE void product_lower(const RingArgs& args, u32 limb, u32 first_poly, u32* shared) {
    typedef Size<LOG> S;
    const Limb& at = args.limb[limb];
    __syncthreads();
    for (u32 round = 0; round < S::rounds; round++) {
        const u32 thread = threadIdx.x + round * S::threads;
        const u32 t = thread & (S::n / 16 - 1), poly = first_poly + (thread >> (LOG - 4));
        u32 x[16];
        if (args.cached != nullptr && poly < args.polys) {
            const uint4* from = reinterpret_cast<const uint4*>(args.cached + ((u64)poly * args.limbs + limb) * S::n) + 4 * t;
#pragma unroll
            for (int i = 0; i < 16; i += 4) {
                const uint4 four = __ldg(&from[i / 4]);
                x[i] = four.x, x[i + 1] = four.y, x[i + 2] = four.z, x[i + 3] = four.w;
            }
        } else {
            uniform(x, args.a_seed, at.field.p, args.first_poly + poly, limb, t);
        }
#pragma unroll
        for (u32 i = 0; i < 16; i++) {
            const uint2 factor = __ldg(&at.key[key_spot<LOG>(t, i)]);
            x[i] = mul_lazy(x[i], factor.x, factor.y, at.field.p);
        }
        inverse_stages<4>(x, at.roots, S::n / 16, t, at.field);
        store_words<LOG, 0>(x, shared, thread);
    }
    inverse_middle<LOG>(shared, at.roots, at.field);
}

// The top pass: residues in [0, p), word i of a thread being coefficient first + i * (n / 16) of its polynomial.
template <int LOG>
DEVICE void product_top(u32 (&x)[16], const Limb& limb, const u32* shared, u32 thread) {
    load_words<LOG, LOG - 4>(x, shared, thread);
    inverse_stages<Size<LOG>::top_stages>(x, limb.roots, 1, 0, limb.field);
#pragma unroll
    for (int i = 0; i < 16; i++) x[i] = reduce_once(x[i], limb.field.p);
}

// The errors of the block's polynomials as biased bytes, coefficient after coefficient.
template <int LOG>
DEVICE void errors(const RingArgs& args, const Seed& seed, u32 first_poly, unsigned char* bytes) {
    typedef Size<LOG> S;
    for (u32 i = threadIdx.x; i < S::polys * S::n / 8; i += S::threads) {
        const u32 poly = args.first_poly + first_poly + i / (S::n / 8);
        reinterpret_cast<uint2*>(bytes)[i] = small_eight(seed, DOMAIN_E, poly, i % (S::n / 8));
    }
}

// A residue plus a small coefficient given as its biased byte: [0, p) + [p - 32, p + 32] is below 2p + 32.
DEVICE u32 add_small(u32 x, u32 byte, const Field& field) {
    return reduce_once(reduce_once(x + byte + field.p - BIAS, field.p), field.p);
}
