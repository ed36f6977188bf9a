//! No job: what a core's vector unit does at best, so that a kernel's time can be held against a floor.
//!
//! Vectors that do not wait for each other stay in registers. Nothing is secret. The words that come out follow from those that
//! went in, and whoever takes the time looks at them, so no round can be left out.

use super::ntt::{Field, Root};
use super::simd::{Body, Simd};
use ntt::Plan;

/// Vectors that take turns: so many hide a product's long way on every engine, and with what they share they fit sixteen registers.
const CHAINS: usize = 8;
/// Words of the widest vector.
const WIDEST: usize = 16;

/// Products by `1/n`, each as in a butterfly: one high half, two low halves, a subtraction.
pub(super) struct Multiply<'a> {
    pub(super) plan: &'a Plan,
    pub(super) rounds: u32,
}

impl Body for Multiply<'_> {
    type Output = Vec<u32>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<u32> {
        let field = Field::forward(s, self.plan);
        let root = Root::splat(s, self.plan.n_inverse());
        let mut chains = first(s);
        for _ in 0..self.rounds {
            for x in &mut chains {
                *x = field.mul::<{ usize::MAX }>(*x, root);
            }
        }
        for x in &mut chains {
            *x = field.canonical(*x);
        }
        words(s, &chains)
    }
}

/// Additions, exclusive ors and rotations, as many of each and by as much as in ChaCha20's quarter round.
pub(super) struct Mix {
    pub(super) addend: u32,
    pub(super) mask: u32,
    pub(super) rounds: u32,
}

impl Body for Mix {
    type Output = Vec<u32>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<u32> {
        let (addend, mask) = (s.splat(self.addend), s.splat(self.mask));
        let mut chains = first(s);
        for _ in 0..self.rounds {
            step::<S, 16>(s, &mut chains, addend, mask);
            step::<S, 12>(s, &mut chains, addend, mask);
            step::<S, 8>(s, &mut chains, addend, mask);
            step::<S, 7>(s, &mut chains, addend, mask);
        }
        words(s, &chains)
    }
}

#[inline(always)]
fn step<S: Simd, const BY: i32>(s: S, chains: &mut [S::V; CHAINS], addend: S::V, mask: S::V) {
    for x in chains {
        *x = s.rotate_left::<BY>(s.xor(s.add(*x, addend), mask));
    }
}

/// 1, 2, 3 and so on.
#[inline(always)]
fn first<S: Simd>(s: S) -> [S::V; CHAINS] {
    let words: [u32; CHAINS * WIDEST] = core::array::from_fn(|i| i as u32 + 1);
    let mut chains = [s.splat(0); CHAINS];
    for (chain, words) in chains.iter_mut().zip(words.chunks_exact(S::LANES)) {
        *chain = s.load(words);
    }
    chains
}

#[inline(always)]
fn words<S: Simd>(s: S, chains: &[S::V; CHAINS]) -> Vec<u32> {
    let mut words = vec![0; CHAINS * S::LANES];
    for (to, &chain) in words.chunks_exact_mut(S::LANES).zip(chains) {
        s.store(chain, to);
    }
    words
}

#[cfg(test)]
mod tests {
    use crate::cpu::Cpu;
    use crate::{Modulus, Plan};

    #[test]
    #[cfg_attr(miri, ignore = "an interpreter has none of the vector instructions")]
    fn every_round_is_done_on_every_engine() {
        let plan = Plan::new(Modulus::P1, 256).expect("a plan");
        let p = plan.modulus();
        for cpu in Cpu::present(1) {
            for rounds in [0, 1, 2, 37] {
                let products = cpu.multiply(&plan, rounds);
                let factor = p.pow(p.inverse(256), rounds);
                let expected: Vec<u32> = (1..=products.len() as u32).map(|word| p.mul(word, factor)).collect();
                assert!(products.len() >= 32 && products == expected, "{}, {rounds} rounds", cpu.isa().name());

                let mixed = cpu.mix([0x9E37_79B9, 0x7F4A_7C15], rounds);
                let mut expected: Vec<u32> = (1..=products.len() as u32).collect();
                for word in &mut expected {
                    for by in [16, 12, 8, 7].repeat(rounds as usize) {
                        *word = (word.wrapping_add(0x9E37_79B9) ^ 0x7F4A_7C15).rotate_left(by);
                    }
                }
                assert_eq!(mixed, expected, "{}, {rounds} rounds", cpu.isa().name());
            }
        }
    }
}
