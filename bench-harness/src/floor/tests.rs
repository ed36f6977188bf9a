//! Counts held against the tables of docs/KERNELS.md, and against programs that count while they compute what is defined.

use super::*;
use crate::task::{Case, Kernel, Scale, Task, cases};
use kernels::expand::{self, Domain, initial_state};
use kernels::reference::Reference;
use kernels::{Backend, Direction, Modulus, Plan};

/// Computes, and counts what it takes.
#[derive(Default)]
struct Counting {
    products: u64,
    operations: u64,
}

impl Counting {
    fn do_one(&mut self, result: u32) -> u32 {
        self.operations += 1;
        result
    }

    fn multiply(&mut self, a: u32, b: u32) -> (u32, u32) {
        (self.products, self.operations) = (self.products + 1, self.operations + 1);
        let product = u64::from(a) * u64::from(b);
        (product as u32, (product >> 32) as u32)
    }

    fn needs(&self) -> Needs {
        only(self.products, self.operations)
    }
}

/// What a transform takes that gives the definition's words.
fn counted_transform(n: u64) -> Needs {
    let plan = Plan::new(Modulus::P1, n as usize).expect("a plan");
    let (p, (factors, quotients)) = (plan.modulus().value(), plan.forward_table());
    let mut words: Vec<u32> = (0..n as u32).map(|i| i.wrapping_mul(0x9E37_79B9) % p).collect();
    let mut defined = words.clone();
    Reference.ntt(&plan, Direction::Forward, &mut defined).expect("the definition has no faults");
    let mut counting = Counting::default();
    let (mut blocks, mut distance) = (1, words.len() / 2);
    while distance > 0 {
        for (index, block) in words.chunks_exact_mut(2 * distance).enumerate() {
            let (factor, quotient) = (factors[blocks + index], quotients[blocks + index]);
            let (x, y) = block.split_at_mut(distance);
            for (x, y) in x.iter_mut().zip(y) {
                let estimate = counting.multiply(*y, quotient).1;
                let (near, far) = (counting.multiply(*y, factor).0, counting.multiply(estimate, p).0);
                let v = counting.do_one(near.wrapping_sub(far));
                let less = counting.do_one(x.wrapping_sub(2 * p));
                let u = counting.do_one(less.min(*x));
                *x = counting.do_one(u + v);
                // That 2p is not counted: half of the engines' differences go without.
                *y = counting.do_one((u + 2 * p).wrapping_sub(v));
            }
        }
        (blocks, distance) = (2 * blocks, distance / 2);
    }
    assert!(words.iter().map(|word| word % p).eq(defined), "what was counted is a transform");
    counting.needs()
}

/// Operations of so many blocks, one of which is the definition's.
fn counted_blocks(blocks: u64) -> u64 {
    let initial = initial_state(&[7; 32], Domain::A, 3, 1);
    let (mut counting, mut x) = (Counting::default(), initial);
    for round in 0..20 {
        for column in 0..4 {
            let turned = if round % 2 == 0 { 0 } else { 1 };
            let [a, b, c, d] = [0, 1, 2, 3].map(|row| 4 * row + (column + row * turned) % 4);
            for (to, with, turned, by) in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)] {
                x[to] = counting.do_one(x[to].wrapping_add(x[with]));
                x[turned] = counting.do_one(x[turned] ^ x[to]);
                x[turned] = counting.do_one(x[turned].rotate_left(by));
            }
        }
    }
    for (word, first) in x.iter_mut().zip(initial) {
        *word = counting.do_one(word.wrapping_add(first));
    }
    assert_eq!(x, expand::block(&initial, 0), "what was counted is a block");
    blocks * counting.operations
}

fn only(products: u64, operations: u64) -> Needs {
    Needs { products, operations, ..Needs::default() }
}

#[test]
fn transforms_are_counted_butterfly_by_butterfly() {
    for n in [256, 1024, 4096, 32768] {
        assert_eq!(transform(n), counted_transform(n), "n = {n}");
    }
    // (n/2) * log2 n = 2048 * 12 butterflies of three products.
    assert_eq!(transform(4096).products, 73_728);
}

#[test]
fn streams_are_counted_round_by_round() {
    assert_eq!(stream(16), only(0, counted_blocks(1)));
    assert_eq!(stream(17), only(0, counted_blocks(2)));
    assert_eq!(stream(4096), only(0, counted_blocks(256)));
    // Sixteen blocks in vectors of sixteen lanes: 960 vector operations of rounds and 16 additions.
    assert_eq!(stream(256).operations / 16, 976);
}

#[test]
fn a_pad_is_what_its_table_says() {
    let (n, limbs, polys) = (1024, 2, 5);
    let mut counted = Needs::default();
    // Eight bytes a coefficient: s once a job.
    counted.operations += counted_blocks(8 * n / 64);
    for _ in 0..limbs {
        counted = counted.and(counted_transform(n));
    }
    for _ in 0..polys {
        counted.operations += counted_blocks((4 * limbs + 8) * n / 64);
        for _ in 0..limbs {
            counted = counted.and(counted_transform(n));
            // n products mod p, each of three products and a difference.
            counted = counted.and(only(3 * n, 4 * n));
        }
    }
    assert_eq!(pad(n, limbs, polys), counted);
}

