//! Times Plonky3's transforms over its two 31-bit fields; the prime chooses the field. Requests and answers are as for tfhe-ntt.
//!
//! Not the same transform as ours: cyclic (mod `X^n - 1`), one bit more to a word, in Montgomery form, points in bit-reversed order.
//! Timed is the innermost function, on one row in place: nothing is allocated, transposed or reordered. As inside Plonky3, `forward` and
//! `inverse` leave out the factor 1/n; `inverse-scaled` has it.
//!
//! `product` and `round-trip` are checks. The second factor has sixteen coefficients, so that the caller can multiply by definition.

use p3_baby_bear::BabyBear;
use p3_field::{PrimeCharacteristicRing, PrimeField32};
use p3_koala_bear::KoalaBear;
use p3_monty_31::{FieldParameters, MontyField31, TwoAdicData};
use peer_worker::{Answer, Request, digest, fixed, timed};

/// Coefficients of the second factor.
const SPARSE: usize = 16;

fn main() -> std::io::Result<()> {
    let (mut bear, mut koala) = (None, None);
    peer_worker::serve(|request: &Request| {
        if !(64..=1 << 20).contains(&request.n) || !request.n.is_power_of_two() {
            return Err(format!("n = {}: must be a power of two from 64 to 2^20", request.n));
        }
        match request.p {
            BabyBear::ORDER_U32 => Tables::<BabyBear>::answer(&mut bear, request),
            KoalaBear::ORDER_U32 => Tables::<KoalaBear>::answer(&mut koala, request),
            p => Err(format!("p = {p}: must be {} or {}", BabyBear::ORDER_U32, KoalaBear::ORDER_U32)),
        }
    })
}

/// Roots for one length, there and back.
struct Tables<F> {
    n: usize,
    roots: Vec<Vec<F>>,
    inverse_roots: Vec<Vec<F>>,
}

impl<P: FieldParameters + TwoAdicData> Tables<MontyField31<P>> {
    fn new(n: usize) -> Self {
        let roots = MontyField31::roots_of_unity_table(n);
        // The inverse of w^i is -w^(half - i), as w^half = -1.
        let inverse = |roots: &Vec<MontyField31<P>>| {
            std::iter::once(MontyField31::ONE).chain(roots[1..].iter().rev().map(|&root| -root)).collect()
        };
        let inverse_roots = roots.iter().map(inverse).collect();
        Self { n, roots, inverse_roots }
    }

    fn answer(kept: &mut Option<Self>, request: &Request) -> Result<Answer, String> {
        if kept.as_ref().is_none_or(|tables| tables.n != request.n) {
            *kept = Some(Self::new(request.n));
        }
        let tables = kept.as_ref().ok_or("no tables")?;
        let words =
            |seed| fixed(seed, request.n, request.p).into_iter().map(MontyField31::from_u32).collect::<Vec<_>>();
        let x = words(1);
        let (cpu_ns, out) = match request.kernel.as_str() {
            "forward" => timed(&x, request.repetitions, |x| tables.forward(x)),
            "inverse" => timed(&x, request.repetitions, |x| tables.inverse(x)),
            "inverse-scaled" => timed(&x, request.repetitions, |x| {
                tables.inverse(x);
                tables.scale(x);
            }),
            "round-trip" => timed(&x, 1, |x| {
                tables.forward(x);
                tables.inverse(x);
                tables.scale(x);
            }),
            "product" => {
                let mut y = words(2);
                y[SPARSE..].fill(MontyField31::ZERO);
                timed(&x, 1, |x| {
                    tables.forward(x);
                    tables.forward(&mut y);
                    x.iter_mut().zip(&y).for_each(|(x, &y)| *x *= y);
                    tables.inverse(x);
                    tables.scale(x);
                })
            }
            kernel => return Err(format!("no kernel is called {kernel}")),
        };
        let bytes = out.iter().flat_map(|word| word.as_canonical_u32().to_le_bytes());
        Ok(Answer { cpu_ns, digest: digest(bytes), isa: isa() })
    }

    fn forward(&self, x: &mut [MontyField31<P>]) {
        MontyField31::forward_fft(x, &self.roots);
    }

    fn inverse(&self, x: &mut [MontyField31<P>]) {
        MontyField31::backward_fft(x, &self.inverse_roots);
    }

    fn scale(&self, x: &mut [MontyField31<P>]) {
        let factor = MontyField31::ONE.div_2exp_u64(self.n.trailing_zeros().into());
        p3_field::scale_slice_in_place_single_core(x, factor);
    }
}

/// What this program was compiled for.
fn isa() -> &'static str {
    if cfg!(target_feature = "avx512f") {
        "avx512"
    } else if cfg!(target_feature = "avx2") {
        "avx2"
    } else if cfg!(target_arch = "aarch64") {
        "neon"
    } else {
        "scalar"
    }
}
