//! From a job to launches: which kernel, how many blocks, which arguments. Everything lies in device memory already.

use crate::arena::Kind;
use crate::arguments::{
    CeilingArgs, DecryptArgs, DenseArgs, DenseSecretArgs, DenseUse, EncodingArgs, EncryptArgs, Errors, Factor, Field,
    KeyArgs, Limb, NttArgs, OpenArgs, OpenMaskArgs, PadArgs, PublicArgs, RingArgs, SealArgs, Seed, Source, SumArgs,
    digit_factors,
};
use crate::launch::{At, Lane, Launch, Piece};
use crate::modules::Stem;
use crate::size::Size;
use crate::{Ceiling, Cuda, RECORD_BYTES};
use kernels::{DecryptJob, DenseJob, DenseKey, Direction, Encoding, EncryptJob, Fault, Modulus, Plan, Ring, Shape};
use ntt::Shoup;

/// Threads of the kernels that take a coefficient each.
const FLAT: usize = 256;
/// Coefficients of a block that sums.
const SUM_TILE: usize = 1024;
/// The largest polynomials whose residues stay in a block's registers.
const FUSED_LOG: u32 = 14;
/// Below the prime; any number with many bits would do.
const CEILING_FACTOR: u32 = 0x1E37_79B9;

/// A number of polynomials or rows, as the kernels count them.
fn count(number: usize) -> Result<u32, Fault> {
    u32::try_from(number).map_err(|_| Fault::Declined)
}

fn halves(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}

impl Cuda {
    fn launch<A: Copy>(&self, lane: &mut Lane, stem: Stem, launch: Grid<'_>, args: &A) -> Result<(), Fault> {
        let Grid { kernel, blocks, threads, shared_bytes } = launch;
        let module = self.modules.get(&self.device, stem)?;
        lane.launch(&Launch { module, kernel, blocks, threads, shared_bytes }, args)
    }

    /// [`Ceiling::per_round`] in each round of each of `blocks * 256` threads.
    pub(crate) fn run_ceiling(
        &self,
        lane: &mut Lane,
        ceiling: Ceiling,
        out: Piece,
        blocks: usize,
        rounds: u32,
    ) -> Result<(), Fault> {
        let kernel = match ceiling {
            Ceiling::Products => "ceiling_products",
            Ceiling::Instructions => "ceiling_instructions",
        };
        let (p, factor) = (Modulus::P1.value(), Shoup::new(Modulus::P1, CEILING_FACTOR).into());
        let args = CeilingArgs { out: out.at, rounds, p, factor };
        self.launch(lane, Stem::Ceiling, Grid { kernel, blocks, threads: FLAT as u32, shared_bytes: 0 }, &args)
    }

    pub(crate) fn run_ntt(
        &self,
        lane: &mut Lane,
        plan: &Plan,
        direction: Direction,
        words: Piece,
        polys: usize,
    ) -> Result<(), Fault> {
        let (size, modulus) = (Size::of(plan.n()), plan.modulus());
        let last_root = modulus.mul(plan.inverse_table().0[1], plan.n_inverse().factor);
        let args = NttArgs {
            words: words.at,
            roots: self.tables.roots(plan, direction)?,
            polys: count(polys)?,
            field: Field::of(plan),
            n_inverse: plan.n_inverse().into(),
            last_root: Shoup::new(modulus, last_root).into(),
        };
        let way = match direction {
            Direction::Forward => "forward",
            Direction::Inverse => "inverse",
        };
        let kernel = format!("ntt_{way}_{}", size.log);
        self.launch(lane, Stem::Ntt, Grid::polys(&kernel, size, polys, 4 * size.words), &args)
    }

    /// A ring's part of the arguments; makes its key on the way. `secret` is a message's seed or a sum's coefficients.
    #[allow(clippy::too_many_arguments, reason = "each is a field of the arguments it makes")]
    pub(crate) fn ring(
        &self,
        lane: &mut Lane,
        ring: &Ring,
        a_seed: &[u8; 32],
        first_poly: u32,
        polys: usize,
        source: Source,
        secret: Piece,
    ) -> Result<RingArgs, Fault> {
        let none = Limb { field: Field::default(), roots: At::NONE, key: At::NONE };
        let mut limb = [none; 2];
        for (limb, plan) in limb.iter_mut().zip(ring.plans()) {
            let key = self.run_key(lane, plan, source, secret)?;
            *limb = Limb { field: Field::of(plan), roots: self.tables.roots(plan, Direction::Inverse)?, key: key.at };
        }
        Ok(RingArgs {
            limb,
            limbs: ring.plans().len() as u32,
            polys: count(polys)?,
            first_poly,
            a_seed: Seed::public(a_seed),
            cached: At::NONE,
        })
    }

