//! Transforms of whole polynomials.

use crate::Core;
use crate::numbers::{Numbers, Word};
use crate::pipeline::{Kernel, THREADS, TILE};
use crate::trip::{Privacy, Trip, staged};
use kernels::{Direction, Fault, Secret};
use ntt::Plan;
use wgpu::Buffer;

pub(crate) fn run(core: &Core, plan: &Plan, direction: Direction, polys: &mut [u32]) -> Result<(), Fault> {
    assert!(polys.len().is_multiple_of(plan.n()), "a batch is a whole number of polynomials");
    let most = plan.n() * core.units(plan.n());
    if polys.len() <= most {
        return piece(core, plan, direction, polys);
    }
    // Outputs stay as they are until every piece has worked.
    let mut all = Secret::new(polys.to_vec());
    for polys in all.expose_mut().chunks_mut(most) {
        piece(core, plan, direction, polys)?;
    }
    polys.copy_from_slice(all.expose());
    Ok(())
}

fn piece(core: &Core, plan: &Plan, direction: Direction, polys: &mut [u32]) -> Result<(), Fault> {
    if polys.is_empty() {
        return Ok(());
    }
    let plans = core::slice::from_ref(plan);
    let roots = core.tables.roots(&core.device, plans)?;
    let mut numbers = Numbers::plans(plans);
    numbers.set(Word::words, polys.len());
    let mut trip = Trip::new(core, Privacy::Secret, staged(polys.len()))?;
    let numbers = trip.upload(numbers.words())?;
    let rows = trip.upload(polys)?;
    transform(&mut trip, plan.n(), direction, [&numbers, &roots, &rows], polys.len())?;
    let words = polys.len();
    trip.finish(&[(&rows, words)], |parts| polys.copy_from_slice(bytemuck::cast_slice(parts[0])))
}

/// Records the passes of a transform over `words` words.
pub(super) fn transform(
    trip: &mut Trip<'_>,
    n: usize,
    direction: Direction,
    buffers: [&Buffer; 3],
    words: usize,
) -> Result<(), Fault> {
    let tiles = words.div_ceil(TILE);
    let wide = (n > TILE).then(|| (words / (n / TILE).max(1)).div_ceil(THREADS));
    match direction {
        Direction::Forward => {
            if let Some(groups) = wide {
                trip.run(Kernel::ForwardWide, &buffers, groups)?;
            }
            trip.run(Kernel::ForwardTile, &buffers, tiles)
        }
        Direction::Inverse => {
            trip.run(Kernel::InverseTile, &buffers, tiles)?;
            wide.map_or(Ok(()), |groups| trip.run(Kernel::InverseWide, &buffers, groups))
        }
    }
}
