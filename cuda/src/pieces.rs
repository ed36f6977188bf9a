//! Large jobs in pieces on two lanes in turn: while one copies, the other computes.

use crate::arena::Kind;
use crate::launch::Lane;
use crate::{Cuda, RECORD_BYTES, noise};
use core::ops::Add;
use kernels::{DecryptJob, Encoding, EncryptJob, Fault, Noise, Secret, Shape};
use std::sync::PoisonError;

/// Coefficients are summed in multiples of this: whole bytes at every width.
const SUM_STEP: usize = 1024;

impl Cuda {
    fn lane(&self) -> Result<Lane, Fault> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| Lane::new(&self.device, self.allocation), Ok)
    }

    fn give_back(&self, mut lane: Lane) {
        lane.reset();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(lane);
    }

    /// Runs one job on a lane. A lane that saw a fault is not used again.
    pub(crate) fn job<T>(&self, work: impl FnOnce(&mut Lane) -> Result<T, Fault>) -> Result<T, Fault> {
        let mut lane = self.lane()?;
        let value = work(&mut lane)?;
        self.give_back(lane);
        Ok(value)
    }

    /// Starts each piece on one of two lanes, and ends it before that lane's next one starts, or after the last.
    fn in_turn<P, A>(
        &self,
        pieces: impl Iterator<Item = P>,
        mut start: impl FnMut(&mut Lane, &P) -> Result<A, Fault>,
        mut end: impl FnMut(&Lane, A, P),
    ) -> Result<(), Fault> {
        let mut under_way: [Option<(Lane, P, A)>; 2] = [None, None];
        let mut finish = |place: &mut Option<(Lane, P, A)>| -> Result<Option<Lane>, Fault> {
            let Some((mut lane, piece, begun)) = place.take() else { return Ok(None) };
            lane.finish()?;
            end(&lane, begun, piece);
            lane.reset();
            Ok(Some(lane))
        };
        let mut count = 0;
        for (index, piece) in pieces.enumerate() {
            count = index + 1;
            let place = &mut under_way[index % 2];
            let mut lane = finish(place)?.map_or_else(|| self.lane(), Ok)?;
            let begun = start(&mut lane, &piece)?;
            *place = Some((lane, piece, begun));
        }
        // The older one first: pieces end in the order in which they began.
        for index in [count, count + 1] {
            if let Some(lane) = finish(&mut under_way[index % 2])? {
                self.give_back(lane);
            }
        }
        Ok(())
    }

    /// Polynomials in a piece.
    fn share(&self, encoding: &Encoding) -> usize {
        (self.piece_bytes / (4 * encoding.ring().n() * encoding.digits_per_coefficient())).max(1)
    }

    pub(crate) fn encrypt_pieces(&self, job: &EncryptJob<'_>, digits: &[u32], out: &mut [u8]) -> Result<(), Fault> {
        let (encoding, share) = (job.encoding, self.share(job.encoding));
        let (n, rho, bits) = (encoding.ring().n(), encoding.digits_per_coefficient(), encoding.bits() as usize);
        // A failure in a later piece must not leave an earlier one in `out`.
        let mut all = Vec::with_capacity(out.len());
        let pieces = (0..).step_by(share).zip(digits.chunks(share * n * rho).zip(out.chunks(share * n / 8 * bits)));
        self.in_turn(
            pieces,
            |lane, &(poly, (digits, out))| {
                // Polynomial numbers never run over: the job's check saw to that.
                let job = EncryptJob { first_poly: job.first_poly.wrapping_add(poly as u32), ..*job };
                let message = lane.input(digits, Kind::Secret)?;
                let row = lane.take(out.len().next_multiple_of(4), Kind::Public)?;
                self.run_encrypt(lane, &job, None, message, digits.len(), row)?;
                lane.fetch(row, out.len(), Kind::Public)
            },
            |lane, arrival, (_, (_, out))| {
                let from = all.len();
                all.resize(from + out.len(), 0);
                lane.read(arrival, &mut all[from..]);
            },
        )?;
        out.copy_from_slice(&all);
        Ok(())
    }

    pub(crate) fn sum_pieces(&self, shape: &Shape, rows: &[&[u8]], accumulator: &mut [u32]) -> Result<(), Fault> {
        let width = shape.words_per_value();
        let step_bytes = SUM_STEP / 8 * shape.bits as usize;
        let steps = (self.piece_bytes / (step_bytes * rows.len().max(1))).max(1);
        let mut all = Vec::with_capacity(accumulator.len());
        let pieces = accumulator.chunks(steps * SUM_STEP * width).enumerate();
        self.in_turn(
            pieces,
            |lane, &(index, values)| {
                let shape = Shape { coefficients: values.len() / width, ..*shape };
                let (first, bytes) = (index * steps * step_bytes, shape.packed_len());
                let stride = bytes.next_multiple_of(16);
                let sums = lane.upload(values, Kind::Public)?;
                let packed = lane.input_from(stride * rows.len(), Kind::Public, |to| {
                    for (row, to) in rows.iter().zip(to.chunks_mut(stride)) {
                        to[..bytes].copy_from_slice(&row[first..first + bytes]);
                    }
                })?;
                self.run_sum(lane, &shape, packed, rows.len(), sums)?;
                lane.fetch(sums, size_of_val(values), Kind::Public)
            },
            |lane, arrival, (_, values)| {
                let from = all.len();
                all.resize(from + values.len(), 0);
                lane.read(arrival, &mut all[from..]);
            },
        )?;
        accumulator.copy_from_slice(&all);
        Ok(())
    }

    pub(crate) fn decrypt_pieces(
        &self,
        job: &DecryptJob<'_>,
        accumulator: &[u32],
        digits: &mut [u32],
    ) -> Result<Noise, Fault> {
        let (encoding, share) = (job.encoding, self.share(job.encoding));
        let (n, rho, width) =
            (encoding.ring().n(), encoding.digits_per_coefficient(), encoding.shape(0).words_per_value());
        let mut all = Secret::new(Vec::with_capacity(digits.len()));
        let mut total = Noise::default();
        let pieces =
            (0..).step_by(share).zip(digits.chunks(share * n * rho).zip(accumulator.chunks(share * n * width)));
        self.in_turn(
            pieces,
            |lane, &(poly, (digits, accumulator))| {
                let job = DecryptJob { first_poly: job.first_poly.wrapping_add(poly as u32), ..*job };
                let values = lane.input(accumulator, Kind::Public)?;
                let opened = lane.take(size_of_val(digits), Kind::Secret)?;
                let (records, count) = self.run_decrypt(lane, &job, values, digits.len(), opened)?;
                let opened = lane.fetch(opened, size_of_val(digits), Kind::Secret)?;
                Ok((opened, lane.fetch(records, count * RECORD_BYTES, Kind::Secret)?, count))
            },
            |lane, (opened, records, count), (_, (digits, _))| {
                let all = all.expose_mut();
                let from = all.len();
                // Within the capacity, so nothing is moved and no copy is left behind.
                all.resize(from + digits.len(), 0);
                lane.read(opened, &mut all[from..]);
                let mut words = vec![0u64; count * RECORD_BYTES / 8];
                lane.read(records, &mut words);
                let coefficients = encoding.coefficients(digits.len()) as u64;
                let start = Noise { coefficients: total.coefficients + coefficients, ..total };
                total = words.as_chunks().0.iter().map(noise).fold(start, Add::add);
            },
        )?;
        digits.copy_from_slice(all.expose());
        Ok(total)
    }
}
