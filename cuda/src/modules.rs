//! The compiled kernels, and which image a device gets. `scripts/cuda-modules` makes them from kernels/.

use crate::launch::{Device, Module};
use kernels::Fault;
use std::sync::{Arc, OnceLock};

/// A source file of kernels/.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stem {
    Decrypt,
    Dense,
    Expand,
    Ntt,
    Pad,
    Seal,
    Sum,
}

struct Images {
    sm_87: &'static [u8],
    sm_90: &'static [u8],
    sm_110: &'static [u8],
    /// For every other device from compute capability 7.0 on, compiled by its driver.
    ptx: &'static str,
}

macro_rules! images {
    ($stem:literal) => {
        Images {
            sm_87: include_bytes!(concat!("../modules/sm_87/", $stem, ".cubin")),
            sm_90: include_bytes!(concat!("../modules/sm_90/", $stem, ".cubin")),
            sm_110: include_bytes!(concat!("../modules/sm_110/", $stem, ".cubin")),
            // The driver reads text up to a zero byte.
            ptx: concat!(include_str!(concat!("../modules/ptx/", $stem, ".ptx")), "\0"),
        }
    };
}

/// In the order of [`Stem`].
const IMAGES: [Images; 7] = [
    images!("decrypt"),
    images!("dense"),
    images!("expand"),
    images!("ntt"),
    images!("pad"),
    images!("seal"),
    images!("sum"),
];

/// The modules of one device, each loaded when a job first needs it.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    loaded: [OnceLock<Result<Module, Fault>>; IMAGES.len()],
}

impl Modules {
    pub(crate) fn get(&self, device: &Arc<Device>, stem: Stem) -> Result<&Module, Fault> {
        let load = || Module::load(device, IMAGES[stem as usize].of(device.facts.capability));
        self.loaded[stem as usize].get_or_init(load).as_ref().map_err(|fault| *fault)
    }
}

impl Images {
    fn of(&self, capability: u32) -> &'static [u8] {
        match capability {
            87 => self.sm_87,
            90 => self.sm_90,
            110 => self.sm_110,
            _ => self.ptx.as_bytes(),
        }
    }
}
