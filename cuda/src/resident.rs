//! Data that stays on the device from job to job: outside the contract, for those who know they have a GPU.

use crate::arena::Kind;
use crate::arguments::{Errors, Source};
use crate::launch::{Lane, Mark, Piece, Plain, bytes};
use crate::{Cuda, RECORD_BYTES, noise};
use core::ops::Add;
use kernels::{DecryptJob, DenseJob, Direction, EncryptJob, Fault, Noise, PadJob, Plan, Ring, SealJob, Shape};

/// A stream and the memory that jobs on it share. Jobs are only queued; [`Resident::wait`], `read`, `decrypt` and `time_ns`
/// wait, and erase what jobs needed besides buffers (seeds, keys, what was sent), whose memory the next jobs use again. Buffers are
/// erased when it ends.
#[derive(Debug)]
pub struct Resident<'a> {
    cuda: &'a Cuda,
    // Ends first, and waits for its work.
    lane: Lane,
    /// No work, only the memory of buffers.
    kept: Lane,
    number: u64,
}

/// What a device's arithmetic is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ceiling {
    /// Products of words, as products mod p by known factors have them: a high half and two low halves.
    Products,
    /// Instructions that different units do: half of them products with an addition, half of them choices of bits.
    Instructions,
}

impl Ceiling {
    /// How many of them a thread does in a round: `cuda/kernels/ceiling.cu`.
    #[must_use]
    pub const fn per_round(self) -> u64 {
        match self {
            Self::Products => 48,
            Self::Instructions => 64,
        }
    }
}

/// A direction between pinned memory and the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// From the host.
    ToDevice,
    /// To the host.
    ToHost,
}

/// Memory of one [`Resident`]. Another one refuses it.
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    piece: Piece,
    owner: u64,
}

impl Buffer {
    /// What lies from `bytes` on.
    ///
    /// # Panics
    /// Where that is no multiple of 16, which kernels rely on, or past the end.
    #[must_use]
    pub fn after(self, bytes: usize) -> Self {
        assert!(bytes.is_multiple_of(16), "a buffer is cut at a multiple of 16 bytes");
        Self { piece: self.piece.after(bytes), ..self }
    }
}

/// The public polynomials of a round, expanded once.
#[derive(Clone, Debug)]
pub struct PublicPolys {
    buffer: Buffer,
    ring: Ring,
    a_seed: [u8; 32],
    first_poly: u32,
    polys: usize,
}

impl PublicPolys {
    /// Their words, `[polynomial][limb][word]`.
    #[must_use]
    pub fn words(&self) -> Buffer {
        self.buffer
    }
}

impl Cuda {
    /// A stream of its own.
    ///
    /// # Errors
    /// [`Fault`] where the device gives none.
    pub fn resident(&self) -> Result<Resident<'_>, Fault> {
        let number = self.residents.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let lane = || Lane::new(&self.device, self.allocation);
        Ok(Resident { cuda: self, lane: lane()?, kept: lane()?, number })
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

    fn keep(&mut self, bytes: usize, kind: Kind) -> Result<Buffer, Fault> {
        Ok(Buffer { piece: self.kept.take(bytes, kind)?, owner: self.number })
    }

    /// Memory for `bytes` bytes, erased at the end. What it holds is undefined.
    pub fn buffer(&mut self, bytes: usize) -> Result<Buffer, Fault> {
        self.keep(bytes, Kind::Secret)
    }

    /// Memory filled with these words.
    pub fn upload(&mut self, words: &[u32]) -> Result<Buffer, Fault> {
        let buffer = self.buffer(size_of_val(words))?;
        self.lane.send(buffer.piece, Kind::Secret, |to| to.copy_from_slice(bytes(words)))?;
        Ok(buffer)
    }

    /// Waits for everything queued so far.
    pub fn wait(&mut self) -> Result<(), Fault> {
        self.lane.finish()?;
        self.lane.reset();
        Ok(())
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
        self.read_piece(piece, out)
    }

    fn read_piece<T: Plain>(&mut self, piece: Piece, out: &mut [T]) -> Result<(), Fault> {
        let arrival = self.lane.fetch(piece, size_of_val(out), Kind::Secret)?;
        self.lane.finish()?;
        self.lane.read(arrival, out);
        self.lane.reset();
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
        let time_ns = end.since_ns(&begin)?;
        self.wait()?;
        Ok(time_ns)
    }

    /// No job: arithmetic in each of `256 * blocks` threads, to time. Writes a word for each thread.
    pub fn ceiling(&mut self, ceiling: Ceiling, sink: Buffer, blocks: usize, rounds: u32) -> Result<(), Fault> {
        let sink = self.piece(sink, 4 * 256 * blocks);
        self.cuda.run_ceiling(&mut self.lane, ceiling, sink, blocks, rounds)
    }

    /// No job: a copy of a whole buffer between pinned memory and the device, to time. Pinned memory holds anything.
    pub fn link(&mut self, link: Link, buffer: Buffer) -> Result<(), Fault> {
        let piece = self.piece(buffer, 0);
        match link {
            Link::ToDevice => self.lane.send(piece, Kind::Public, |_| ()),
            Link::ToHost => self.lane.fetch(piece, piece.len(), Kind::Secret).map(drop),
        }
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
        let buffer = self.keep(4 * ring.n() * ring.plans().len() * polys, Kind::Public)?;
        let public = PublicPolys { buffer, ring: ring.clone(), a_seed: *a_seed, first_poly, polys };
        self.expand_again(&public)?;
        Ok(public)
    }

    /// Expands again into the same memory.
    pub fn expand_again(&mut self, public: &PublicPolys) -> Result<(), Fault> {
        let piece = self.piece(public.buffer, 0);
        self.cuda.run_expand(&mut self.lane, &public.ring, &public.a_seed, public.first_poly, public.polys, piece)
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
            assert!(same && public.ring == *job.encoding.ring(), "the expanded polynomials are those of the job");
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
        let mut words = vec![0u64; count * RECORD_BYTES / 8];
        self.read_piece(records, &mut words)?;
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
