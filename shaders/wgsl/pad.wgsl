// Pads: the secret's transform once per job, then for each polynomial a product with expanded words, its inverse
// transform (ntt.wgsl), and the errors.

@group(0) @binding(0) var<uniform> job: Job;
// The secret's transform, [limb][n], in [0, p).
@group(0) @binding(1) var<storage, read> secret: array<u32>;
// [polynomial][limb][n], or [limb][n] where the secret itself is made.
@group(0) @binding(2) var<storage, read_write> rows: array<u32>;

// A small coefficient at word `at`: -32 to 32 becomes [0, p), then [0, p) + [0, p).
fn add_one(value: i32, at: u32, p: u32) {
    rows[at] = reduce_once(rows[at] + bitcast<u32>(value) + (p & bitcast<u32>(value >> 31u)), p);
}

// Two of them from four words of a stream.
fn add_pair(words: vec4<u32>, at: u32, p: u32) {
    let pair = small_pair(words);
    add_one(pair.x, at, p);
    add_one(pair.y, at + 1u, p);
}

// Block `index` of eight small coefficients into each limb of the polynomial that begins at `start`. Written out: an
// indexed block would leave the registers.
fn add_small(small: Block, start: u32, index: u32) {
    for (var limb = 0u; limb < job.limbs; limb++) {
        let p = job.limb[limb].p;
        let at = start + (limb << job.log_n) + index * (BLOCK_WORDS / 2u);
        add_pair(small.words[0], at, p);
        add_pair(small.words[1], at + 2u, p);
        add_pair(small.words[2], at + 4u, p);
        add_pair(small.words[3], at + 6u, p);
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

// A word of stream A times the secret, at word `at` of the batch.
fn multiply_one(word: u32, at: u32) {
    let row = at >> job.log_n;
    let number = row & (job.limbs - 1u);
    let inside = at & (job.n - 1u);
    let limb = job.limb[number];
    let a = uniform_below(job.public_state, limb, job.first_poly + row / job.limbs, number, inside, word);
    // The inverse transform takes any word.
    rows[at] = product_lazy(a, secret[(number << job.log_n) + inside], limb);
}

fn multiply_four(words: vec4<u32>, at: u32) {
    multiply_one(words.x, at);
    multiply_one(words.y, at + 1u);
    multiply_one(words.z, at + 2u);
    multiply_one(words.w, at + 3u);
}

// a_j * s in transform order: an invocation per block of sixteen words.
@compute @workgroup_size(THREADS)
fn product(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let start = (group_index(group, groups) * THREADS + lane) * BLOCK_WORDS;
    if (start >= job.words) { return; }
    let row = start >> job.log_n;
    let nonce = vec3<u32>(DOMAIN_A, job.first_poly + row / job.limbs, row & (job.limbs - 1u));
    let words = block(job.public_state, (start & (job.n - 1u)) / BLOCK_WORDS, nonce).words;
    multiply_four(words[0], start);
    multiply_four(words[1], start + 4u);
    multiply_four(words[2], start + 8u);
    multiply_four(words[3], start + 12u);
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