    /// The public polynomials, [polynomial][limb][word].
    pub(crate) fn run_expand(
        &self,
        lane: &mut Lane,
        ring: &Ring,
        a_seed: &[u8; 32],
        first_poly: u32,
        polys: usize,
        out: Piece,
    ) -> Result<(), Fault> {
        assert!(polys as u64 <= (1 << 32) - u64::from(first_poly), "polynomials are numbered below 2^32");
        let plans = ring.plans();
        let prime = |limb: usize| plans[limb.min(plans.len() - 1)].modulus().value();
        let blocks = polys * plans.len() * (ring.n() / 16);
        let args = PublicArgs {
            words: out.at,
            p: [prime(0), prime(1)],
            limbs: plans.len() as u32,
            log: ring.n().trailing_zeros(),
            first_poly,
            blocks: halves(blocks as u64),
            a_seed: Seed::public(a_seed),
        };
        let grid =
            Grid { kernel: "expand_public", blocks: blocks.div_ceil(FLAT), threads: FLAT as u32, shared_bytes: 0 };
        self.launch(lane, Stem::Expand, grid, &args)
    }

    /// The transformed secret times n^-1, with quotients.
    fn run_key(&self, lane: &mut Lane, plan: &Plan, source: Source, secret: Piece) -> Result<Piece, Fault> {
        let size = Size::of(plan.n());
        let key = lane.take(8 * plan.n(), Kind::Secret)?;
        let args = KeyArgs {
            key: key.at,
            roots: self.tables.roots(plan, Direction::Forward)?,
            secret: secret.at,
            field: Field::of(plan),
            n_inverse: Factor::from(plan.n_inverse()),
            reciprocal: halves(u64::MAX / u64::from(plan.modulus().value())),
            source,
        };
        let kernel = format!("key_{}", size.log);
        let shared_bytes = 4 * size.words + plan.n() as u32;
        let grid = Grid { kernel: &kernel, blocks: 1, threads: size.threads, shared_bytes };
        self.launch(lane, Stem::Expand, grid, &args)?;
        Ok(key)
    }

    pub(crate) fn run_pad(
        &self,
        lane: &mut Lane,
        ring: &Ring,
        args: RingArgs,
        errors: Errors,
        message_seed: Piece,
        out: Piece,
    ) -> Result<(), Fault> {
        let size = Size::of(ring.n());
        let polys = args.polys as usize;
        let args = PadArgs { ring: args, message_seed: message_seed.at, out: out.at, errors };
        let kernel = format!("pad_{}", size.log);
        self.launch(lane, Stem::Pad, Grid::polys(&kernel, size, polys, size.bytes_with_errors()), &args)
    }

    fn encoding(&self, lane: &mut Lane, encoding: &Encoding, digits: usize) -> Result<EncodingArgs, Fault> {
        let factors = lane.upload(&digit_factors(encoding), Kind::Public)?;
        Ok(EncodingArgs::of(encoding, digits, factors.at))
    }

    pub(crate) fn run_seal(
        &self,
        lane: &mut Lane,
        encoding: &Encoding,
        pad: Piece,
        message: Piece,
        digits: usize,
        row: Piece,
    ) -> Result<(), Fault> {
        let args = SealArgs {
            pad: pad.at,
            digits: message.at,
            out: row.at,
            encoding: self.encoding(lane, encoding, digits)?,
            log: encoding.ring().n().trailing_zeros(),
            words: halves(encoding.packed_len(digits).div_ceil(4) as u64),
        };
        let blocks = encoding.coefficients(digits).div_ceil(FLAT);
        let grid = Grid { kernel: "seal", blocks, threads: FLAT as u32, shared_bytes: 8 * FLAT as u32 };
        self.launch(lane, Stem::Seal, grid, &args)
    }

    pub(crate) fn run_encrypt(
        &self,
        lane: &mut Lane,
        job: &EncryptJob<'_>,
        cached: Option<Piece>,
        message: Piece,
        digits: usize,
        row: Piece,
    ) -> Result<(), Fault> {
        let (encoding, ring) = (job.encoding, job.encoding.ring());
        let (size, polys) = (Size::of(ring.n()), encoding.polys(digits));
        let seed = lane.upload(job.message_seed.expose(), Kind::Secret)?;
        let mut ring_args = self.ring(lane, ring, job.a_seed, job.first_poly, polys, Source::Message, seed)?;
        ring_args.cached = cached.map_or(At::NONE, |piece| piece.at);
        if size.log > FUSED_LOG {
            let pad = lane.take(4 * encoding.pad_len(digits), Kind::Secret)?;
            self.run_pad(lane, ring, ring_args, Errors::Added, seed, pad)?;
            return self.run_seal(lane, encoding, pad, message, digits, row);
        }
        let args = EncryptArgs {
            ring: ring_args,
            message_seed: seed.at,
            digits: message.at,
            out: row.at,
            encoding: self.encoding(lane, encoding, digits)?,
            words: halves(encoding.packed_len(digits).div_ceil(4) as u64),
        };
        let kernel = format!("encrypt_{}", size.log);
        self.launch(lane, Stem::Seal, Grid::polys(&kernel, size, polys, size.bytes_with_errors()), &args)
    }

