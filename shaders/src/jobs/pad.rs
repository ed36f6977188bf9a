//! Pads: everything that does not depend on the message.

use super::{ntt, numbered};
use crate::Core;
use crate::numbers::{Numbers, Word};
use crate::pipeline::{Kernel, THREADS};
use crate::trip::{Privacy, Trip};
use kernels::expand::BLOCK_WORDS;
use kernels::{Direction, Fault, PadJob, Ring, Secret};
use wgpu::Buffer;

pub(crate) fn run(core: &Core, job: &PadJob<'_>, out: &mut [u32]) -> Result<(), Fault> {
    job.polys(out);
    let poly = job.ring.n() * job.ring.plans().len();
    let most = core.units(poly);
    if out.len() <= most * poly {
        return piece(core, job, 0, out);
    }
    // Outputs stay as they are until every piece has worked.
    let mut all = Secret::new(vec![0; out.len()]);
    for (index, out) in all.expose_mut().chunks_mut(most * poly).enumerate() {
        piece(core, job, index * most, out)?;
    }
    out.copy_from_slice(all.expose());
    Ok(())
}

fn piece(core: &Core, job: &PadJob<'_>, first: usize, out: &mut [u32]) -> Result<(), Fault> {
    if out.is_empty() {
        return Ok(());
    }
    let mut numbers = Numbers::ring(job.ring);
    numbers.public_seed(job.a_seed);
    numbers.message_seed(job.message_seed);
    numbers.set(Word::first_poly, numbered(job.first_poly, first));
    let words = out.len();
    let mut trip = Trip::new(core, Privacy::Secret, 0)?;
    let (_, rows) = record(&mut trip, core, job.ring, &mut numbers, words)?;
    trip.finish(&[(&rows, words)], |parts| out.copy_from_slice(bytemuck::cast_slice(parts[0])))
}

/// Records all that makes a pad of `words` words; `numbers` has the ring, the seeds and the first polynomial. Returns the
/// numbers and the pad on the device.
pub(super) fn record(
    trip: &mut Trip<'_>,
    core: &Core,
    ring: &Ring,
    numbers: &mut Numbers,
    words: usize,
) -> Result<(Buffer, Buffer), Fault> {
    let (n, limbs) = (ring.n(), ring.plans().len());
    let polys = words / (n * limbs);
    let blocks = n / (BLOCK_WORDS / 2);
    let made = trip.zeros(n * limbs)?;
    let secret = secret(trip, core, ring, numbers, |trip, numbers| {
        trip.run(Kernel::SecretRows, &[numbers, &made], blocks.div_ceil(THREADS))?;
        Ok(made)
    })?;
    numbers.set(Word::polys, polys);
    numbers.set(Word::words, words);
    let own = trip.upload(numbers.words())?;
    let rows = product(trip, core, ring, [&own, &secret], words)?;
    trip.run(Kernel::Errors, &[&own, &rows], (polys * blocks).div_ceil(THREADS))?;
    Ok((own, rows))
}

/// Records the transform of the residues that `make` leaves in a buffer, `[limb][n]`.
pub(super) fn secret<'a>(
    trip: &mut Trip<'a>,
    core: &Core,
    ring: &Ring,
    numbers: &mut Numbers,
    make: impl FnOnce(&mut Trip<'a>, &Buffer) -> Result<Buffer, Fault>,
) -> Result<Buffer, Fault> {
    let words = ring.n() * ring.plans().len();
    numbers.set(Word::words, words);
    let roots = core.tables.roots(&core.device, ring.plans())?;
    let numbers = trip.upload(numbers.words())?;
    let secret = make(trip, &numbers)?;
    ntt::transform(trip, ring.n(), Direction::Forward, [&numbers, &roots, &secret], words)?;
    Ok(secret)
}

/// Records `a_j * s` in coefficient order, from the numbers of the whole batch and the secret's transform.
pub(super) fn product(
    trip: &mut Trip<'_>,
    core: &Core,
    ring: &Ring,
    [numbers, secret]: [&Buffer; 2],
    words: usize,
) -> Result<Buffer, Fault> {
    let roots = core.tables.roots(&core.device, ring.plans())?;
    let rows = trip.scratch(words)?;
    trip.run(Kernel::Product, &[numbers, secret, &rows], words.div_ceil(BLOCK_WORDS).div_ceil(THREADS))?;
    ntt::transform(trip, ring.n(), Direction::Inverse, [numbers, &roots, &rows], words)?;
    Ok(rows)
}
