// Batched transforms of whole polynomials, in place. Constant time in the words.
#include "ntt.cuh"

struct NttArgs {
    u32* words;
    const uint2* roots;
    u32 polys;
    Field field;
    // n^-1, and the last root of an inverse transform times n^-1.
    Shoup n_inverse;
    Shoup last_root;
};

// The 512 words of a warp between memory, in neighbouring 16 bytes, and shared memory. Polynomials past the end of the
// batch are left out.
template <int LOG, bool TO_SHARED>
DEVICE void copy_warp(u32* shared, u32* words, u32 thread, u32 polys) {
    const u32 first = thread / 32 * 512 + thread % 32 * 4;
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        const u32 index = first + 128 * i;
        if (index >> LOG >= polys) continue;
        uint4* near = reinterpret_cast<uint4*>(&shared[spot<LOG>(index)]);
        uint4* far = reinterpret_cast<uint4*>(&words[index]);
        if (TO_SHARED) *near = *far;
        else *far = *near;
    }
}

template <int LOG>
DEVICE void ntt_forward(const NttArgs& args, u32* shared) {
    typedef Size<LOG> S;
    const u32 first_poly = blockIdx.x * S::polys;
    u32* words = args.words + (u64)first_poly * S::n;
    const u32 polys = args.polys - first_poly;
    const Field field = args.field;
    for (u32 round = 0; round < S::rounds; round++) {
        const u32 thread = threadIdx.x + round * S::threads;
        const u32 first = first_index(thread, LOG - 4);
        u32 x[16];
#pragma unroll
        for (u32 i = 0; i < 16; i++) {
            x[i] = first >> LOG < polys ? words[first + (i << (LOG - 4))] : 0;
            // The first stage takes its upper words as they are: they meet a product at once.
            if (i < 8) x[i] = tame(x[i], field);
        }
        forward_stages<S::top_stages>(x, args.roots, 1, 0, field);
        store_words<LOG, LOG - 4>(x, shared, thread);
    }
    forward_middle<LOG>(shared, args.roots, field);
    for (u32 round = 0; round < S::rounds; round++) {
        const u32 thread = threadIdx.x + round * S::threads;
        u32 x[16];
        load_words<LOG, 0>(x, shared, thread);
        forward_stages<4>(x, args.roots, S::n / 16, thread & (S::n / 16 - 1), field);
#pragma unroll
        for (u32 i = 0; i < 16; i++) x[i] = reduce_once(reduce_once(x[i], field.two_p), field.p);
        store_words<LOG, 0>(x, shared, thread);
        __syncwarp();
        copy_warp<LOG, false>(shared, words, thread, polys);
    }
}

template <int LOG>
DEVICE void ntt_inverse(const NttArgs& args, u32* shared) {
    typedef Size<LOG> S;
    const u32 first_poly = blockIdx.x * S::polys;
    u32* words = args.words + (u64)first_poly * S::n;
    const u32 polys = args.polys - first_poly;
    const Field field = args.field;
    for (u32 round = 0; round < S::rounds; round++) {
        const u32 thread = threadIdx.x + round * S::threads;
        copy_warp<LOG, true>(shared, words, thread, polys);
        __syncwarp();
        u32 x[16];
        load_words<LOG, 0>(x, shared, thread);
#pragma unroll
        for (u32 i = 0; i < 16; i++) x[i] = tame(x[i], field);
        inverse_stages<4>(x, args.roots, S::n / 16, thread & (S::n / 16 - 1), field);
        store_words<LOG, 0>(x, shared, thread);
    }
    inverse_middle<LOG>(shared, args.roots, field);
    for (u32 round = 0; round < S::rounds; round++) {
        const u32 thread = threadIdx.x + round * S::threads;
        const u32 first = first_index(thread, LOG - 4);
        u32 x[16];
        load_words<LOG, LOG - 4>(x, shared, thread);
        inverse_upper_stages<S::top_stages>(x, args.roots, 1, 0, field);
        // The last stage carries n^-1.
#pragma unroll
        for (u32 k = 0; k < 8; k++) {
            const u32 u = x[k], v = x[k + 8];
            x[k] = mul_lazy(u + v, args.n_inverse.factor, args.n_inverse.quotient, field.p);
            x[k + 8] = mul_lazy(u + field.two_p - v, args.last_root.factor, args.last_root.quotient, field.p);
        }
        if (first >> LOG < polys) {
#pragma unroll
            for (u32 i = 0; i < 16; i++) words[first + (i << (LOG - 4))] = reduce_once(x[i], field.p);
        }
    }
}

#define BOTH(LOG)                                                        \
    KERNEL(ntt_forward_##LOG, NttArgs, Size<LOG>::threads) {             \
        extern __shared__ uint4 block_memory[];                          \
        ntt_forward<LOG>(args, reinterpret_cast<u32*>(block_memory));    \
    }                                                                    \
    KERNEL(ntt_inverse_##LOG, NttArgs, Size<LOG>::threads) {             \
        extern __shared__ uint4 block_memory[];                          \
        ntt_inverse<LOG>(args, reinterpret_cast<u32*>(block_memory));    \
    }

BOTH(8)
BOTH(9)
BOTH(10)
BOTH(11)
BOTH(12)
BOTH(13)
BOTH(14)
BOTH(15)