#[test]
fn sealing_and_opening_are_what_their_tables_say() {
    // Three embeddings and the pad's lift, two for their reduction, three for theta: of each limb, in 64 bits.
    assert_eq!(seal(100, 2, 3), only(0, 100 * 2 * (3 + 1 + 2 + 3) * 2));
    assert_eq!(seal(7, 1, 1), only(0, 7 * (1 + 1 + 2 + 3) * 2));
    let (n, limbs, digits, polys, coefficients) = (256, 2, 3, 4, 1000);
    let mut counted = Needs::default();
    for _ in 0..limbs {
        counted = counted.and(counted_transform(n));
        for _ in 0..polys {
            counted = counted.and(counted_transform(n)).and(only(3 * n, 4 * n + counted_blocks(4 * n / 64)));
        }
        for _ in 0..coefficients {
            // A lift mod p, and theta.
            counted = counted.and(only(3, 4 + 3 * 2));
        }
    }
    // A division by the step and two by the base, a quotient and a rest each.
    counted.operations += coefficients * 3 * 2 * 2;
    assert_eq!(decrypt(n, limbs, digits, polys, coefficients), counted);
}

#[test]
fn rows_are_what_their_tables_say() {
    assert_eq!(sum(1000, 24, 50), only(0, 1000 * 24 * 2 * 2));
    assert_eq!(sum(1000, 24, 32), only(0, 1000 * 24 * 2));
    // 4 * dimension bytes of stream, a product for each word, a block of errors.
    assert_eq!(dense(2048, 3), only(0, 3 * (counted_blocks(4 * 2048 / 64) + 2048 + counted_blocks(1))));
}

/// What tables say of bytes, from the lengths of a case at full scale: eight polynomials, two primes, 50 bits, three digits.
#[test]
fn tasks_ask_for_what_their_sizes_say() {
    let needs = |kernel, n, scale| Task::new(Case { kernel, n }, scale).expect("a task").needs();
    let digits = 8 * 4096 * 3 - 5;
    let coefficients = 8 * 4096 - 1;
    let packed = u64::div_ceil(coefficients * 50, 8);
    let sized = |bytes, held_bytes, needs: Needs| Needs { bytes, held_bytes, ..needs };
    for n in [1024, 32768] {
        let expected = sized(8 * n, 4 * n, transform(n));
        assert_eq!(needs(Kernel::Forward, n as usize, Scale::Full), expected);
        assert_eq!(needs(Kernel::Inverse, n as usize, Scale::Full), expected);
    }
    assert_eq!(needs(Kernel::Expand, 4096, Scale::Full), sized(4 * 4096, 4 * 4096, stream(4096)));
    let pads = 8 * 2 * 4096;
    assert_eq!(needs(Kernel::Pad, 4096, Scale::Full), sized(4 * pads, 4 * pads, pad(4096, 2, 8)));
    let sealed = seal(coefficients, 2, 3);
    let moved = sized(8 * pads + 4 * digits + packed, 4 * pads + 4 * digits + packed, sealed);
    assert_eq!(needs(Kernel::Seal, 4096, Scale::Full), moved);
    let both = sized(4 * digits + packed, 4 * digits + packed, pad(4096, 2, 8).and(sealed));
    assert_eq!(needs(Kernel::Encrypt, 4096, Scale::Full), both);
    let opened = 8 * coefficients + 4 * digits;
    let expected = sized(opened, opened, decrypt(4096, 2, 3, 8, coefficients));
    assert_eq!(needs(Kernel::Decrypt, 4096, Scale::Full), expected);
    assert_eq!(needs(Kernel::Dense, 2048, Scale::Full), sized(8 * 64, 4 * 64, dense(2048, 64)));
    // Rows of a polynomial; the accumulator is read and written, a pair for each value.
    let (rows, values) = (8 * 4096 * 50 / 8, 4096 * 8);
    let expected = sized(rows + 2 * values, rows + values, sum(4096, 8, 50));
    assert_eq!(needs(Kernel::Sum, 4096, Scale::Small), expected);
}

#[test]
fn the_largest_limit_binds_and_memory_only_what_no_cache_holds() {
    let needs = Needs { bytes: 800, held_bytes: 400, products: 600, operations: 900 };
    let ceilings = Ceilings { bytes: 10.0, products: 10.0, operations: 20.0 };
    let floor = |cache| needs.floor(&ceilings, cache).expect("a floor");
    assert_eq!(floor(None), Floor { ns: 80.0, limit: Limit::Memory });
    // A tenth of the data, and so of the bytes, may stay in the cache.
    assert_eq!(floor(Some(40)), Floor { ns: 72.0, limit: Limit::Memory });
    assert_eq!(floor(Some(399)), floor(Some(400)));
    assert_eq!(floor(Some(400)), Floor { ns: 60.0, limit: Limit::Products });
    let faster = Ceilings { products: 20.0, ..ceilings };
    assert_eq!(needs.floor(&faster, Some(400)), Some(Floor { ns: 45.0, limit: Limit::Operations }));
    assert_eq!(Needs::default().floor(&ceilings, None), None);
}

#[test]
fn every_case_asks_for_something() {
    for case in cases() {
        let needs = Task::new(case, Scale::Check).expect("a task").needs();
        assert!(needs.bytes > 0 && needs.held_bytes > 0 && needs.operations > needs.products, "{case:?}");
    }
}