    /// Rows lie `packed_len` rounded up to 16 bytes apart.
    pub(crate) fn run_sum(
        &self,
        lane: &mut Lane,
        shape: &Shape,
        rows: Piece,
        row_count: usize,
        accumulator: Piece,
    ) -> Result<(), Fault> {
        let args = SumArgs {
            accumulator: accumulator.at,
            rows: rows.at,
            coefficients: shape.coefficients as u64,
            stride: shape.packed_len().div_ceil(16) as u64,
            mask: shape.mask(),
            row_count: count(row_count)?,
            bits: shape.bits,
        };
        let kernel = if shape.bits > 32 { "sum_wide" } else { "sum_narrow" };
        let blocks = shape.coefficients.div_ceil(SUM_TILE);
        // Two tiles of 8 * bits units of 16 bytes, and one unit more behind each.
        let shared_bytes = 2 * 16 * (8 * shape.bits + 1);
        self.launch(lane, Stem::Sum, Grid { kernel, blocks, threads: FLAT as u32, shared_bytes }, &args)
    }

    /// Returns the noise records, and how many.
    pub(crate) fn run_decrypt(
        &self,
        lane: &mut Lane,
        job: &DecryptJob<'_>,
        accumulator: Piece,
        digits: usize,
        opened: Piece,
    ) -> Result<(Piece, usize), Fault> {
        let (encoding, ring) = (job.encoding, job.encoding.ring());
        let (size, polys) = (Size::of(ring.n()), encoding.polys(digits));
        let secret = lane.upload(job.secret_sum.expose(), Kind::Secret)?;
        let ring_args = self.ring(lane, ring, job.a_seed, job.first_poly, polys, Source::Sum, secret)?;
        let encoding_args = self.encoding(lane, encoding, digits)?;
        let is_fused = size.log <= FUSED_LOG;
        let blocks = if is_fused { size.blocks(polys) } else { encoding.coefficients(digits).div_ceil(FLAT) };
        let records = lane.take(blocks * RECORD_BYTES, Kind::Secret)?;
        let open = OpenArgs::of(encoding, encoding_args, [accumulator.at, opened.at, records.at]);
        if is_fused {
            let kernel = format!("decrypt_{}", size.log);
            let grid = Grid::polys(&kernel, size, polys, 4 * size.words);
            self.launch(lane, Stem::Decrypt, grid, &DecryptArgs { ring: ring_args, open })?;
        } else {
            let mask = lane.take(4 * encoding.pad_len(digits), Kind::Secret)?;
            self.run_pad(lane, ring, ring_args, Errors::None, secret, mask)?;
            let args = OpenMaskArgs { mask: mask.at, open, log: size.log };
            let shared_bytes = (FLAT * RECORD_BYTES) as u32;
            let grid = Grid { kernel: "decrypt_mask", blocks, threads: FLAT as u32, shared_bytes };
            self.launch(lane, Stem::Decrypt, grid, &args)?;
        }
        Ok((records, blocks))
    }

    pub(crate) fn run_dense(
        &self,
        lane: &mut Lane,
        job: &DenseJob<'_>,
        rows: Piece,
        row_count: usize,
    ) -> Result<(), Fault> {
        const THREADS: usize = 128;
        let (secret, message_seed, key) = match job.key {
            DenseKey::Mask(seed) => {
                let seed = lane.upload(seed.expose(), Kind::Secret)?;
                let secret = lane.take(4 * job.dimension, Kind::Secret)?;
                let args =
                    DenseSecretArgs { secret: secret.at, message_seed: seed.at, eights: count(job.dimension / 8)? };
                let blocks = (job.dimension / 8).div_ceil(THREADS);
                let grid = Grid { kernel: "dense_secret", blocks, threads: THREADS as u32, shared_bytes: 0 };
                self.launch(lane, Stem::Dense, grid, &args)?;
                (secret, seed.at, DenseUse::Mask)
            }
            DenseKey::Unmask(sum) => (lane.upload(sum.expose(), Kind::Secret)?, At::NONE, DenseUse::Unmask),
        };
        let args = DenseArgs {
            rows: rows.at,
            secret: secret.at,
            message_seed,
            row_count: count(row_count)?,
            first_row: job.first_row,
            blocks: count(job.dimension / 16)?,
            mask: u32::MAX >> (32 - job.bits),
            key,
            a_seed: Seed::public(job.a_seed),
        };
        // A thread to a row.
        let blocks = row_count.div_ceil(THREADS);
        self.launch(
            lane,
            Stem::Dense,
            Grid { kernel: "dense", blocks, threads: THREADS as u32, shared_bytes: 0 },
            &args,
        )
    }
}

/// A launch but for its module.
#[derive(Clone, Copy, Debug)]
struct Grid<'a> {
    kernel: &'a str,
    blocks: usize,
    threads: u32,
    shared_bytes: u32,
}

impl<'a> Grid<'a> {
    fn polys(kernel: &'a str, size: Size, polys: usize, shared_bytes: u32) -> Self {
        Self { kernel, blocks: size.blocks(polys), threads: size.threads, shared_bytes }
    }
}
