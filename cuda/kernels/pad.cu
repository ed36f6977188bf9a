// Pads, one block to one or a few polynomials: residues of a_j * s + e_j, [polynomial][limb][coefficient]. Constant time
// but for the public rejections in `uniform`.
#include "pad.cuh"

// Whether errors are added: a pad has them, the mask that decryption removes has not.
enum Errors : u32 { ERRORS_NONE = 0, ERRORS_ADDED = 1 };

struct PadArgs {
    RingArgs ring;
    const Seed* message_seed;
    u32* out;
    u32 errors;
};

template <int LOG>
DEVICE void pad(const PadArgs& args, u32* shared) {
    typedef Size<LOG> S;
    const RingArgs& ring = args.ring;
    const u32 first_poly = blockIdx.x * S::polys;
    unsigned char* bytes = reinterpret_cast<unsigned char*>(shared + S::words);
    if (args.errors == ERRORS_ADDED) errors<LOG>(ring, *args.message_seed, first_poly, bytes);
    for (u32 limb = 0; limb < ring.limbs; limb++) {
        // Its first barrier also lets everybody see the errors.
        product_lower<LOG>(ring, limb, first_poly, shared);
        for (u32 round = 0; round < S::rounds; round++) {
            const u32 thread = threadIdx.x + round * S::threads;
            const u32 poly = first_poly + (thread >> (LOG - 4));
            const u32 first = thread & (S::n / 16 - 1);
            u32 x[16];
            product_top<LOG>(x, ring.limb[limb], shared, thread);
            if (poly >= ring.polys) continue;
            const Field field = ring.limb[limb].field;
            u32* out = args.out + ((u64)poly * ring.limbs + limb) * S::n + first;
#pragma unroll
            for (u32 i = 0; i < 16; i++) {
                const u32 byte = bytes[(thread >> (LOG - 4) << LOG) + first + (i << (LOG - 4))];
                out[i << (LOG - 4)] = args.errors == ERRORS_ADDED ? add_small(x[i], byte, field) : x[i];
            }
        }
    }
    erase(shared, S::words + S::polys * S::n / 4);
}

#define EACH(LOG)                                                  \
    KERNEL(pad_##LOG, PadArgs, Size<LOG>::threads) {               \
        extern __shared__ uint4 block_memory[];                    \
        pad<LOG>(args, reinterpret_cast<u32*>(block_memory));      \
    }

EACH(8)
EACH(9)
EACH(10)
EACH(11)
EACH(12)
EACH(13)
EACH(14)
EACH(15)
