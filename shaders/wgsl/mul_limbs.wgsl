// The high half of a product on devices without 64-bit integers: four products of 16-bit limbs.
fn mul_high(a: u32, b: u32) -> u32 {
    let a0 = a & 0xffffu;
    let a1 = a >> 16u;
    let b0 = b & 0xffffu;
    let b1 = b >> 16u;
    // (2^16 - 1)^2 + 2^16 - 1 < 2^32, so neither sum wraps.
    let first = a1 * b0 + ((a0 * b0) >> 16u);
    let second = a0 * b1 + (first & 0xffffu);
    return a1 * b1 + (first >> 16u) + (second >> 16u);
}
