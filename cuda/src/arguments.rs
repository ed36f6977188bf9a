//! The kernels' parameters: each struct has the fields of its namesake in kernels/, in the same order. The launch passes
//! the size, and the driver compares it with the kernel's.

use crate::launch::At;
use ntt::{Plan, Shoup};

/// `Shoup` of words.cuh.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Factor {
    pub(crate) factor: u32,
    pub(crate) quotient: u32,
}

impl From<Shoup> for Factor {
    fn from(shoup: Shoup) -> Self {
        Self { factor: shoup.factor, quotient: shoup.quotient }
    }
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Field {
    pub(crate) p: u32,
    pub(crate) two_p: u32,
    pub(crate) one: u32,
}

impl Field {
    pub(crate) fn of(plan: &Plan) -> Self {
        let p = plan.modulus().value();
        Self { p, two_p: 2 * p, one: plan.one().quotient }
    }
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct NttArgs {
    pub(crate) words: At,
    pub(crate) roots: At,
    pub(crate) polys: u32,
    pub(crate) field: Field,
    pub(crate) n_inverse: Factor,
    pub(crate) last_root: Factor,
}
