// Sums opened: the mask removed, the phase to digits, and statistics of the noise. Constant time but for the public
// rejections in `uniform` and the number of digits.
#include "pad.cuh"
#include "seal.cuh"

// A divisor with floor((2^64 - 1) / by): the estimated quotient of any x < 2^63 is at most one too small.
struct Divisor {
    u64 by;
    u64 reciprocal;
};

struct OpenArgs {
    // u32 each, or little-endian pairs where bits > 32.
    const u32* accumulator;
    u32* digits;
    // One record for each block.
    u64* noise;
    u64 mask;
    u64 half_step;
    u64 q;
    Divisor delta;
    Divisor base;
    u64 limit;
    // floor(2^(63 + q_bits) / q)
    u64 q_reciprocal;
    u32 q_bits;
    EncodingArgs encoding;
};

// What one thread saw: sums of 128 bits, low half first.
struct Noise {
    u64 refused;
    u64 max_abs;
    u64 sum[2];
    u64 squares[2];
};

DEVICE void add_wide(u64 (&sum)[2], u64 low, u64 high) {
    sum[0] += low;
    sum[1] += high + (sum[0] < low);
}

DEVICE u64 divide(u64 x, Divisor divisor, u64& rest) {
    const u64 estimate = __umul64hi(x, divisor.reciprocal);
    rest = x - estimate * divisor.by;
    const u64 more = at_least(rest, divisor.by);
    rest -= divisor.by & (0 - more);
    return estimate + more;
}

// (a * b) >> shift mod 2^64, for 0 < shift < 128.
DEVICE u64 product_shifted(u64 a, u64 b, u32 shift) {
    const u64 low = a * b, high = __umul64hi(a, b);
    return shift < 64 ? high << (64 - shift) | low >> shift : high >> (shift - 64);
}

// round(Delta * value * 2^l / q): an estimate at most one too small, then its remainder against q and q/2.
DEVICE u64 expected(u64 value, const OpenArgs& args) {
    const u32 bits = args.encoding.bits;
    const u64 embedded = args.delta.by * value;
    const u64 estimate = product_shifted(embedded, args.q_reciprocal, 63 + args.q_bits - bits);
    u64 rest = (embedded << bits) - estimate * args.q;
    const u64 more = at_least(rest, args.q);
    rest -= args.q & (0 - more);
    return estimate + more + at_least(2 * rest, args.q);
}

// Coefficient `index` of the sum, whose mask has these residues.
DEVICE void open(u32 first, u32 second, u64 index, const OpenArgs& args, Noise& noise) {
    const u32 bits = args.encoding.bits, count = args.encoding.digits_per_coefficient;
    const u64 from = index * count;
    if (from >= args.encoding.digits) return;
    const u64 value_at = bits > 32 ? reinterpret_cast<const u64*>(args.accumulator)[index] : args.accumulator[index];
    const u64 phase = (value_at - round_to_wire(first, second, args.encoding)) & args.mask;
    const u64 x = (phase + args.half_step) & args.mask;
    u64 rest;
    const u64 value = divide(product_shifted(x, args.q, bits), args.delta, rest);
    const u64 valid = at_least(value, args.limit) ^ 1, keep = 0 - valid;
    // Signed mod 2^l: the word's top bit goes to the register's, and back.
    const u32 unused = 64 - bits;
    const i64 distance = (i64)((phase - expected(value, args)) << unused) >> unused & (i64)keep;
    u64 quotient = value & keep;
    for (u32 d = 0; d < count; d++) {
        quotient = divide(quotient, args.base, rest);
        if (from + d < args.encoding.digits) args.digits[from + d] = (u32)rest;
    }
    const u64 sign = (u64)(distance >> 63);
    const u64 magnitude = ((u64)distance ^ sign) - sign;
    noise.refused += valid ^ 1;
    noise.max_abs = max(noise.max_abs, magnitude);
    add_wide(noise.sum, (u64)distance, sign);
    add_wide(noise.squares, magnitude * magnitude, __umul64hi(magnitude, magnitude));
}

