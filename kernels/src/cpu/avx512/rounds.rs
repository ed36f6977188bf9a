//! ChaCha's rounds for AVX-512 in assembly. Unsafe here is instructions on registers only: the caller, compiled for AVX-512 F by
//! its attribute, promises that the processor has it.

#![allow(unsafe_code)]

use core::arch::x86_64::__m512i;

/// One instruction of ChaCha on four registers of its state each.
macro_rules! four {
    (add [$($x:literal)*] [$($y:literal)*]) => { concat!($("vpaddd zmm", $x, ", zmm", $x, ", zmm", $y, "\n"),*) };
    (xor [$($x:literal)*] [$($y:literal)*]) => { concat!($("vpxord zmm", $x, ", zmm", $x, ", zmm", $y, "\n"),*) };
    (rotate [$($x:literal)*] $by:literal) => { concat!($("vprold zmm", $x, ", zmm", $x, ", ", $by, "\n"),*) };
}

/// Four quarter rounds, step by step.
macro_rules! round {
    ($a:tt $b:tt $c:tt $d:tt) => {
        concat!(
            four!(add $a $b), four!(xor $d $a), four!(rotate $d 16), four!(add $c $d), four!(xor $b $c), four!(rotate $b 12),
            four!(add $a $b), four!(xor $d $a), four!(rotate $d 8), four!(add $c $d), four!(xor $b $c), four!(rotate $b 7),
        )
    };
}

/// Ten double rounds of two groups. Their words are all the registers there are, and no step needs one more: written with
/// intrinsics, the compiler keeps some of them in memory nevertheless.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn ten_double_rounds([x, y]: &mut [[__m512i; 16]; 2]) {
    // SAFETY: instructions on registers, of the feature this function enables; the loop counts down from ten.
    unsafe {
        core::arch::asm!(
            "2:",
            round!([0 1 2 3] [4 5 6 7] [8 9 10 11] [12 13 14 15]),
            round!([16 17 18 19] [20 21 22 23] [24 25 26 27] [28 29 30 31]),
            round!([0 1 2 3] [5 6 7 4] [10 11 8 9] [15 12 13 14]),
            round!([16 17 18 19] [21 22 23 20] [26 27 24 25] [31 28 29 30]),
            "dec {count:e}",
            "jnz 2b",
            count = inout(reg) 10 => _,
            inout("zmm0") x[0],
            inout("zmm1") x[1],
            inout("zmm2") x[2],
            inout("zmm3") x[3],
            inout("zmm4") x[4],
            inout("zmm5") x[5],
            inout("zmm6") x[6],
            inout("zmm7") x[7],
            inout("zmm8") x[8],
            inout("zmm9") x[9],
            inout("zmm10") x[10],
            inout("zmm11") x[11],
            inout("zmm12") x[12],
            inout("zmm13") x[13],
            inout("zmm14") x[14],
            inout("zmm15") x[15],
            inout("zmm16") y[0],
            inout("zmm17") y[1],
            inout("zmm18") y[2],
            inout("zmm19") y[3],
            inout("zmm20") y[4],
            inout("zmm21") y[5],
            inout("zmm22") y[6],
            inout("zmm23") y[7],
            inout("zmm24") y[8],
            inout("zmm25") y[9],
            inout("zmm26") y[10],
            inout("zmm27") y[11],
            inout("zmm28") y[12],
            inout("zmm29") y[13],
            inout("zmm30") y[14],
            inout("zmm31") y[15],
            options(pure, nomem, nostack),
        );
    }
}
