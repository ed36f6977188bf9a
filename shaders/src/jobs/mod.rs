//! The jobs, a file each: how work is cut into pieces, and which kernels a piece runs.

pub(crate) mod ntt;
