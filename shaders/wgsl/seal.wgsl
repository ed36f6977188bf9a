// Digits into a pad, rounded and packed. A workgroup has THREADS coefficients, whose bits are whole words: it rounds them
// into shared memory, then each invocation gathers the bits of its words of the output.

@group(0) @binding(0) var<uniform> job: Job;
// Delta * B^d mod p with quotients, [limb][digit].
@group(0) @binding(1) var<storage, read> factors: array<vec2<u32>>;
// [polynomial][limb][n], in [0, p).
@group(0) @binding(2) var<storage, read> pad: array<u32>;
@group(0) @binding(3) var<storage, read> digits: array<u32>;
@group(0) @binding(4) var<storage, read_write> packed: array<u32>;

var<workgroup> rounded: array<vec2<u32>, THREADS>;

// Coefficient `index` with its digits, rounded to the wire's bits.
fn wire_word(index: u32) -> vec2<u32> {
    let inside = index & (job.n - 1u);
    let row = (index >> job.log_n) * job.limbs;
    var sum = vec2<u32>(0u);
    for (var number = 0u; number < job.limbs; number++) {
        let limb = job.limb[number];
        var residue = pad[((row + number) << job.log_n) + inside];
        for (var place = 0u; place < job.digits_per_coefficient; place++) {
            let digit = index * job.digits_per_coefficient + place;
            if (digit < job.digits) {
                let factor = factors[number * job.digits_per_coefficient + place];
                residue = reduce_once(residue + mul_factor(digits[digit], factor, limb.p), limb.p);
            }
        }
        sum = add_wide(sum, fraction(mul_factor(residue, limb.lift, limb.p), limb));
    }
    return round_fractions(sum, job.bits);
}

@compute @workgroup_size(THREADS)
fn seal(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = group_index(group, groups) * THREADS;
    // Past the last coefficient there are zeros: the last byte's spare bits.
    rounded[lane] = vec2<u32>(0u);
    if (first + lane < job.coefficients) { rounded[lane] = wire_word(first + lane); }
    workgroupBarrier();
    let own_words = THREADS / 32u * job.bits;
    let out = group_index(group, groups) * own_words;
    for (var at = lane; at < own_words; at += THREADS) {
        if (out + at < job.out_words) {
            var word = 0u;
            var filled = 0u;
            while (filled < 32u) {
                let bit = 32u * at + filled;
                let source = bit / job.bits;
                let used = bit % job.bits;
                word |= shift_right(rounded[source], used).x << filled;
                filled += job.bits - used;
            }
            packed[out + at] = word;
        }
    }
}
