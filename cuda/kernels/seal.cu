// Pads used up, one thread to a coefficient; and encryption, a block to one or a few polynomials, whose pad never
// leaves the registers.
#include "pad.cuh"
#include "seal.cuh"

struct SealArgs {
    // [polynomial][limb][coefficient]
    const u32* pad;
    const u32* digits;
    u32* out;
    EncodingArgs encoding;
    u32 log;
    // Words of the packed row, the last one perhaps partly filled.
    u32 words_low;
    u32 words_high;
};

DEVICE u64 wide(u32 low, u32 high) {
    return (u64)high << 32 | low;
}

// 256 coefficients, the smallest polynomial, are a whole number of 32-bit words.
KERNEL(seal, SealArgs, 256) {
    extern __shared__ uint4 block_memory[];
    u64* staged = reinterpret_cast<u64*>(block_memory);
    const EncodingArgs& encoding = args.encoding;
    const u64 index = (u64)blockIdx.x * 256 + threadIdx.x;
    const u64 n = 1u << args.log, poly = index >> args.log;
    const u32* row = args.pad + poly * encoding.limbs * n + (index & (n - 1));
    staged[threadIdx.x] = wire_word(row[0], encoding.limbs == 2 ? row[n] : 0, index, args.digits, encoding);
    __syncthreads();
    const u64 first = (u64)blockIdx.x * 8 * encoding.bits;
    for (u32 k = threadIdx.x; k < 8 * encoding.bits; k += 256)
        if (first + k < wide(args.words_low, args.words_high)) args.out[first + k] = packed_word(staged, k, encoding);
}

struct EncryptArgs {
    RingArgs ring;
    const Seed* message_seed;
    const u32* digits;
    u32* out;
    EncodingArgs encoding;
    u32 words_low;
    u32 words_high;
};

// One half of the block's polynomials, packed and written.
template <int LOG>
DEVICE void pack_half(const EncryptArgs& args, const u64* staged, u32 first_poly, u32 half) {
    typedef Size<LOG> S;
    const u32 words = S::n / 64 * args.encoding.bits;
    for (u32 poly = 0; poly < S::polys; poly++) {
        const u64 first = ((u64)(first_poly + poly) * 2 + half) * words;
        for (u32 k = threadIdx.x; k < words; k += S::threads)
            if (first + k < wide(args.words_low, args.words_high))
                args.out[first + k] = packed_word(staged + poly * (S::n / 2), k, args.encoding);
    }
}

template <int LOG>
DEVICE void encrypt(const EncryptArgs& args, u32* shared) {
    typedef Size<LOG> S;
    static_assert(S::rounds == 1, "a thread keeps the residues of its sixteen coefficients");
    const RingArgs& ring = args.ring;
    const u32 thread = threadIdx.x, first_poly = blockIdx.x * S::polys;
    const u32 poly = thread >> (LOG - 4), first = thread & (S::n / 16 - 1);
    unsigned char* bytes = reinterpret_cast<unsigned char*>(shared + S::words);
    errors<LOG>(ring, *args.message_seed, first_poly, bytes);
    // The first limb, and the second one: one that does not exist is not looked at.
    u32 x[16], y[16];
    product_lower<LOG>(ring, 0, first_poly, shared);
    product_top<LOG>(x, ring.limb[0], shared, thread);
    if (ring.limbs == 2) {
        product_lower<LOG>(ring, 1, first_poly, shared);
        product_top<LOG>(y, ring.limb[1], shared, thread);
    }
    // Half of the polynomials at a time: residues from registers to a thread's own places, there to wire words in a loop
    // that is written out once, then all of them packed.
    u64* staged = reinterpret_cast<u64*>(shared) + poly * (S::n / 2) + first;
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
        __syncthreads();
#pragma unroll
        for (u32 i = 0; i < 8; i++)
            staged[i << (LOG - 4)] = wide(x[8 * half + i], ring.limbs == 2 ? y[8 * half + i] : 0);
#pragma unroll 1
        for (u32 i = 0; i < 8; i++) {
            const u32 at = first + ((8 * half + i) << (LOG - 4));
            const u32 byte = bytes[(poly << LOG) + at];
            const u64 pair = staged[i << (LOG - 4)];
            const u32 one = add_small((u32)pair, byte, ring.limb[0].field);
            const u32 other = ring.limbs == 2 ? add_small((u32)(pair >> 32), byte, ring.limb[1].field) : 0;
            const u64 index = (u64)(first_poly + poly) * S::n + at;
            staged[i << (LOG - 4)] = wire_word(one, other, index, args.digits, args.encoding);
        }
        __syncthreads();
        pack_half<LOG>(args, reinterpret_cast<u64*>(shared), first_poly, half);
    }
    erase(shared, S::words + S::polys * S::n / 4);
}

#define EACH(LOG)                                                      \
    KERNEL(encrypt_##LOG, EncryptArgs, Size<LOG>::threads) {           \
        extern __shared__ uint4 block_memory[];                        \
        encrypt<LOG>(args, reinterpret_cast<u32*>(block_memory));      \
    }

EACH(8)
EACH(9)
EACH(10)
EACH(11)
EACH(12)
EACH(13)
EACH(14)
