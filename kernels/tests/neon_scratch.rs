//! scratch
use tensorguard_kernels::expand::Domain;
use tensorguard_kernels::*;
use tensorguard_kernels::{cpu::{Cpu, Isa}, reference::Reference};

struct R(u64);
impl R { fn u(&mut self) -> u32 { self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407); (self.0 >> 32) as u32 } 
 fn v(&mut self, n: usize) -> Vec<u32> { (0..n).map(|_| self.u()).collect() } }

fn isa() -> Isa { if cfg!(target_arch = "aarch64") { Isa::Neon } else { Isa::Avx2 } }
fn prime(n: usize, below: u32) -> u32 {
    let step = 2 * n as u32;
    let mut p = below / step * step + 1;
    loop { if p < below && Modulus::new(p).is_ok() && (2..).take_while(|d| d * d <= p).all(|d| p % d != 0) { return p } p -= step; }
}
fn encodings() -> Vec<Encoding> {
    let mut out = vec![];
    for n in [64usize, 128, 1024, 4096, 8192, 16384] {
        let p = prime(n, 1 << 30); let q = prime(n, p - 1);
        for (primes, bits, base, d) in [(vec![p], 17, 1501, 1), (vec![p], 29, 16, 4), (vec![p, q], 57, 1 << 20, 2), (vec![p, q], 33, 255, 3), (vec![p,q], 12, 7, 2)] {
            match Ring::new(n, &primes).map(|r| Encoding::new(r, bits, base, d)) { Ok(Ok(e)) => out.push(e), e => println!("skip {n} {primes:?} {bits} {e:?}") }
        }
    }
    if let Ok(r) = Ring::new(1024, &[4_169_729]) { out.push(Encoding::new(r, 17, 1501, 1).unwrap()); }
    assert!(out.len() > 15);
    out
}

#[test]
fn ntt_() { let mut r = R(1); let c = Cpu::with(isa(), 1).unwrap();
  for e in encodings() { for plan in e.ring().plans() { for d in [Direction::Forward, Direction::Inverse] {
    let mut a = r.v(2 * plan.n()); a[0] = u32::MAX; let mut b = a.clone();
    c.ntt(plan, d, &mut a).unwrap(); Reference.ntt(plan, d, &mut b).unwrap(); assert_eq!(a, b, "{} {d:?}", plan.n());
  } } } }
#[test]
fn words_() { let mut r = R(2); let c = Cpu::with(isa(), 1).unwrap();
  for len in [1usize, 16, 63, 64, 65, 1000] { let mut a = r.v(len); 
    c.expand(&[3; 32], Domain::A, 5, 1, &mut a);
    let b: Vec<u32> = expand::words(&[3; 32], Domain::A, 5, 1).take(len).collect(); assert_eq!(a, b); } }
#[test]
fn pad_() { let c = Cpu::with(isa(), 1).unwrap();
  for e in encodings() { let seed = Secret::new([9; 32]); let job = PadJob { ring: e.ring(), a_seed: &[7; 32], message_seed: &seed, first_poly: 3 };
    let mut a = vec![0; 2 * e.ring().n() * e.ring().plans().len()]; let mut b = a.clone();
    c.pad(&job, &mut a).unwrap(); Reference.pad(&job, &mut b).unwrap(); assert!(a == b, "{} {}", e.ring().n(), e.bits()); } }
#[test]
fn seal_() { let mut r = R(4); let c = Cpu::with(isa(), 1).unwrap();
  for e in encodings() { for len in [1, 77, e.ring().n() + 5] { let base = e.base() as u32;
    let digits: Vec<u32> = r.v(len).iter().map(|d| d % base).collect();
    let ps: Vec<u32> = e.ring().plans().iter().map(|p| p.modulus().value()).collect(); let n = e.ring().n();
    let mut pa: Vec<u32> = (0..e.pad_len(len)).map(|i| r.u() % ps[i / n % ps.len()]).collect(); let mut pb = pa.clone();
    let mut a = vec![0; e.packed_len(len)]; let mut b = a.clone(); let job = SealJob { encoding: &e };
    c.seal(&job, &mut pa, &digits, &mut a).unwrap(); Reference.seal(&job, &mut pb, &digits, &mut b).unwrap(); assert!(a == b && pa == pb, "{n} {len}"); } } }
