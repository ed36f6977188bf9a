//! How a polynomial of each length lies in a block: the same numbers as `Size` in kernels/ntt.cuh. The driver refuses
//! more threads than a kernel was built for, and the suite would see any other difference.

/// The shape of the blocks that work on polynomials of `1 << log` words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// log2 n.
    pub(crate) log: u32,
    /// Polynomials in a block.
    pub(crate) polys: usize,
    /// Threads in a block.
    pub(crate) threads: u32,
    /// Words of shared memory for the block's polynomials.
    pub(crate) words: u32,
}

impl Size {
    pub(crate) fn of(n: usize) -> Self {
        let log = n.trailing_zeros();
        let polys = if log < 11 { 1usize << (11 - log) } else { 1 };
        let rounds = if log == 15 { 2 } else { 1 };
        // At most 2^15 words in a block.
        let all = (polys * n) as u32;
        let words = if log <= 13 { all / 16 * 19 } else { all };
        Self { log, polys, threads: all / 16 / rounds, words }
    }

    /// Bytes of shared memory where the errors of the block's polynomials lie behind them.
    pub(crate) fn bytes_with_errors(self) -> u32 {
        4 * self.words + (self.polys << self.log) as u32
    }

    /// Blocks for this many polynomials.
    pub(crate) fn blocks(self, polys: usize) -> usize {
        polys.div_ceil(self.polys)
    }
}

/// Powers of a root in the order in which the kernels read them, each with its quotient. A pass of four stages on the
/// bits `low..low + 4` has `groups = n >> (low + 4)` groups of words that share roots; its tables begin at entry
/// `groups - 1`, slot by slot, so that the threads of neighbouring groups read neighbouring entries.
pub(crate) fn roots(factors: &[u32], quotients: &[u32]) -> Vec<u32> {
    let log = factors.len().trailing_zeros();
    let top_stages = (log - 1) % 4 + 1;
    let mut table = vec![0; 2 * factors.len()];
    let (mut groups, mut stages) = (1, top_stages);
    loop {
        for slot in 0..(1usize << stages) - 1 {
            let stage = (slot + 1).ilog2();
            let part = slot + 1 - (1 << stage);
            for group in 0..groups {
                let from = (groups << stage) + (group << stage) + part;
                let to = 2 * (groups - 1 + slot * groups + group);
                (table[to], table[to + 1]) = (factors[from], quotients[from]);
            }
        }
        groups <<= stages;
        stages = 4;
        if groups == factors.len() {
            return table;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_root_is_in_the_table_once() {
        for log in 8..=15 {
            let factors: Vec<u32> = (0..1 << log).collect();
            let table = roots(&factors, &factors);
            let mut entries: Vec<u32> = table.chunks(2).map(|pair| pair[0]).collect();
            entries.sort_unstable();
            assert!(entries == factors, "n = 2^{log}");
        }
    }

    #[test]
    fn blocks_have_at_most_what_every_device_offers() {
        for log in 8..=15 {
            let size = Size::of(1 << log);
            assert!((128..=1024).contains(&size.threads), "{size:?}");
            // 163 KiB: what a block may have on the smallest device there is an image for.
            assert!(size.bytes_with_errors() <= 163 << 10, "{size:?}");
        }
    }
}
