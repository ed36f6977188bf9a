// Words: what every kernel is made of. Each function states the range it takes and the range it gives. All are constant
// time: no branch and no index depends on a value. A pair `vec2<u32>` is 64 bits, low word first.
//
// `mul_high` and the layout of `Job` and `Limb` come before this file: see pipeline.rs.

// Subtracts `bound` where x >= bound: [0, 2 bound) to [0, bound), for bound <= 2^31. Where x < bound the difference
// wraps to at least 2^31, so the smaller of the two is right.
fn reduce_once(x: u32, bound: u32) -> u32 {
    return min(x, x - bound);
}

// x times a factor given with its Shoup quotient, mod p, lazily: any x, result in [0, 2p).
fn mul_lazy(x: u32, factor: vec2<u32>, p: u32) -> u32 {
    return x * factor.x - mul_high(x, factor.y) * p;
}

// The same, canonical: any x, result in [0, p).
fn mul_factor(x: u32, factor: vec2<u32>, p: u32) -> u32 {
    return reduce_once(mul_lazy(x, factor, p), p);
}

// x * y mod p by Barrett's quotient, which is at most two too small: x and y in [0, p), result in [0, 3p).
fn product_lazy(x: u32, y: u32, limb: Limb) -> u32 {
    let product = mul_wide(x, y);
    // Below 2^(bits+1), and bits is at most 30.
    let top = shift_right(product, limb.prime_bits - 1u).x;
    let estimate = shift_right(mul_wide(top, limb.reciprocal), limb.prime_bits + 1u).x;
    return product.x - estimate * limb.p;
}

// A signed coefficient mod p: |x| < 2^31, result in [0, p). The sign is spread into a mask.
fn residue(x: i32, limb: Limb) -> u32 {
    let sign = bitcast<u32>(x >> 31u);
    let magnitude = mul_factor((bitcast<u32>(x) ^ sign) - sign, limb.one, limb.p);
    return reduce_once((magnitude ^ sign) - sign + (limb.p & sign), limb.p);
}

// All 64 bits of a product of two words.
fn mul_wide(a: u32, b: u32) -> vec2<u32> {
    return vec2<u32>(a * b, mul_high(a, b));
}

// a + b mod 2^64.
fn add_wide(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2<u32>(low, a.y + b.y + u32(low < a.x));
}

// a - b mod 2^64.
fn sub_wide(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return vec2<u32>(a.x - b.x, a.y - b.y - u32(a.x < b.x));
}

// 1 if a >= b, else 0.
fn at_least(a: vec2<u32>, b: vec2<u32>) -> u32 {
    return u32(a.y > b.y) | (u32(a.y == b.y) & u32(a.x >= b.x));
}

// The low `bits` bits set, for bits in [1, 64].
fn ones_below(bits: u32) -> vec2<u32> {
    let short = 0xffffffffu >> ((32u - min(bits, 32u)) & 31u);
    let long = 0xffffffffu >> ((64u - max(bits, 33u)) & 31u);
    return vec2<u32>(short, select(0u, long, bits > 32u));
}

// a >> by, for by in [0, 63]. `by` is public.
fn shift_right(a: vec2<u32>, by: u32) -> vec2<u32> {
    let part = by & 31u;
    let both = vec2<u32>((a.x >> part) | ((a.y << 1u) << (31u - part)), a.y >> part);
    return select(both, vec2<u32>(both.y, 0u), by >= 32u);
}

// a << by mod 2^64, for by in [0, 63]. `by` is public.
fn shift_left(a: vec2<u32>, by: u32) -> vec2<u32> {
    let part = by & 31u;
    let both = vec2<u32>(a.x << part, (a.y << part) | ((a.x >> 1u) >> (31u - part)));
    return select(both, vec2<u32>(0u, both.x), by >= 32u);
}

// a * b mod 2^64.
fn mul_low_wide(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = mul_wide(a.x, b.x);
    return vec2<u32>(low.x, low.y + a.x * b.y + a.y * b.x);
}

// All 128 bits of a product, lowest word first.
fn mul_full(a: vec2<u32>, b: vec2<u32>) -> vec4<u32> {
    let ll = mul_wide(a.x, b.x);
    let lh = mul_wide(a.x, b.y);
    let hl = mul_wide(a.y, b.x);
    let hh = mul_wide(a.y, b.y);
    // Two words and one carry: below 2^34, so the carry word of each is below 4.
    let second = add_wide(add_wide(vec2<u32>(ll.y, 0u), vec2<u32>(lh.x, 0u)), vec2<u32>(hl.x, 0u));
    let third = add_wide(add_wide(vec2<u32>(lh.y, 0u), vec2<u32>(hl.y, 0u)), vec2<u32>(second.y, 0u));
    let top = add_wide(hh, third);
    return vec4<u32>(ll.x, second.x, top.x, top.y);
}

// The low 64 bits of a >> by, for by in [0, 127]. `by` is public.
fn shift_right_full(a: vec4<u32>, by: u32) -> vec2<u32> {
    let whole = by / 32u;
    let part = by % 32u;
    var b = a;
    if (whole == 1u) { b = vec4<u32>(a.yzw, 0u); }
    if (whole == 2u) { b = vec4<u32>(a.zw, 0u, 0u); }
    if (whole == 3u) { b = vec4<u32>(a.w, 0u, 0u, 0u); }
    return vec2<u32>((b.x >> part) | ((b.y << 1u) << (31u - part)), (b.y >> part) | ((b.z << 1u) << (31u - part)));
}

// y * theta / 2^32 mod 2^64, the product's lowest part cut off: y in [0, 2^32).
fn fraction(y: u32, limb: Limb) -> vec2<u32> {
    let low = vec2<u32>(mul_high(y, limb.theta_low), 0u);
    let high = vec2<u32>(0u, y * limb.theta_high);
    return add_wide(add_wide(low, mul_wide(y, limb.theta_middle)), high);
}

// `round(2^l / q * x) mod 2^l` from the limbs' fractions summed mod 2^64: l in [1, 57].
fn round_fractions(sum: vec2<u32>, bits: u32) -> vec2<u32> {
    return shift_right(add_wide(sum, shift_left(vec2<u32>(1u, 0u), 63u - bits)), 64u - bits);
}

// Which workgroup this is, in a grid of one or two dimensions.
fn group_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}
