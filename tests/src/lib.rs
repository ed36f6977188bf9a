//! The conformance suite: one list of cases that every backend passes, compared word for word with
//! [`kernels::reference`].
//!
//! ```
//! let backend = kernels::cpu::Cpu::best(1);
//! for case in tensorguard_tests::SUITE.iter().filter(|case| case.name.starts_with("dense::")) {
//!     (case.run)(&backend);
//! }
//! ```
#![deny(unsafe_code)]

pub mod cases;
mod fixture;
pub mod round;
pub mod taint;

use kernels::Backend;

pub use fixture::{Flaky, Rand, encoding, rings};

/// One thing every backend must do.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// `kernel::what`, printed as `backend::kernel::what`.
    pub name: &'static str,
    /// Panics where the backend differs from the definition.
    pub run: fn(&dyn Backend),
}

macro_rules! suite {
    ($($kernel:ident :: $case:ident),* $(,)?) => {
        &[$(Case { name: concat!(stringify!($kernel), "::", stringify!($case)), run: cases::$kernel::$case }),*]
    };
}

/// Every case, in the order of the kernels.
pub const SUITE: &[Case] = suite![
    ntt::every_size_and_prime,
    ntt::hostile_words,
    ntt::batches,
    ntt::inverse_undoes_forward,
    pad::suites,
    pad::redraws_that_miss_sixteen_times,
    pad::last_poly,
    pad::ranges_split_anywhere,
    pad::a_draw_equal_to_p,
    pad::no_polys,
    seal::suites,
    seal::hostile_digits,
    seal::uses_the_pad_up,
    seal::every_wire_width,
    seal::every_number_of_digits,
    seal::products_beyond_two_primes,
    encrypt::is_pad_then_seal,
    encrypt::hostile_lengths,
    encrypt::last_poly,
    sum::every_width,
    sum::hostile_lengths,
    sum::row_counts,
    sum::hostile_words,
    sum::unaligned_rows,
    decrypt::honest_sums,
    decrypt::hostile_accumulators,
    decrypt::hostile_lengths,
    decrypt::large_secret_sums,
    decrypt::phases_at_every_edge,
    decrypt::digits_of_large_bases,
    decrypt::every_phase_of_short_words,
    dense::masks_and_unmasks,
    dense::hostile_rows,
    dense::every_width,
    dense::past_a_dispatch_limit,
    together::same_call_twice,
    together::two_threads_at_once,
    together::poisoned_outputs_are_overwritten,
    together::misuse_panics,
];