// The block's record, halving the threads each time. `records` has room for one of each thread, a power of two.
DEVICE void gather(const Noise& noise, Noise* records, u64* out) {
    records[threadIdx.x] = noise;
    for (u32 half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x >= half) continue;
        Noise& mine = records[threadIdx.x];
        const Noise& other = records[threadIdx.x + half];
        mine.refused += other.refused;
        mine.max_abs = max(mine.max_abs, other.max_abs);
        add_wide(mine.sum, other.sum[0], other.sum[1]);
        add_wide(mine.squares, other.squares[0], other.squares[1]);
    }
    if (threadIdx.x != 0) return;
    u64* to = out + 6 * (u64)blockIdx.x;
    to[0] = records[0].refused, to[1] = records[0].max_abs, to[2] = records[0].sum[0], to[3] = records[0].sum[1];
    to[4] = records[0].squares[0], to[5] = records[0].squares[1];
}

struct OpenMaskArgs {
    // Residues of a_j * S: [polynomial][limb][coefficient].
    const u32* mask;
    OpenArgs open;
    u32 log;
};

// For polynomials whose residues do not fit a block's registers: the mask comes from memory.
KERNEL(decrypt_mask, OpenMaskArgs, 256) {
    extern __shared__ uint4 block_memory[];
    Noise* records = reinterpret_cast<Noise*>(block_memory);
    const u64 index = (u64)blockIdx.x * 256 + threadIdx.x;
    const u64 n = 1u << args.log, poly = index >> args.log;
    const u32 limbs = args.open.encoding.limbs;
    const u32* row = args.mask + poly * limbs * n + (index & (n - 1));
    Noise noise = {};
    open(row[0], limbs == 2 ? row[n] : 0, index, args.open, noise);
    gather(noise, records, args.open.noise);
}

struct DecryptArgs {
    RingArgs ring;
    OpenArgs open;
};

template <int LOG>
DEVICE void decrypt(const DecryptArgs& args, u32* shared) {
    typedef Size<LOG> S;
    static_assert(S::rounds == 1, "a thread keeps the residues of its sixteen coefficients");
    const RingArgs& ring = args.ring;
    const u32 thread = threadIdx.x, first_poly = blockIdx.x * S::polys;
    const u32 poly = first_poly + (thread >> (LOG - 4)), first = thread & (S::n / 16 - 1);
    u32 x[16], y[16];
    product_lower<LOG>(ring, 0, first_poly, shared);
    product_top<LOG>(x, ring.limb[0], shared, thread);
    if (ring.limbs == 2) {
        product_lower<LOG>(ring, 1, first_poly, shared);
        product_top<LOG>(y, ring.limb[1], shared, thread);
    }
    // Half of the residues at a time, from registers to a thread's own places, so that the loop is written out once.
    u64* staged = reinterpret_cast<u64*>(shared) + thread;
    Noise noise = {};
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
        __syncthreads();
#pragma unroll
        for (u32 i = 0; i < 8; i++)
            staged[i * S::threads] = (u64)(ring.limbs == 2 ? y[8 * half + i] : 0) << 32 | x[8 * half + i];
#pragma unroll 1
        for (u32 i = 0; i < 8; i++) {
            const u64 pair = staged[i * S::threads];
            const u64 index = (u64)poly * S::n + first + ((8 * half + i) << (LOG - 4));
            open((u32)pair, (u32)(pair >> 32), index, args.open, noise);
        }
    }
    __syncthreads();
    gather(noise, reinterpret_cast<Noise*>(shared), args.open.noise);
    erase(shared, S::words);
}

#define EACH(LOG)                                                      \
    KERNEL(decrypt_##LOG, DecryptArgs, Size<LOG>::threads) {           \
        extern __shared__ uint4 block_memory[];                        \
        decrypt<LOG>(args, reinterpret_cast<u32*>(block_memory));      \
    }

EACH(8)
EACH(9)
EACH(10)
EACH(11)
EACH(12)
EACH(13)
EACH(14)
