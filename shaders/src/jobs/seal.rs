//! Sealing a pad, and both halves of an encryption in one trip.

use super::{numbered, pad};
use crate::Core;
use crate::numbers::{Numbers, Word};
use crate::pipeline::{Kernel, THREADS};
use crate::trip::{Privacy, Trip, staged};
use kernels::{Encoding, EncryptJob, Fault, SealJob};
use wgpu::Buffer;

pub(crate) fn run(
    core: &Core,
    job: &SealJob<'_>,
    pad: &mut [u32],
    digits: &[u32],
    out: &mut [u8],
) -> Result<(), Fault> {
    job.check(pad, digits, out);
    let encoding = job.encoding;
    let limbs = encoding.ring().plans().len();
    pieces(core, encoding, digits, out, |index, digits, out| {
        let start = index * encoding.ring().n() * limbs;
        let pad = &pad[start..start + encoding.pad_len(digits.len())];
        let mut numbers = Numbers::encoding(encoding);
        let uploads = staged(pad.len()) + staged(digits.len()) + factor_bytes(encoding);
        let mut trip = Trip::new(core, Privacy::Secret, uploads)?;
        count(&mut numbers, encoding, digits, out);
        let numbers = trip.upload(numbers.words())?;
        let rows = trip.upload(pad)?;
        seal(trip, encoding, &numbers, &rows, digits, out)
    })?;
    zeroize::Zeroize::zeroize(pad);
    Ok(())
}

pub(crate) fn encrypt(core: &Core, job: &EncryptJob<'_>, digits: &[u32], out: &mut [u8]) -> Result<(), Fault> {
    job.check(digits, out);
    let encoding = job.encoding;
    pieces(core, encoding, digits, out, |index, digits, out| {
        let mut numbers = Numbers::encoding(encoding);
        numbers.public_seed(job.a_seed);
        numbers.message_seed(job.message_seed);
        numbers.set(Word::first_poly, numbered(job.first_poly, index));
        count(&mut numbers, encoding, digits, out);
        let mut trip = Trip::new(core, Privacy::Secret, staged(digits.len()) + factor_bytes(encoding))?;
        let words = encoding.pad_len(digits.len());
        let (numbers, rows) = pad::record(&mut trip, core, encoding.ring(), &mut numbers, words)?;
        seal(trip, encoding, &numbers, &rows, digits, out)
    })
}

/// Cuts a message at polynomials: `work` gets the number of the first one, the digits and the bytes of each piece. A
/// polynomial's bits are whole words, so pieces meet at bytes.
fn pieces(
    core: &Core,
    encoding: &Encoding,
    digits: &[u32],
    out: &mut [u8],
    mut work: impl FnMut(usize, &[u32], &mut [u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let (n, rho) = (encoding.ring().n(), encoding.digits_per_coefficient());
    let polys = core.units(n * rho.max(encoding.ring().plans().len()));
    if digits.is_empty() {
        return Ok(());
    }
    if encoding.polys(digits.len()) <= polys {
        return work(0, digits, out);
    }
    // Outputs stay as they are until every piece has worked.
    let mut all = vec![0; out.len()];
    let rows = all.chunks_mut(encoding.packed_len(polys * n * rho));
    for (index, (digits, out)) in digits.chunks(polys * n * rho).zip(rows).enumerate() {
        work(index * polys, digits, out)?;
    }
    out.copy_from_slice(&all);
    Ok(())
}

fn factor_bytes(encoding: &Encoding) -> u64 {
    staged(2 * encoding.limbs().len() * encoding.digits_per_coefficient())
}

fn count(numbers: &mut Numbers, encoding: &Encoding, digits: &[u32], out: &[u8]) {
    numbers.set(Word::digits, digits.len());
    numbers.set(Word::coefficients, encoding.coefficients(digits.len()));
    numbers.set(Word::out_words, out.len().div_ceil(4));
}

/// Records the sealing of a pad on the device, sends everything off and takes the bytes.
fn seal(
    mut trip: Trip<'_>,
    encoding: &Encoding,
    numbers: &Buffer,
    rows: &Buffer,
    digits: &[u32],
    out: &mut [u8],
) -> Result<(), Fault> {
    let factors = encoding.limbs().iter().flat_map(|limb| &limb.digit_factors);
    let factors: Vec<u32> = factors.flat_map(|factor| [factor.factor, factor.quotient]).collect();
    let factors = trip.upload(&factors)?;
    let coefficients = encoding.coefficients(digits.len());
    let digits = trip.upload(digits)?;
    let words = out.len().div_ceil(4);
    let packed = trip.scratch(words)?;
    trip.run(Kernel::Seal, &[numbers, &factors, rows, &digits, &packed], coefficients.div_ceil(THREADS))?;
    trip.finish(&[(&packed, words)], |parts| out.copy_from_slice(&parts[0][..out.len()]))
}
