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
    // One limb or two.
    return (at >> job.log_n) & (job.limbs - 1u);
}

// Where the limb's forward table begins; the inverse table follows it.
fn table_of(limb: u32) -> u32 {
    return (2u * limb) << job.log_n;
}

// A butterfly: u in [0, 4p) and any v, results in [0, 4p).
fn forward_pair(u: u32, v: u32, root: vec2<u32>, p: u32) -> vec2<u32> {
    let low = reduce_once(u, 2u * p);
    let product = mul_lazy(v, root, p);
    return vec2<u32>(low + product, low + 2u * p - product);
}

// Its inverse: u and v in [0, 2p), results in [0, 2p).
fn inverse_pair(u: u32, v: u32, root: vec2<u32>, p: u32) -> vec2<u32> {
    return vec2<u32>(reduce_once(u + v, 2u * p), mul_lazy(u + 2u * p - v, root, p));
}

// Position of the first word of group `index` whose words are `distance` apart, `1 << log_words` to a group.
fn first_of(index: u32, distance: u32, log_words: u32) -> u32 {
    let inside = index & (distance - 1u);
    return ((index - inside) << log_words) | inside;
}

// The tile's words, each taken mod p into [0, 2p); zeros past the end.
fn load_tile(start: u32, lane: u32) {
    for (var at = lane; at < TILE; at += THREADS) {
        let limb = job.limb[limb_of(start + at)];
        tile[at] = 0u;
        if (start + at < job.words) { tile[at] = mul_lazy(rows[start + at], limb.one, limb.p); }
    }
}

// Stages run in pairs, on four words in registers; where their number is odd, the one between the farthest words runs
// alone. A block's root has index r = (n + position) / block; its halves' roots are 2r and 2r + 1.
@compute @workgroup_size(THREADS)
fn forward_tile(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let start = group_index(group, groups) * TILE;
    load_tile(start, lane);
    var half = min(job.n, TILE) / 2u;
    if (countTrailingZeros(half) % 2u == 0u) {
        workgroupBarrier();
        for (var index = lane; index < TILE / 2u; index += THREADS) {
            let low = first_of(index, half, 1u);
            let limb = limb_of(start + low);
            let root = roots[table_of(limb) + (job.n + ((start + low) & (job.n - 1u))) / (2u * half)];
            let pair = forward_pair(tile[low], tile[low + half], root, job.limb[limb].p);
            tile[low] = pair.x;
            tile[low + half] = pair.y;
        }
        half /= 2u;
    }
    for (; half > 0u; half /= 4u) {
        let near = half / 2u;
        workgroupBarrier();
        for (var index = lane; index < TILE / 4u; index += THREADS) {
            let low = first_of(index, near, 2u);
            let limb = limb_of(start + low);
            let p = job.limb[limb].p;
            let root = (job.n + ((start + low) & (job.n - 1u))) / (2u * half);
            let table = table_of(limb);
            let far_root = roots[table + root];
            let even = forward_pair(tile[low], tile[low + half], far_root, p);
            let odd = forward_pair(tile[low + near], tile[low + half + near], far_root, p);
            let lower = forward_pair(even.x, odd.x, roots[table + 2u * root], p);
            let upper = forward_pair(even.y, odd.y, roots[table + 2u * root + 1u], p);
            tile[low] = lower.x;
            tile[low + near] = lower.y;
            tile[low + half] = upper.x;
            tile[low + half + near] = upper.y;
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
    load_tile(start, lane);
    let reach = min(job.n, TILE);
    var near = 1u;
    for (; 4u * near <= reach; near *= 4u) {
        let half = 2u * near;
        workgroupBarrier();
        for (var index = lane; index < TILE / 4u; index += THREADS) {
            let low = first_of(index, near, 2u);
            let limb = limb_of(start + low);
            let p = job.limb[limb].p;
            let root = (job.n + ((start + low) & (job.n - 1u))) / (2u * half);
            let table = table_of(limb) + job.n;
            let lower = inverse_pair(tile[low], tile[low + near], roots[table + 2u * root], p);
            let upper = inverse_pair(tile[low + half], tile[low + half + near], roots[table + 2u * root + 1u], p);
            let far_root = roots[table + root];
            let even = inverse_pair(lower.x, upper.x, far_root, p);
            let odd = inverse_pair(lower.y, upper.y, far_root, p);
            tile[low] = even.x;
            tile[low + near] = odd.x;
            tile[low + half] = even.y;
            tile[low + half + near] = odd.y;
        }
    }
    if (near < reach) {
        workgroupBarrier();
        for (var index = lane; index < TILE / 2u; index += THREADS) {
            let low = first_of(index, near, 1u);
            let limb = limb_of(start + low);
            let root = roots[table_of(limb) + job.n + (job.n + ((start + low) & (job.n - 1u))) / (2u * near)];
            let pair = inverse_pair(tile[low], tile[low + near], root, job.limb[limb].p);
            tile[low] = pair.x;
            tile[low + near] = pair.y;
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
            let low = first_of(butterfly, half, 1u);
            let root = roots[table_of(limb) + (fold + low) / (2u * half)];
            let pair = forward_pair(held[low], held[low + half], root, p);
            held[low] = pair.x;
            held[low + half] = pair.y;
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
            let low = first_of(butterfly, half, 1u);
            let root = roots[table_of(limb) + job.n + (fold + low) / (2u * half)];
            let pair = inverse_pair(held[low], held[low + half], root, p);
            held[low] = pair.x;
            held[low + half] = pair.y;
        }
    }
    for (var i = 0u; i < fold; i++) {
        rows[first + i * TILE] = mul_factor(held[i], job.limb[limb].n_inverse, p);
    }
}
