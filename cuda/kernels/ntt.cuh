// The transform inside a block. Sixteen words of a polynomial lie in a thread's registers; up to four stages run on
// them, then they change places through shared memory. Nothing is permuted: forward takes natural to bit-reversed
// order, inverse takes it back.
//
// A pass works on four bits of a word's index: words `1 << low` apart are in one thread. The first pass of a forward
// transform (the last of an inverse one) works on the top four bits and does the log2 n mod 4 stages that the others
// leave over. Roots lie pass by pass, slot by slot, so that neighbouring threads read neighbouring roots:
// see `Roots` in src/tables.rs.
#pragma once
#include "words.cuh"

template <int LOG>
struct Size {
    static constexpr u32 n = 1u << LOG;
    static constexpr int passes = (LOG + 3) / 4;
    static constexpr int top_stages = LOG - 4 * (passes - 1);
    // Small polynomials share a block of 128 threads; the largest goes through 1024 threads twice.
    static constexpr u32 polys = LOG < 11 ? 1u << (11 - LOG) : 1;
    static constexpr u32 rounds = LOG == 15 ? 2 : 1;
    static constexpr u32 threads = polys * n / 16 / rounds;
    static constexpr bool spread = LOG <= 13;
    static constexpr u32 words = spread ? polys * n / 16 * 19 : polys * n;
};

struct Field {
    u32 p;
    u32 two_p;
    // floor(2^32 / p)
    u32 one;
};

// Where a word of the block's polynomials lies in shared memory: gaps of 4 words after every 32 and of 16 after every
// 256 keep the banks apart in each pass. For large polynomials memory is scarcer than banks.
template <int LOG>
DEVICE u32 spot(u32 index) {
    return Size<LOG>::spread ? index + (index >> 5) * 4 + (index >> 8) * 16 : index;
}

// Index of a thread's first word in the pass on bits low..low+4; the others follow `1 << low` apart.
DEVICE u32 first_index(u32 thread, int low) {
    return (thread >> low) << (low + 4) | (thread & ((1u << low) - 1));
}

// Any word to [0, 2p). For p above 2^29, 2^32 < 8p and two subtractions do.
DEVICE u32 tame(u32 x, const Field& field) {
    if (field.p > 1u << 29) return reduce_once(reduce_once(x, 4 * field.p), field.two_p);
    return x - __umulhi(x, field.one) * field.p;
}

// Root number `part` of stage s of a pass: 2^s of them for each group.
DEVICE uint2 root_of(const uint2* roots, int stage, int part, u32 groups, u32 group) {
    return __ldg(&roots[groups - 1 + ((1u << stage) - 1 + part) * groups + group]);
}

// One stage on the distance 8 >> STAGE of a thread's words: [0, 4p) to [0, 4p). One flat loop: nested ones with bounds
// that depend on the stage are not unrolled, and the words end up in local memory.
template <int STAGE>
DEVICE void forward_stage(u32 (&x)[16], const uint2* roots, u32 groups, u32 group, const Field& field) {
    constexpr int distance = 8 >> STAGE;
    uint2 root;
#pragma unroll
    for (int k = 0; k < 8; k++) {
        const int part = k / distance, a = k + part * distance, b = a + distance;
        if (k % distance == 0) root = root_of(roots, STAGE, part, groups, group);
        const u32 u = reduce_once(x[a], field.two_p);
        const u32 v = mul_lazy(x[b], root.x, root.y, field.p);
        x[a] = u + v;
        x[b] = u + field.two_p - v;
    }
}

// The same stage backwards: [0, 2p) to [0, 2p).
template <int STAGE>
DEVICE void inverse_stage(u32 (&x)[16], const uint2* roots, u32 groups, u32 group, const Field& field) {
    constexpr int distance = 8 >> STAGE;
    uint2 root;
#pragma unroll
    for (int k = 0; k < 8; k++) {
        const int part = k / distance, a = k + part * distance, b = a + distance;
        if (k % distance == 0) root = root_of(roots, STAGE, part, groups, group);
        const u32 u = x[a], v = x[b];
        x[a] = reduce_once(u + v, field.two_p);
        x[b] = mul_lazy(u + field.two_p - v, root.x, root.y, field.p);
    }
}

