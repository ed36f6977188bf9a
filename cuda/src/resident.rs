//! Data that stays on the device from job to job: outside the contract, for those who know they have a GPU.

use crate::arena::Kind;
use crate::arguments::{Errors, Source};
use crate::launch::{Lane, Mark, Piece, Plain};
use crate::{Cuda, RECORD_BYTES, noise};
use core::ops::Add;
use kernels::{DecryptJob, DenseJob, Direction, EncryptJob, Fault, Noise, PadJob, Plan, Ring, SealJob, Shape};

/// A stream and the memory that jobs on it share. Jobs are only queued; [`Resident::read`] and [`Resident::time_ns`]
/// wait. Secret memory is erased when it ends.
#[derive(Debug)]
pub struct Resident<'a> {
    cuda: &'a Cuda,
    lane: Lane,
    number: u64,
}

/// Which half of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// The low half.
    Low,
    /// The high half.
    High,
}

/// Memory of one [`Resident`]. Another one refuses it.
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    piece: Piece,
    owner: u64,
}

/// The public polynomials of a round, expanded once.
#[derive(Clone, Copy, Debug)]
pub struct PublicPolys {
    buffer: Buffer,
    a_seed: [u8; 32],
    first_poly: u32,
    polys: usize,
}

impl Cuda {
    /// A stream of its own.
    ///
    /// # Errors
    /// [`Fault`] where the device gives none.
    pub fn resident(&self) -> Result<Resident<'_>, Fault> {
        let number = self.residents.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(Resident { cuda: self, lane: Lane::new(&self.device, self.allocation)?, number })
    }
}

