//! The driver's functions, found at run time, with plain numbers as answers.
//!
//! Who promises what to whom: this file promises its callers that a function has the type of the driver's manual for CUDA
//! 11.4, and that a missing one answers instead of crashing. Callers promise what the manual asks of each call. The
//! answers are numbers, not cudarc's enum, because a newer driver gives codes that the enum does not have, and such a
//! value would be undefined behaviour.
#![allow(unsafe_code)]
#![allow(non_snake_case, reason = "the driver's own names")]

use cudarc::driver::sys::{
    CUcontext, CUdevice, CUdevice_attribute, CUdeviceptr, CUevent, CUfunction, CUfunction_attribute, CUmodule,
    CUstream, culib, is_culib_present,
};
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

/// `CUDA_ERROR_NOT_FOUND`: what a function answers that the driver does not have.
const NOT_FOUND: u32 = 500;

macro_rules! functions {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {
        /// All of them.
        pub(crate) const NAMES: &[&str] = &[$(stringify!($name)),*];

        $(
            #[allow(clippy::too_many_arguments, reason = "the driver's own")]
            pub(crate) unsafe fn $name($($argument: $type),*) -> u32 {
                type Function = unsafe extern "C" fn($($type),*) -> u32;
                static FOUND: OnceLock<Option<Function>> = OnceLock::new();
                let find = || {
                    // SAFETY: the library is there, and the type is the manual's.
                    is_present().then(|| unsafe { culib().get::<Function>(stringify!($name).as_bytes()) }.ok().map(|f| *f))
                };
                match FOUND.get_or_init(|| find().flatten()) {
                    // SAFETY: the caller keeps to the manual.
                    Some(function) => unsafe { function($($argument),*) },
                    None => NOT_FOUND,
                }
            }
        )*
    };
}

/// Whether a driver can be loaded. cudarc panics where one is used that is not there.
pub(crate) fn is_present() -> bool {
    static PRESENT: OnceLock<bool> = OnceLock::new();
    // SAFETY: loading the driver runs its initialisers, which is what whoever asks for it wants.
    *PRESENT.get_or_init(|| unsafe { is_culib_present() })
}

/// Whether it has this function.
pub(crate) fn has(name: &str) -> bool {
    // SAFETY: the library is there; the symbol is only looked up, never called through this type.
    is_present() && unsafe { culib().get::<unsafe extern "C" fn()>(name.as_bytes()) }.is_ok()
}

functions! {
    cuInit(flags: c_uint);
    cuDriverGetVersion(version: *mut c_int);
    cuDeviceGetCount(count: *mut c_int);
    cuDeviceGet(device: *mut CUdevice, ordinal: c_int);
    cuDeviceGetName(name: *mut c_char, len: c_int, device: CUdevice);
    cuDeviceGetAttribute(value: *mut c_int, attribute: CUdevice_attribute, device: CUdevice);
    cuDeviceTotalMem_v2(bytes: *mut usize, device: CUdevice);
    cuDevicePrimaryCtxRetain(context: *mut CUcontext, device: CUdevice);
    cuDevicePrimaryCtxRelease_v2(device: CUdevice);
    cuCtxSetCurrent(context: CUcontext);
    cuGetErrorString(code: u32, text: *mut *const c_char);
    cuMemAlloc_v2(at: *mut CUdeviceptr, bytes: usize);
    cuMemFree_v2(at: CUdeviceptr);
    cuMemHostAlloc(at: *mut *mut c_void, bytes: usize, flags: c_uint);
    cuMemFreeHost(at: *mut c_void);
    cuMemcpyHtoDAsync_v2(to: CUdeviceptr, from: *const c_void, bytes: usize, stream: CUstream);
    cuMemcpyDtoHAsync_v2(to: *mut c_void, from: CUdeviceptr, bytes: usize, stream: CUstream);
    cuMemcpyDtoDAsync_v2(to: CUdeviceptr, from: CUdeviceptr, bytes: usize, stream: CUstream);
    cuMemsetD8Async(at: CUdeviceptr, byte: u8, bytes: usize, stream: CUstream);
    cuStreamCreate(stream: *mut CUstream, flags: c_uint);
    cuStreamDestroy_v2(stream: CUstream);
    cuStreamSynchronize(stream: CUstream);
    cuEventCreate(event: *mut CUevent, flags: c_uint);
    cuEventDestroy_v2(event: CUevent);
    cuEventRecord(event: CUevent, stream: CUstream);
    cuEventSynchronize(event: CUevent);
    cuEventElapsedTime(ms: *mut f32, begin: CUevent, end: CUevent);
    cuModuleLoadData(module: *mut CUmodule, image: *const c_void);
    cuModuleUnload(module: CUmodule);
    cuModuleGetFunction(function: *mut CUfunction, module: CUmodule, name: *const c_char);
    cuFuncSetAttribute(function: CUfunction, attribute: CUfunction_attribute, value: c_int);
    cuLaunchKernel(function: CUfunction, grid_x: c_uint, grid_y: c_uint, grid_z: c_uint, block_x: c_uint, block_y: c_uint,
        block_z: c_uint, shared_bytes: c_uint, stream: CUstream, params: *mut *mut c_void, extra: *mut *mut c_void);
}
