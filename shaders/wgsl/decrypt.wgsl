// A sum and its key to digits: the key as residues, then (after pad.wgsl's product and ntt.wgsl's inverse) each
// coefficient's phase opened without a division. All arithmetic is on 64 or 128 bits, exact.

@group(0) @binding(0) var<uniform> job: Job;
// The sum of the secrets, n signed words.
@group(0) @binding(1) var<storage, read> key: array<i32>;
// The key's residues [limb][n], or the products [polynomial][limb][n].
@group(0) @binding(2) var<storage, read_write> rows: array<u32>;
// One word per value, or a pair where values have more than 32 bits.
@group(0) @binding(3) var<storage, read> accumulator: array<u32>;
@group(0) @binding(4) var<storage, read_write> digits: array<u32>;
// One record per workgroup.
@group(0) @binding(5) var<storage, read_write> noise: array<Noise>;

struct Noise {
    // Of squares, 128 bits.
    sum_squares: vec4<u32>,
    // Signed, 96 bits.
    sum: vec3<u32>,
    refused: u32,
    max_abs: vec2<u32>,
    unused: vec2<u32>,
}

var<workgroup> records: array<Noise, THREADS>;

@compute @workgroup_size(THREADS)
fn key_rows(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group_index(group, groups) * THREADS + lane;
    if (index >= job.n) { return; }
    for (var number = 0u; number < job.limbs; number++) {
        rows[(number << job.log_n) + index] = residue(key[index], job.limb[number]);
    }
}

// Quotient and remainder of x < 2^63 by a divisor given with floor((2^64 - 1) / divisor): the estimate is at most one
// too small.
struct Divided {
    quotient: vec2<u32>,
    remainder: vec2<u32>,
}

fn divide(x: vec2<u32>, by: vec2<u32>, reciprocal: vec2<u32>) -> Divided {
    let estimate = mul_full(x, reciprocal).zw;
    let rest = sub_wide(x, mul_low_wide(estimate, by));
    let more = at_least(rest, by);
    return Divided(add_wide(estimate, vec2<u32>(more, 0u)), sub_wide(rest, by & vec2<u32>(0u - more)));
}

// round(Delta * value * 2^l / q): an estimate at most one too small, then its remainder against q and q/2.
fn expected(value: vec2<u32>) -> vec2<u32> {
    let embedded = mul_low_wide(job.delta, value);
    let estimate = shift_right_full(mul_full(embedded, job.q_reciprocal), 63u + job.q_bits - job.bits);
    let rest = sub_wide(shift_left(embedded, job.bits), mul_low_wide(estimate, job.q));
    let more = at_least(rest, job.q);
    let left = sub_wide(rest, job.q & vec2<u32>(0u - more));
    // q is odd, so there are no ties.
    return add_wide(estimate, vec2<u32>(more + at_least(shift_left(left, 1u), job.q), 0u));
}

// The mask a_j * S of coefficient `index`, rounded to the wire's bits.
fn mask_word(index: u32) -> vec2<u32> {
    let inside = index & (job.n - 1u);
    let row = (index >> job.log_n) * job.limbs;
    var sum = vec2<u32>(0u);
    for (var number = 0u; number < job.limbs; number++) {
        let limb = job.limb[number];
        let residue = rows[((row + number) << job.log_n) + inside];
        sum = add_wide(sum, fraction(mul_factor(residue, limb.lift, limb.p), limb));
    }
    return round_fractions(sum, job.bits);
}

// Opens coefficient `index` and writes its digits. Constant time, but for the number of digits.
fn open(index: u32) -> Noise {
    let mask = ones_below(job.bits);
    let at = index * job.value_words;
    var value_word = vec2<u32>(accumulator[at], 0u);
    if (job.value_words == 2u) { value_word.y = accumulator[at + 1u]; }
    let phase = sub_wide(value_word, mask_word(index)) & mask;
    let x = add_wide(phase, job.half_step) & mask;
    let value = divide(shift_right_full(mul_full(x, job.q), job.bits), job.delta, job.delta_reciprocal).quotient;
    let refused = at_least(value, job.limit);
    let keep = vec2<u32>(refused - 1u);
    var rest = value & keep;
    for (var place = 0u; place < job.digits_per_coefficient; place++) {
        let next = divide(rest, job.base, job.base_reciprocal);
        rest = next.quotient;
        let digit = index * job.digits_per_coefficient + place;
        if (digit < job.digits) { digits[digit] = next.remainder.x; }
    }
    // Signed mod 2^l: the top of the l bits decides.
    let distance = sub_wide(phase, expected(value)) & mask;
    let sign = vec2<u32>(0u - (shift_right(distance, job.bits - 1u).x & 1u));
    let signed = (distance | (sign & ~mask)) & keep;
    let magnitude = sub_wide(signed ^ sign, sign) & keep;
    return Noise(
        mul_full(magnitude, magnitude),
        vec3<u32>(signed, 0u - (signed.y >> 31u)),
        refused,
        magnitude,
        vec2<u32>(0u),
    );
}

fn add_full(a: vec4<u32>, b: vec4<u32>) -> vec4<u32> {
    let low = add_wide(a.xy, b.xy);
    let carry = 1u - at_least(low, a.xy);
    return vec4<u32>(low, add_wide(add_wide(a.zw, b.zw), vec2<u32>(carry, 0u)));
}

// Statistics of two parts together. A workgroup's sums stay far below 96 and 128 bits: values have 57, squares 112.
fn together(a: Noise, b: Noise) -> Noise {
    let low = add_wide(a.sum.xy, b.sum.xy);
    let carry = 1u - at_least(low, a.sum.xy);
    let larger = at_least(b.max_abs, a.max_abs);
    return Noise(
        add_full(a.sum_squares, b.sum_squares),
        vec3<u32>(low, a.sum.z + b.sum.z + carry),
        a.refused + b.refused,
        select(a.max_abs, b.max_abs, larger == 1u),
        vec2<u32>(0u),
    );
}

@compute @workgroup_size(THREADS)
fn open_sums(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group_index(group, groups) * THREADS + lane;
    records[lane] = Noise(vec4<u32>(0u), vec3<u32>(0u), 0u, vec2<u32>(0u), vec2<u32>(0u));
    if (index < job.coefficients) { records[lane] = open(index); }
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) { records[lane] = together(records[lane], records[lane + half]); }
    }
    if (lane == 0u && index < job.coefficients) { noise[group_index(group, groups)] = records[0]; }
}