/// Every job: `# Errors` [`Fault`]; `# Panics` as its namesake of [`kernels::Backend`], and where a buffer is too small
/// or another's.
#[allow(clippy::missing_errors_doc, clippy::missing_panics_doc, reason = "said once, above")]
impl Resident<'_> {
    fn piece(&self, buffer: Buffer, bytes: usize) -> Piece {
        assert_eq!(buffer.owner, self.number, "a buffer is used where it was made");
        assert!(bytes <= buffer.piece.len(), "the buffer is too small for the job");
        buffer.piece
    }

    /// Memory for `bytes` bytes, erased at the end. What it holds is undefined.
    pub fn buffer(&mut self, bytes: usize) -> Result<Buffer, Fault> {
        Ok(Buffer { piece: self.lane.take(bytes, Kind::Secret)?, owner: self.number })
    }

    /// Memory filled with these words.
    pub fn upload(&mut self, words: &[u32]) -> Result<Buffer, Fault> {
        let piece = self.lane.upload(words, Kind::Secret)?;
        Ok(Buffer { piece, owner: self.number })
    }

    /// Waits, and copies the beginning of a buffer out.
    pub fn read(&mut self, buffer: Buffer, out: &mut [u32]) -> Result<(), Fault> {
        self.read_plain(buffer, out)
    }

    /// The same for bytes.
    pub fn read_bytes(&mut self, buffer: Buffer, out: &mut [u8]) -> Result<(), Fault> {
        self.read_plain(buffer, out)
    }

    fn read_plain<T: Plain>(&mut self, buffer: Buffer, out: &mut [T]) -> Result<(), Fault> {
        let piece = self.piece(buffer, size_of_val(out));
        let arrival = self.lane.fetch(piece, size_of_val(out), Kind::Secret)?;
        self.lane.wait()?;
        self.lane.read(arrival, out);
        Ok(())
    }

    /// Copies one buffer's beginning to another's.
    pub fn copy(&mut self, from: Buffer, to: Buffer, bytes: usize) -> Result<(), Fault> {
        let (from, to) = (self.piece(from, bytes), self.piece(to, bytes));
        self.lane.copy(from, to, bytes)
    }

    /// The device's time for what `work` queues, in nanoseconds. Waits.
    pub fn time_ns(&mut self, work: impl FnOnce(&mut Self) -> Result<(), Fault>) -> Result<u64, Fault> {
        let begin = Mark::now(&mut self.lane)?;
        work(self)?;
        let end = Mark::now(&mut self.lane)?;
        end.since_ns(&begin)
    }

    /// No job: `16 * rounds` products in each of `256 * blocks` threads, to time. Writes a word for each thread.
    pub fn multiply(&mut self, product: Product, sink: Buffer, blocks: usize, rounds: u32) -> Result<(), Fault> {
        let sink = self.piece(sink, 4 * 256 * blocks);
        self.cuda.run_ceiling(&mut self.lane, product, sink, blocks, rounds)
    }

    /// [`kernels::Backend::ntt`] on the first `polys` polynomials of the buffer.
    pub fn ntt(&mut self, plan: &Plan, direction: Direction, words: Buffer, polys: usize) -> Result<(), Fault> {
        let words = self.piece(words, 4 * plan.n() * polys);
        self.cuda.run_ntt(&mut self.lane, plan, direction, words, polys)
    }

    /// The public polynomials from `first_poly` on, to be used by many jobs.
    pub fn expand(
        &mut self,
        ring: &Ring,
        a_seed: &[u8; 32],
        first_poly: u32,
        polys: usize,
    ) -> Result<PublicPolys, Fault> {
        let piece = self.lane.take(4 * ring.n() * ring.plans().len() * polys, Kind::Public)?;
        self.cuda.run_expand(&mut self.lane, ring, a_seed, first_poly, polys, piece)?;
        let buffer = Buffer { piece, owner: self.number };
        Ok(PublicPolys { buffer, a_seed: *a_seed, first_poly, polys })
    }

    /// Expands again into the same memory.
    pub fn expand_again(&mut self, ring: &Ring, public: &PublicPolys) -> Result<(), Fault> {
        let piece = self.piece(public.buffer, 4 * ring.n() * ring.plans().len() * public.polys);
        self.cuda.run_expand(&mut self.lane, ring, &public.a_seed, public.first_poly, public.polys, piece)
    }

    /// [`kernels::Backend::pad`] of `polys` polynomials.
    pub fn pad(&mut self, job: &PadJob<'_>, out: Buffer, polys: usize) -> Result<(), Fault> {
        let words = job.ring.n() * job.ring.plans().len() * polys;
        assert!(polys as u64 <= (1 << 32) - u64::from(job.first_poly), "polynomials are numbered below 2^32");
        let out = self.piece(out, 4 * words);
        let seed = self.lane.upload(job.message_seed.expose(), Kind::Secret)?;
        let (source, lane) = (Source::Message, &mut self.lane);
        let ring = self.cuda.ring(lane, job.ring, job.a_seed, job.first_poly, polys, source, seed)?;
        self.cuda.run_pad(lane, job.ring, ring, Errors::Added, seed, out)
    }

    /// [`kernels::Backend::seal`] of `digits` digits. The pad is left for [`Resident`]'s end to erase: use it once.
    pub fn seal(
        &mut self,
        job: &SealJob<'_>,
        pad: Buffer,
        message: Buffer,
        digits: usize,
        row: Buffer,
    ) -> Result<(), Fault> {
        let pad = self.piece(pad, 4 * job.encoding.pad_len(digits));
        let (message, row) = (self.piece(message, 4 * digits), self.row(row, job.encoding.packed_len(digits)));
        self.cuda.run_seal(&mut self.lane, job.encoding, pad, message, digits, row)
    }

    fn row(&self, row: Buffer, bytes: usize) -> Piece {
        self.piece(row, bytes.next_multiple_of(4))
    }

    /// [`kernels::Backend::encrypt`] of `digits` digits; with the round's polynomials where they were expanded.
    pub fn encrypt(
        &mut self,
        job: &EncryptJob<'_>,
        public: Option<&PublicPolys>,
        message: Buffer,
        digits: usize,
        row: Buffer,
    ) -> Result<(), Fault> {
        let polys = job.encoding.polys(digits);
        assert!(polys as u64 <= (1 << 32) - u64::from(job.first_poly), "polynomials are numbered below 2^32");
        let cached = public.map(|public| {
            let same = public.a_seed == *job.a_seed && public.first_poly == job.first_poly && public.polys >= polys;
            assert!(same, "the expanded polynomials are those of the job");
            self.piece(public.buffer, 4 * job.encoding.pad_len(digits))
        });
        let (message, row) = (self.piece(message, 4 * digits), self.row(row, job.encoding.packed_len(digits)));
        self.cuda.run_encrypt(&mut self.lane, job, cached, message, digits, row)
    }

    /// [`kernels::Backend::sum`] of `rows` rows that lie `shape.packed_len()` rounded up to 16 bytes apart.
    pub fn sum(&mut self, shape: &Shape, packed: Buffer, rows: usize, accumulator: Buffer) -> Result<(), Fault> {
        assert!((1..=57).contains(&shape.bits), "words have 1 to 57 bits");
        let packed = self.piece(packed, shape.packed_len().next_multiple_of(16) * rows);
        let accumulator = self.piece(accumulator, 4 * shape.accumulator_len());
        self.cuda.run_sum(&mut self.lane, shape, packed, rows, accumulator)
    }

    /// [`kernels::Backend::decrypt`] into `digits` digits. Waits, for the statistics.
    pub fn decrypt(
        &mut self,
        job: &DecryptJob<'_>,
        accumulator: Buffer,
        opened: Buffer,
        digits: usize,
    ) -> Result<Noise, Fault> {
        let (records, count) = self.queue_decrypt(job, accumulator, opened, digits)?;
        let arrival = self.lane.fetch(records, count * RECORD_BYTES, Kind::Secret)?;
        self.lane.wait()?;
        let mut words = vec![0u64; count * RECORD_BYTES / 8];
        self.lane.read(arrival, &mut words);
        let coefficients = job.encoding.coefficients(digits) as u64;
        Ok(words.as_chunks().0.iter().map(noise).fold(Noise { coefficients, ..Noise::default() }, Add::add))
    }

    fn queue_decrypt(
        &mut self,
        job: &DecryptJob<'_>,
        accumulator: Buffer,
        opened: Buffer,
        digits: usize,
    ) -> Result<(Piece, usize), Fault> {
        assert_eq!(job.secret_sum.expose().len(), job.encoding.ring().n(), "the secret has n coefficients");
        let polys = job.encoding.polys(digits) as u64;
        assert!(polys <= (1 << 32) - u64::from(job.first_poly), "polynomials are numbered below 2^32");
        let accumulator = self.piece(accumulator, 4 * job.encoding.shape(digits).accumulator_len());
        let opened = self.piece(opened, 4 * digits);
        self.cuda.run_decrypt(&mut self.lane, job, accumulator, digits, opened)
    }

    /// [`kernels::Backend::dense`] on the first `rows` rows.
    pub fn dense(&mut self, job: &DenseJob<'_>, rows: Buffer, row_count: usize) -> Result<(), Fault> {
        job.check(&[]);
        assert!(row_count as u64 <= (1 << 32) - u64::from(job.first_row), "rows are numbered below 2^32");
        let rows = self.piece(rows, 4 * row_count);
        self.cuda.run_dense(&mut self.lane, job, rows, row_count)
    }
}
