// Packed rows into an accumulator. Public data, bound by memory: rows come in 16 bytes at a time, the next one while the
// last one is unpacked from shared memory.
#include "words.cuh"

struct SumArgs {
    // u32 each, or little-endian pairs where bits > 32.
    u32* accumulator;
    const uint4* rows;
    u64 coefficients;
    // 16-byte units from row to row.
    u64 stride;
    u64 mask;
    u32 row_count;
    u32 bits;
};

// Coefficients of a block: 8 * bits units of 16 bytes, at most two for each thread. Shared memory holds two such tiles,
// each with a unit behind it that reads of its last words may touch.
static constexpr u32 TILE = 1024;
static constexpr u32 THREADS = 256;

template <bool WIDE>
DEVICE void sum(const SumArgs& args, uint4* tiles) {
    const u64 first = (u64)blockIdx.x * TILE, unit = (u64)blockIdx.x * 8 * args.bits;
    const u32 near = threadIdx.x, far = threadIdx.x + THREADS;
    const bool has_near = near < 8 * args.bits && unit + near < args.stride;
    const bool has_far = far < 8 * args.bits && unit + far < args.stride;
    u64 sums[TILE / THREADS];
#pragma unroll
    for (u32 i = 0; i < TILE / THREADS; i++) {
        const u64 at = first + threadIdx.x + i * THREADS;
        sums[i] = 0;
        if (at < args.coefficients)
            sums[i] = WIDE ? *reinterpret_cast<const u64*>(&args.accumulator[2 * at]) : args.accumulator[at];
    }
    const uint4* row = args.rows + unit;
    uint4 one = make_uint4(0, 0, 0, 0), other = one;
    if (has_near && args.row_count > 0) one = __ldg(&row[near]);
    if (has_far && args.row_count > 0) other = __ldg(&row[far]);
    for (u32 r = 0; r < args.row_count; r++) {
        // Two tiles in turn: whoever still reads the other one has not passed this row's barrier.
        uint4* tile = tiles + r % 2 * (8 * args.bits + 1);
        if (near < 8 * args.bits) tile[near] = one;
        if (far < 8 * args.bits) tile[far] = other;
        row += args.stride;
        if (has_near && r + 1 < args.row_count) one = __ldg(&row[near]);
        if (has_far && r + 1 < args.row_count) other = __ldg(&row[far]);
        __syncthreads();
#pragma unroll
        for (u32 i = 0; i < TILE / THREADS; i++) {
            const u32 bit = (threadIdx.x + i * THREADS) * args.bits;
            const u32* words = reinterpret_cast<const u32*>(tile) + bit / 32;
            // Bits above the word's own are garbage, as are words past the tile's end; they do not reach its own.
            const u32 low = __funnelshift_r(words[0], words[1], bit % 32);
            const u32 high = WIDE ? __funnelshift_r(words[1], words[2], bit % 32) : 0;
            sums[i] += (u64)high << 32 | low;
        }
    }
#pragma unroll
    for (u32 i = 0; i < TILE / THREADS; i++) {
        const u64 at = first + threadIdx.x + i * THREADS;
        if (at >= args.coefficients) continue;
        const u64 value = sums[i] & args.mask;
        if (WIDE) *reinterpret_cast<u64*>(&args.accumulator[2 * at]) = value;
        else args.accumulator[at] = (u32)value;
    }
}

KERNEL(sum_narrow, SumArgs, THREADS) {
    extern __shared__ uint4 block_memory[];
    sum<false>(args, block_memory);
}

KERNEL(sum_wide, SumArgs, THREADS) {
    extern __shared__ uint4 block_memory[];
    sum<true>(args, block_memory);
}
