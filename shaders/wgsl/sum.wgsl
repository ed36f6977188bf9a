// Packed rows into an accumulator: an invocation per value.

@group(0) @binding(0) var<uniform> job: Job;
// Each row begins on a word of its own.
@group(0) @binding(1) var<storage, read> rows: array<u32>;
// One word per value, or a pair where values have more than 32 bits.
@group(0) @binding(2) var<storage, read_write> accumulator: array<u32>;

// Value `index` of the row that begins at word `row`, with unknown bits above its own. What is read past the row lands
// there too.
fn packed_value(row: u32, index: u32) -> vec2<u32> {
    // A piece has fewer than 2^32 bits per row.
    let bit = index * job.bits;
    let at = row + bit / 32u;
    let by = bit % 32u;
    let low = rows[at];
    let middle = rows[at + 1u];
    let high = rows[at + 2u];
    // A shift by 32 in two steps, because a shift by 32 at once is none.
    return vec2<u32>((low >> by) | ((middle << 1u) << (31u - by)), (middle >> by) | ((high << 1u) << (31u - by)));
}

@compute @workgroup_size(THREADS)
fn sum(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group_index(group, groups) * THREADS + lane;
    if (index >= job.coefficients) { return; }
    let at = index * job.value_words;
    var total = vec2<u32>(accumulator[at], 0u);
    if (job.value_words == 2u) { total.y = accumulator[at + 1u]; }
    for (var row = 0u; row < job.rows; row++) {
        total = add_wide(total, packed_value(row * job.row_words, index));
    }
    total &= ones_below(job.bits);
    accumulator[at] = total.x;
    if (job.value_words == 2u) { accumulator[at + 1u] = total.y; }
}
