// Pads: the secret's transform once per job, then for each polynomial a product with expanded words, its inverse
// transform (ntt.wgsl), and the errors.

@group(0) @binding(0) var<uniform> job: Job;
// The secret's transform, [limb][n], in [0, p).
@group(0) @binding(1) var<storage, read> secret: array<u32>;
// [polynomial][limb][n], or [limb][n] where the secret itself is made.
@group(0) @binding(2) var<storage, read_write> rows: array<u32>;

// Block `index` of eight small coefficients into each limb of the polynomial that begins at `start`.
fn add_small(small: Block, start: u32, index: u32) {
    for (var limb = 0u; limb < job.limbs; limb++) {
        let p = job.limb[limb].p;
        for (var quarter = 0u; quarter < 4u; quarter++) {
            let pair = small_pair(small.words[quarter]);
            let at = start + (limb << job.log_n) + index * (BLOCK_WORDS / 2u) + 2u * quarter;
            for (var side = 0u; side < 2u; side++) {
                // -32 to 32 becomes [0, p); then [0, p) + [0, p).
                let value = bitcast<u32>(pair[side]) + (p & bitcast<u32>(pair[side] >> 31u));
                rows[at + side] = reduce_once(rows[at + side] + value, p);
            }
        }
    }
}

// The secret's coefficients, limb by limb: an invocation per block of eight. The rows are zero before.
@compute @workgroup_size(THREADS)
fn secret_rows(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group_index(group, groups) * THREADS + lane;
    if (index >= job.n / (BLOCK_WORDS / 2u)) { return; }
    add_small(block(job.message_state, index, vec3<u32>(DOMAIN_S, 0u, 0u)), 0u, index);
}

// a_j * s in transform order: an invocation per block of sixteen words.
@compute @workgroup_size(THREADS)
fn product(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group_index(group, groups) * THREADS + lane;
    let start = index * BLOCK_WORDS;
    if (start >= job.words) { return; }
    let row = start >> job.log_n;
    let inside = start & (job.n - 1u);
    let number = row % job.limbs;
    let poly = job.first_poly + row / job.limbs;
    let limb = job.limb[number];
    let words = block(job.public_state, inside / BLOCK_WORDS, vec3<u32>(DOMAIN_A, poly, number)).words;
    for (var at = 0u; at < BLOCK_WORDS; at++) {
        let word = words[at / 4u][at % 4u];
        let a = uniform_below(job.public_state, limb, poly, number, inside + at, word);
        rows[start + at] = mul_mod(a, secret[(number << job.log_n) + inside + at], limb);
    }
}

// Adds e_j: an invocation per block of eight coefficients, all limbs.
@compute @workgroup_size(THREADS)
fn errors(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group_index(group, groups) * THREADS + lane;
    let blocks = job.n / (BLOCK_WORDS / 2u);
    let poly = index / blocks;
    if (poly >= job.polys) { return; }
    let inside = index % blocks;
    let words = block(job.message_state, inside, vec3<u32>(DOMAIN_E, job.first_poly + poly, 0u));
    add_small(words, (poly * job.limbs) << job.log_n, inside);
}
