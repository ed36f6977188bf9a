// From residues to packed bits: digits added mod q, rounding, packing. Constant time.
#pragma once
#include "ntt.cuh"

struct EncodingArgs {
    // Delta * B^d mod p: [limb][digit].
    const uint2* digit_factors;
    u64 digits;
    Shoup lift[2];
    u32 theta[2][3];
    u32 limbs;
    u32 p[2];
    u32 bits;
    u32 digits_per_coefficient;
    // ceil(2^32 / bits)
    u32 bits_reciprocal;
};

// [0, p) and any digit; [0, p).
DEVICE u32 add_digit(u32 x, u32 digit, uint2 factor, u32 p) {
    return reduce_once(reduce_once(x + mul_lazy(digit, factor.x, factor.y, p), 2 * p), p);
}

// The part of one limb in round(2^l / q * x): y * theta / 2^32 mod 2^64, the product's lowest part cut off.
DEVICE u64 fraction(u32 x, Shoup lift, const u32 (&theta)[3], u32 p) {
    const u32 y = reduce_once(mul_lazy(x, lift.factor, lift.quotient, p), p);
    return __umulhi(y, theta[0]) + (u64)y * theta[1] + ((u64)(y * theta[2]) << 32);
}

// round(2^l / q * x) mod 2^l of a coefficient given by its residues.
DEVICE u64 round_to_wire(u32 first, u32 second, const EncodingArgs& encoding) {
    u64 sum = (u64)1 << (63 - encoding.bits);
    sum += fraction(first, encoding.lift[0], encoding.theta[0], encoding.p[0]);
    if (encoding.limbs == 2) sum += fraction(second, encoding.lift[1], encoding.theta[1], encoding.p[1]);
    return sum >> (64 - encoding.bits);
}

// The wire word of coefficient `index` of the message; zero for one that no digit belongs to.
DEVICE u64 wire_word(u32 first, u32 second, u64 index, const u32* digits, const EncodingArgs& encoding) {
    const u32 count = encoding.digits_per_coefficient;
    const u64 from = index * count;
    if (from >= encoding.digits) return 0;
    for (u32 d = 0; d < count; d++) {
        const u32 digit = from + d < encoding.digits ? digits[from + d] : 0;
        first = add_digit(first, digit, __ldg(&encoding.digit_factors[d]), encoding.p[0]);
        if (encoding.limbs == 2)
            second = add_digit(second, digit, __ldg(&encoding.digit_factors[count + d]), encoding.p[1]);
    }
    return round_to_wire(first, second, encoding);
}

// Word `k` of the packed row of `staged` words: lowest bit first, one after the other. A whole number of them, so no
// word past the end is touched.
DEVICE u32 packed_word(const u64* staged, u32 k, const EncodingArgs& encoding) {
    const u32 bits = encoding.bits;
    // Exact: k * 32 < 2^20 and bits < 64, so the reciprocal's error stays below one.
    u32 index = __umulhi(32 * k, encoding.bits_reciprocal);
    const u32 offset = 32 * k - index * bits;
    u32 word = (u32)(staged[index] >> offset);
    for (u32 filled = bits - offset; filled < 32; filled += bits) word |= (u32)(staged[++index] << filled);
    return word;
}
