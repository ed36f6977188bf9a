//! The compiled kernels, and which image a device gets. `scripts/cuda-modules` makes them from kernels/.

use crate::driver::{Device, Module};
use kernels::Fault;
use std::sync::{Arc, OnceLock};

/// A source file of kernels/.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stem {
    Ceiling,
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
    /// For every other device from compute capability 7.0 on, and for older drivers: compiled by the driver.
    ptx: &'static str,
}

/// Where a driver may read whole words.
#[repr(align(16))]
struct Aligned<const N: usize>([u8; N]);

macro_rules! image {
    ($path:expr) => {{
        static IMAGE: Aligned<{ include_bytes!($path).len() }> = Aligned(*include_bytes!($path));
        &IMAGE.0
    }};
}

macro_rules! images {
    ($stem:literal) => {
        Images {
            sm_87: image!(concat!("../modules/sm_87/", $stem, ".cubin")),
            sm_90: image!(concat!("../modules/sm_90/", $stem, ".cubin")),
            sm_110: image!(concat!("../modules/sm_110/", $stem, ".cubin")),
            // The driver reads text up to a zero byte.
            ptx: concat!(include_str!(concat!("../modules/ptx/", $stem, ".ptx")), "\0"),
        }
    };
}

/// In the order of [`Stem`].
static IMAGES: [Images; 8] = [
    images!("ceiling"),
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
    loaded: [OnceLock<Module>; IMAGES.len()],
}

impl Modules {
    pub(crate) fn get(&self, device: &Arc<Device>, stem: Stem) -> Result<&Module, Fault> {
        let place = &self.loaded[stem as usize];
        if let Some(module) = place.get() {
            return Ok(module);
        }
        let images = &IMAGES[stem as usize];
        // A driver older than the compiler may refuse the device's own image; text with a lowered head it takes.
        let own = images.of(device.facts.capability).map(|image| Module::load(device, image));
        let module = match own {
            Some(Ok(module)) => module,
            Some(Err(Fault::Declined)) | None => Module::load(device, images.ptx.as_bytes())?,
            Some(Err(fault)) => return Err(fault),
        };
        // A failure is not remembered: memory may come free. Of two threads that load at once, one drops its own.
        Ok(place.get_or_init(|| module))
    }
}

impl Images {
    /// The image made for this device, if there is one.
    fn of(&self, capability: u32) -> Option<&'static [u8]> {
        match capability {
            87 => Some(self.sm_87),
            90 => Some(self.sm_90),
            110 => Some(self.sm_110),
            _ => None,
        }
    }
}