#[test]
fn encrypt_() { let mut r = R(5); let c = Cpu::with(isa(), 1).unwrap();
  for e in encodings() { let len = e.ring().n() + 13; let base = e.base() as u32;
    let digits: Vec<u32> = r.v(len).iter().map(|d| d % base).collect(); let seed = Secret::new([9; 32]);
    let job = EncryptJob { encoding: &e, a_seed: &[7; 32], message_seed: &seed, first_poly: 0 };
    let mut a = vec![0; e.packed_len(len)]; let mut b = a.clone();
    c.encrypt(&job, &digits, &mut a).unwrap(); Reference.encrypt(&job, &digits, &mut b).unwrap(); assert!(a == b); } }
#[test]
fn sum_() { let mut r = R(6); let c = Cpu::with(isa(), 1).unwrap();
  for bits in 1..=57 { for coefficients in [1usize, 7, 8, 16, 31, 64, 100, 5003] { for rows in [1usize, 4, 6] {
    let shape = Shape { bits, coefficients };
    let data: Vec<Vec<u8>> = (0..rows).map(|_| (0..shape.packed_len()).map(|_| r.u() as u8).collect()).collect();
    let rows: Vec<&[u8]> = data.iter().map(|d| &**d).collect();
    let mut a = r.v(shape.accumulator_len());
    if bits > 32 { for p in a.chunks_mut(2) { p[1] &= (shape.mask() >> 32) as u32 } } else { for w in &mut a { *w &= shape.mask() as u32 } }
    let mut b = a.clone();
    c.sum(&shape, &rows, &mut a).unwrap(); Reference.sum(&shape, &rows, &mut b).unwrap(); assert_eq!(a, b, "{bits} {coefficients}"); } } } }
#[test]
fn decrypt_() { let mut r = R(7); let c = Cpu::with(isa(), 1).unwrap();
  for e in encodings() { for len in [5, e.ring().n() + 3] { let shape = e.shape(len);
    let mut acc = r.v(shape.accumulator_len());
    if shape.bits > 32 { for p in acc.chunks_mut(2) { p[1] &= (shape.mask() >> 32) as u32 } } else { for w in &mut acc { *w &= shape.mask() as u32 } }
    let sum = Secret::new((0..e.ring().n()).map(|_| (r.u() % 2001) as i32 - 1000).collect::<Vec<i32>>());
    let job = DecryptJob { encoding: &e, a_seed: &[7; 32], secret_sum: &sum, first_poly: 1 };
    let mut a = vec![0; len]; let mut b = a.clone();
    let x = c.decrypt(&job, &acc, &mut a).unwrap(); let y = Reference.decrypt(&job, &acc, &mut b).unwrap(); assert!(a == b && x == y); } } }
#[test]
fn dense_() { let mut r = R(8); let c = Cpu::with(isa(), 1).unwrap();
  for dimension in [16, 48, 1024] { for bits in [1, 17, 32] { let seed = Secret::new([4; 32]);
    let sum = Secret::new((0..dimension).map(|_| r.u() as i32).collect::<Vec<i32>>());
    for key in [DenseKey::Mask(&seed), DenseKey::Unmask(&sum)] {
      let job = DenseJob { a_seed: &[1; 32], dimension, bits, first_row: 2, key };
      let mut a = r.v(19); let mut b = a.clone(); c.dense(&job, &mut a).unwrap(); Reference.dense(&job, &mut b).unwrap(); assert_eq!(a, b); } } } }
