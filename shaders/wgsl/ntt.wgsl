// The transforms. A workgroup holds a tile of TILE words: several whole polynomials, or a part of one. Stages that reach
// across tiles run on global memory, before (forward) or after (inverse) those within.
//
// Between stages forward values lie in [0, 4p) and inverse values in [0, 2p), as in the scalar transform.

@group(0) @binding(0) var<uniform> job: Job;
// Powers of psi with their quotients, [limb][forward, inverse][n].
@group(0) @binding(1) var<storage, read> roots: array<vec2<u32>>;
// [polynomial][limb][n]
@group(0) @binding(2) var<storage, read_write> rows: array<u32>;

var<workgroup> tile: array<u32, TILE>;

// A word's row decides its limb.
fn limb_of(at: u32) -> u32 {
    return (at >> job.log_n) % job.limbs;
}

// Where the limb's forward table begins; the inverse table follows it.
fn table_of(limb: u32) -> u32 {
    return (2u * limb) << job.log_n;
}

// Position in the tile of the first word of butterfly `index` with distance `half`.
fn low_of(index: u32, half: u32) -> u32 {
    let inside = index & (half - 1u);
    return ((index - inside) << 1u) | inside;
}

@compute @workgroup_size(THREADS)
fn forward_tile(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let start = group_index(group, groups) * TILE;
    for (var at = lane; at < TILE; at += THREADS) {
        let limb = job.limb[limb_of(start + at)];
        tile[at] = 0u;
        if (start + at < job.words) { tile[at] = mul_lazy(rows[start + at], limb.one, limb.p); }
    }
    for (var half = min(job.n, TILE) / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        for (var index = lane; index < TILE / 2u; index += THREADS) {
            let low = low_of(index, half);
            let limb = limb_of(start + low);
            let p = job.limb[limb].p;
            let inside = (start + low) & (job.n - 1u);
            let root = roots[table_of(limb) + (job.n + inside) / (2u * half)];
            let u = reduce_once(tile[low], 2u * p);
            let v = mul_lazy(tile[low + half], root, p);
            tile[low] = u + v;
            tile[low + half] = u + 2u * p - v;
        }
    }
    workgroupBarrier();
    for (var at = lane; at < TILE; at += THREADS) {
        let p = job.limb[limb_of(start + at)].p;
        if (start + at < job.words) { rows[start + at] = reduce_once(reduce_once(tile[at], 2u * p), p); }
    }
}

@compute @workgroup_size(THREADS)
fn inverse_tile(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let start = group_index(group, groups) * TILE;
    for (var at = lane; at < TILE; at += THREADS) {
        let limb = job.limb[limb_of(start + at)];
        tile[at] = 0u;
        if (start + at < job.words) { tile[at] = mul_lazy(rows[start + at], limb.one, limb.p); }
    }
    for (var half = 1u; half < min(job.n, TILE); half *= 2u) {
        workgroupBarrier();
        for (var index = lane; index < TILE / 2u; index += THREADS) {
            let low = low_of(index, half);
            let limb = limb_of(start + low);
            let p = job.limb[limb].p;
            let inside = (start + low) & (job.n - 1u);
            let root = roots[table_of(limb) + job.n + (job.n + inside) / (2u * half)];
            let u = tile[low];
            let v = tile[low + half];
            tile[low] = reduce_once(u + v, 2u * p);
            tile[low + half] = mul_lazy(u + 2u * p - v, root, p);
        }
    }
    workgroupBarrier();
    for (var at = lane; at < TILE; at += THREADS) {
        let limb = job.limb[limb_of(start + at)];
        var word = tile[at];
        if (job.n <= TILE) { word = mul_factor(word, limb.n_inverse, limb.p); }
        if (start + at < job.words) { rows[start + at] = word; }
    }
}

// The stages across tiles: each invocation holds the MAX_FOLD or fewer words that meet there.
var<private> held: array<u32, MAX_FOLD>;

@compute @workgroup_size(THREADS)
fn forward_wide(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group_index(group, groups) * THREADS + lane;
    let fold = job.n / TILE;
    let first = (index / TILE) * job.n + index % TILE;
    if (first >= job.words) { return; }
    let limb = limb_of(first);
    let p = job.limb[limb].p;
    for (var i = 0u; i < fold; i++) {
        held[i] = mul_lazy(rows[first + i * TILE], job.limb[limb].one, p);
    }
    for (var half = fold / 2u; half > 0u; half /= 2u) {
        for (var butterfly = 0u; butterfly < fold / 2u; butterfly++) {
            let low = low_of(butterfly, half);
            let root = roots[table_of(limb) + (fold + low) / (2u * half)];
            let u = reduce_once(held[low], 2u * p);
            let v = mul_lazy(held[low + half], root, p);
            held[low] = u + v;
            held[low + half] = u + 2u * p - v;
        }
    }
    for (var i = 0u; i < fold; i++) {
        rows[first + i * TILE] = held[i];
    }
}

@compute @workgroup_size(THREADS)
fn inverse_wide(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group_index(group, groups) * THREADS + lane;
    let fold = job.n / TILE;
    let first = (index / TILE) * job.n + index % TILE;
    if (first >= job.words) { return; }
    let limb = limb_of(first);
    let p = job.limb[limb].p;
    for (var i = 0u; i < fold; i++) {
        held[i] = rows[first + i * TILE];
    }
    for (var half = 1u; half < fold; half *= 2u) {
        for (var butterfly = 0u; butterfly < fold / 2u; butterfly++) {
            let low = low_of(butterfly, half);
            let root = roots[table_of(limb) + job.n + (fold + low) / (2u * half)];
            let u = held[low];
            let v = held[low + half];
            held[low] = reduce_once(u + v, 2u * p);
            held[low + half] = mul_lazy(u + 2u * p - v, root, p);
        }
    }
    for (var i = 0u; i < fold; i++) {
        rows[first + i * TILE] = mul_factor(held[i], job.limb[limb].n_inverse, p);
    }
}