template <int STAGES>
DEVICE void forward_stages(u32 (&x)[16], const uint2* roots, u32 groups, u32 group, const Field& field) {
    forward_stage<0>(x, roots, groups, group, field);
    if constexpr (STAGES > 1) forward_stage<1>(x, roots, groups, group, field);
    if constexpr (STAGES > 2) forward_stage<2>(x, roots, groups, group, field);
    if constexpr (STAGES > 3) forward_stage<3>(x, roots, groups, group, field);
}

// All but stage 0, which an inverse transform may do otherwise.
template <int STAGES>
DEVICE void inverse_upper_stages(u32 (&x)[16], const uint2* roots, u32 groups, u32 group, const Field& field) {
    if constexpr (STAGES > 3) inverse_stage<3>(x, roots, groups, group, field);
    if constexpr (STAGES > 2) inverse_stage<2>(x, roots, groups, group, field);
    if constexpr (STAGES > 1) inverse_stage<1>(x, roots, groups, group, field);
}

template <int STAGES>
DEVICE void inverse_stages(u32 (&x)[16], const uint2* roots, u32 groups, u32 group, const Field& field) {
    inverse_upper_stages<STAGES>(x, roots, groups, group, field);
    inverse_stage<0>(x, roots, groups, group, field);
}

// A thread's words of the pass on bits LOW..LOW+4, to and from shared memory. Neighbours go as 16 bytes.
template <int LOG, int LOW>
DEVICE void load_words(u32 (&x)[16], const u32* shared, u32 thread) {
    const u32 at = spot<LOG>(first_index(thread, LOW));
#pragma unroll
    for (int i = 0; i < 16; i += LOW == 0 ? 4 : 1) {
        if (LOW == 0) {
            const uint4 four = *reinterpret_cast<const uint4*>(&shared[at + i]);
            x[i] = four.x, x[i + 1] = four.y, x[i + 2] = four.z, x[i + 3] = four.w;
        } else {
            x[i] = shared[at + spot<LOG>(i << LOW)];
        }
    }
}

template <int LOG, int LOW>
DEVICE void store_words(const u32 (&x)[16], u32* shared, u32 thread) {
    const u32 at = spot<LOG>(first_index(thread, LOW));
#pragma unroll
    for (int i = 0; i < 16; i += LOW == 0 ? 4 : 1) {
        if (LOW == 0) {
            *reinterpret_cast<uint4*>(&shared[at + i]) = make_uint4(x[i], x[i + 1], x[i + 2], x[i + 3]);
        } else {
            shared[at + spot<LOG>(i << LOW)] = x[i];
        }
    }
}

// Four stages in the middle of a transform, in place in shared memory: a pass reads and writes the same words, so one
// barrier between two passes is enough.
template <int LOG, int LOW>
DEVICE void middle_pass(bool is_forward, u32* shared, const uint2* roots, const Field& field) {
    const u32 groups = Size<LOG>::n >> (LOW + 4);
    __syncthreads();
    for (u32 round = 0; round < Size<LOG>::rounds; round++) {
        const u32 thread = threadIdx.x + round * Size<LOG>::threads;
        u32 x[16];
        load_words<LOG, LOW>(x, shared, thread);
        const u32 group = (thread >> LOW) & (groups - 1);
        if (is_forward) forward_stages<4>(x, roots, groups, group, field);
        else inverse_stages<4>(x, roots, groups, group, field);
        store_words<LOG, LOW>(x, shared, thread);
    }
}

// The passes between the top one and the lowest one.
template <int LOG>
DEVICE void forward_middle(u32* shared, const uint2* roots, const Field& field) {
    if constexpr (Size<LOG>::passes >= 4) middle_pass<LOG, 8>(true, shared, roots, field);
    if constexpr (Size<LOG>::passes >= 3) middle_pass<LOG, 4>(true, shared, roots, field);
    __syncthreads();
}

template <int LOG>
DEVICE void inverse_middle(u32* shared, const uint2* roots, const Field& field) {
    if constexpr (Size<LOG>::passes >= 3) middle_pass<LOG, 4>(false, shared, roots, field);
    if constexpr (Size<LOG>::passes >= 4) middle_pass<LOG, 8>(false, shared, roots, field);
    __syncthreads();
}
