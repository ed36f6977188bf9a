//! Marking secrets for valgrind's memcheck, the method of ctgrind: bytes that are marked undefined compute as before,
//! and memcheck reports every jump and every address that depends on them.
//!
//! Who promises what to whom: valgrind promises that its request is a sequence of instructions without effect on a real
//! processor, and this file promises valgrind that what a request points to is alive while it looks.
#![allow(unsafe_code)]

/// Why nothing can be marked in this build; `None` where it can.
#[must_use]
pub fn absent_reason() -> Option<&'static str> {
    if cfg!(all(target_arch = "x86_64", target_os = "linux", not(miri))) {
        None
    } else {
        Some("absent: the requests to valgrind are written for x86-64 Linux only")
    }
}

/// Whether valgrind runs this process.
#[must_use]
pub fn is_watched() -> bool {
    request(RUNNING_ON_VALGRIND, [0; 3]) != 0
}

/// From here on these values are secret.
pub fn hide<T: Copy>(values: &mut [T]) {
    request(MAKE_MEM_UNDEFINED, [values.as_mut_ptr().expose_provenance(), size_of_val(values), 0]);
}

/// From here on these values are public.
pub fn reveal<T: Copy>(values: &mut [T]) {
    request(MAKE_MEM_DEFINED, [values.as_mut_ptr().expose_provenance(), size_of_val(values), 0]);
}

/// How many of these values have a secret bit. None where nobody watches.
#[must_use]
pub fn hidden<T: Copy>(values: &[T]) -> usize {
    let mut bits = vec![0u8; size_of_val(values)];
    let (from, to) = (values.as_ptr().expose_provenance(), bits.as_mut_ptr().expose_provenance());
    request(GET_VBITS, [from, to, bits.len()]);
    bits.chunks(size_of::<T>().max(1)).filter(|bits| bits.iter().any(|&bits| bits != 0)).count()
}

// From valgrind.h and memcheck.h, part of their stable interface.
const RUNNING_ON_VALGRIND: usize = 0x1001;
const MEMCHECK: usize = (b'M' as usize) << 24 | (b'C' as usize) << 16;
const MAKE_MEM_UNDEFINED: usize = MEMCHECK + 1;
const MAKE_MEM_DEFINED: usize = MEMCHECK + 2;
const GET_VBITS: usize = MEMCHECK + 8;

/// What valgrind answers; 0 where nobody watches.
#[cfg(all(target_arch = "x86_64", target_os = "linux", not(miri)))]
fn request(code: usize, [a, b, c]: [usize; 3]) -> usize {
    let arguments = [code, a, b, c, 0, 0];
    let mut answer = 0usize;
    // SAFETY: on a processor this turns rdi by 128 bits, which leaves it as it was, and exchanges rbx with itself.
    // Valgrind knows the sequence, reads the six words at rax and puts its answer in rdx; a request to read bits writes
    // them to the buffer of that length that `hidden` owns, and no other changes a byte.
    unsafe {
        core::arch::asm!(
            "rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
            in("rax") arguments.as_ptr(),
            inout("rdx") answer,
            options(nostack),
        );
    }
    answer
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux", not(miri))))]
fn request(_: usize, _: [usize; 3]) -> usize {
    0
}
