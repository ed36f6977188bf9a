// Rows of unstructured LWE: a workgroup per row expands it, multiplies it with the secret and forgets it. Two's complement
// does the signs: everything wraps mod 2^32, and 2^bits divides that.

@group(0) @binding(0) var<uniform> job: Job;
// The secret as wrapping words, made here or uploaded.
@group(0) @binding(1) var<storage, read> secret: array<u32>;
@group(0) @binding(2) var<storage, read_write> rows: array<u32>;

var<workgroup> parts: array<u32, ROW_THREADS>;

// The part of a row's product that begins at word `at`.
fn four(words: vec4<u32>, at: u32) -> u32 {
    return words.x * secret[at] + words.y * secret[at + 1u] + words.z * secret[at + 2u] + words.w * secret[at + 3u];
}

// The secret of a message: an invocation per block of eight coefficients.
@compute @workgroup_size(THREADS)
fn dense_secret(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group_index(group, groups) * THREADS + lane;
    let start = index * (BLOCK_WORDS / 2u);
    if (start >= job.dimension) { return; }
    let small = block(job.message_state, index, vec3<u32>(DOMAIN_S, 0u, 0u)).words;
    for (var quarter = 0u; quarter < 4u; quarter++) {
        let pair = bitcast<vec2<u32>>(small_pair(small[quarter]));
        rows[start + 2u * quarter] = pair.x;
        rows[start + 2u * quarter + 1u] = pair.y;
    }
}

// `job.sign` is 1 where the product and an error are added, and -1 where the product is taken away.
@compute @workgroup_size(ROW_THREADS)
fn dense_rows(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group_index(group, groups);
    let poly = job.first_poly + row;
    var part = 0u;
    if (row < job.rows) {
        for (var at = lane; at < job.dimension / BLOCK_WORDS; at += ROW_THREADS) {
            let words = block(job.public_state, at, vec3<u32>(DOMAIN_A, poly, 0u)).words;
            let first = at * BLOCK_WORDS;
            part += four(words[0], first) + four(words[1], first + 4u);
            part += four(words[2], first + 8u) + four(words[3], first + 12u);
        }
    }
    parts[lane] = part;
    for (var half = ROW_THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) { parts[lane] += parts[lane + half]; }
    }
    if (lane == 0u && row < job.rows) {
        var value = rows[row] + job.sign * parts[0];
        if (job.sign == 1u) {
            let words = block(job.message_state, 0u, vec3<u32>(DOMAIN_E, poly, 0u)).words;
            value += bitcast<u32>(small_pair(words[0]).x);
        }
        rows[row] = value & ones_below(job.bits).x;
    }
}
