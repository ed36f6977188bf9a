// Rows of unstructured LWE, one warp to 32 rows: lane i makes row i's error, then all lanes share each row's product.
#include "expand.cuh"

enum Key : u32 { KEY_MASK = 0, KEY_UNMASK = 1 };

struct DenseSecretArgs {
    u32* secret;
    const Seed* message_seed;
    u32 eights;
};

// A message's secret as wrapping words.
KERNEL(dense_secret, DenseSecretArgs, 128) {
    const u32 i = blockIdx.x * 128 + threadIdx.x;
    if (i >= args.eights) return;
    const uint2 eight = small_eight(*args.message_seed, DOMAIN_S, 0, i);
#pragma unroll
    for (u32 k = 0; k < 8; k++) args.secret[8 * i + k] = ((k < 4 ? eight.x : eight.y) >> (8 * (k % 4)) & 255) - BIAS;
}

struct DenseArgs {
    u32* rows;
    const u32* secret;
    // Null where there are no errors to add.
    const Seed* message_seed;
    u32 row_count;
    u32 first_row;
    // Blocks of a row of A.
    u32 blocks;
    // The low `bits` bits.
    u32 mask;
    u32 key;
    Seed a_seed;
};

KERNEL(dense, DenseArgs, 128) {
    const u32 lane = threadIdx.x % 32;
    const u64 first = ((u64)blockIdx.x * 128 + threadIdx.x) / 32 * 32;
    u32 error = 0;
    if (args.key == KEY_MASK) {
        u32 x[16];
        block(x, *args.message_seed, DOMAIN_E, args.first_row + (u32)first + lane, 0, 0);
        error = __popc(x[0]) - __popc(x[1]);
    }
    u32 mine = 0;
    for (u32 row = 0; row < 32 && first + row < args.row_count; row++) {
        u32 product = 0;
        for (u32 counter = lane; counter < args.blocks; counter += 32) {
            u32 a[16];
            block(a, args.a_seed, DOMAIN_A, args.first_row + (u32)first + row, 0, counter);
            const uint4* secret = reinterpret_cast<const uint4*>(args.secret) + 4 * counter;
#pragma unroll
            for (int i = 0; i < 16; i += 4) {
                const uint4 s = __ldg(&secret[i / 4]);
                product += a[i] * s.x + a[i + 1] * s.y + a[i + 2] * s.z + a[i + 3] * s.w;
            }
        }
#pragma unroll
        for (u32 lanes = 16; lanes > 0; lanes /= 2) product += __shfl_xor_sync(0xFFFFFFFF, product, lanes);
        mine = lane == row ? product : mine;
    }
    const u64 at = first + lane;
    if (at >= args.row_count) return;
    const u32 value = args.key == KEY_MASK ? args.rows[at] + mine + error : args.rows[at] - mine;
    args.rows[at] = value & args.mask;
}
