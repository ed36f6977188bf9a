// The expander: ChaCha20 in counter mode, four words of the state in a vector. Any block of any stream, in any order.

// The sixteen words of a block.
struct Block {
    words: array<vec4<u32>, 4>,
}

fn rotate(x: vec4<u32>, left: u32) -> vec4<u32> {
    return (x << vec4<u32>(left)) | (x >> vec4<u32>(32u - left));
}

// Four quarter rounds, on the columns of the state.
fn quarter_rounds(state: Block) -> Block {
    var a = state.words[0];
    var b = state.words[1];
    var c = state.words[2];
    var d = state.words[3];
    a += b; d = rotate(d ^ a, 16u);
    c += d; b = rotate(b ^ c, 12u);
    a += b; d = rotate(d ^ a, 8u);
    c += d; b = rotate(b ^ c, 7u);
    return Block(array<vec4<u32>, 4>(a, b, c, d));
}

// Block `counter` of the stream of a seed's state and a nonce. Constant time.
fn block(state: array<vec4<u32>, 3>, counter: u32, nonce: vec3<u32>) -> Block {
    let start = Block(array<vec4<u32>, 4>(state[0], state[1], state[2], vec4<u32>(counter, nonce)));
    var x = start;
    for (var round = 0u; round < 10u; round++) {
        x = quarter_rounds(x);
        // Diagonals become columns, and back.
        x = quarter_rounds(Block(array<vec4<u32>, 4>(x.words[0], x.words[1].yzwx, x.words[2].zwxy, x.words[3].wxyz)));
        x = Block(array<vec4<u32>, 4>(x.words[0], x.words[1].wxyz, x.words[2].zwxy, x.words[3].yzwx));
    }
    return Block(array<vec4<u32>, 4>(
        x.words[0] + start.words[0],
        x.words[1] + start.words[1],
        x.words[2] + start.words[2],
        x.words[3] + start.words[3],
    ));
}

// Coefficient `index` when its first word was not below p: from a block of its own. Public, so its time may vary.
fn redraw(state: array<vec4<u32>, 3>, limb: Limb, poly: u32, limb_number: u32, index: u32) -> u32 {
    let mask = ones_below(limb.prime_bits).x;
    let words = block(state, index, vec3<u32>(DOMAIN_OVERFLOW, poly, limb_number)).words;
    for (var at = 0u; at < BLOCK_WORDS; at++) {
        let word = words[at / 4u][at % 4u] & mask;
        if (word < limb.p) { return word; }
    }
    // (w0 + w1 2^32) p / 2^64: below p.
    let low = mul_high(words[0].x, limb.p);
    return add_wide(mul_wide(words[0].y, limb.p), vec2<u32>(low, 0u)).y;
}

// A word of stream A as coefficient `index`, uniform in [0, p).
fn uniform_below(state: array<vec4<u32>, 3>, limb: Limb, poly: u32, limb_number: u32, index: u32, word: u32) -> u32 {
    let drawn = word & ones_below(limb.prime_bits).x;
    if (drawn < limb.p) { return drawn; }
    return redraw(state, limb, poly, limb_number, index);
}

// Two coefficients from four words, CBD(32): ones in one word minus ones in the next, -32 to 32. Constant time.
fn small_pair(words: vec4<u32>) -> vec2<i32> {
    let ones = vec4<i32>(countOneBits(words));
    return vec2<i32>(ones.x - ones.y, ones.z - ones.w);
}
