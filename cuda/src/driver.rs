//! The driver itself: whether it is there, the device, its context, and loaded modules.
//!
//! Who promises what to whom: this file promises the rest of the crate that a function of the driver is called only after
//! it was found, and that a handle is used only while its owner lives. The driver promises what its manual says of each
//! call.
#![allow(unsafe_code)]

use crate::calls;
use crate::facts::{Facts, Memory};
use cudarc::driver::sys::{self, CUdevice_attribute as Attribute};
use kernels::Fault;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_int};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// CUDA 11.4, as JetPack 5 has it.
const LOWEST_DRIVER: i32 = 11_040;
/// 7.0, the target that the head of the PTX names.
const LOWEST_CAPABILITY: u32 = 70;

/// A driver's answer that is not success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed(pub(crate) u32);

// Of the driver's manual; the test below compares them with cudarc's.
const OUT_OF_MEMORY: u32 = 2;
const NO_BINARY_FOR_GPU: u32 = 209;
const INVALID_PTX: u32 = 218;
const UNSUPPORTED_PTX_VERSION: u32 = 222;
const LAUNCH_OUT_OF_RESOURCES: u32 = 701;

impl From<Failed> for Fault {
    fn from(failed: Failed) -> Self {
        match failed.0 {
            OUT_OF_MEMORY => Self::OutOfMemory,
            // No image for this device, or a block that does not fit it: another engine may do the job.
            NO_BINARY_FOR_GPU | INVALID_PTX | UNSUPPORTED_PTX_VERSION | LAUNCH_OUT_OF_RESOURCES => Self::Declined,
            _ => Self::DeviceLost,
        }
    }
}

/// Calls the driver.
macro_rules! driver {
    ($call:expr) => {
        // SAFETY: the arguments are live handles and places of the types that the function takes, and memory is used as the
        // head of this file says.
        match unsafe { $call } {
            0 => Ok(()),
            code => Err($crate::driver::Failed(code)),
        }
    };
}
pub(crate) use driver;

/// Whether there is a driver that can be called.
fn present() -> Result<(), String> {
    if !calls::is_present() {
        return Err("no CUDA driver (libcuda.so) on this machine".into());
    }
    match calls::NAMES.iter().find(|name| !calls::has(name)) {
        Some(name) => Err(format!("the CUDA driver has no {name}: update it")),
        None => Ok(()),
    }
}

/// The first device and its context, until dropped.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) facts: Facts,
    context: sys::CUcontext,
    device: sys::CUdevice,
    lost: AtomicBool,
}

// SAFETY: the driver's handles may be used from every thread; each call first makes the context current on its thread.
unsafe impl Send for Device {}
// SAFETY: as above; the driver does its own locking.
unsafe impl Sync for Device {}

impl Device {
    /// Opens the first device, or says why there is none.
    pub(crate) fn open() -> Result<Arc<Self>, String> {
        present()?;
        let named = |what: &'static str| move |failed: Failed| format!("{what}: {}", text(failed));
        driver!(calls::cuInit(0)).map_err(named("the CUDA driver does not start"))?;
        let (mut version, mut count, mut device) = (0, 0, 0);
        driver!(calls::cuDriverGetVersion(&mut version)).map_err(named("the CUDA driver has no version"))?;
        if version < LOWEST_DRIVER {
            return Err(format!("the CUDA driver is version {version}: {LOWEST_DRIVER} or later is needed"));
        }
        driver!(calls::cuDeviceGetCount(&mut count)).map_err(named("CUDA devices cannot be counted"))?;
        if count == 0 {
            return Err("the CUDA driver sees no device".into());
        }
        driver!(calls::cuDeviceGet(&mut device, 0)).map_err(named("the CUDA device cannot be opened"))?;
        let facts = facts(device, version as u32).map_err(named("the CUDA device does not describe itself"))?;
        if facts.capability < LOWEST_CAPABILITY {
            let Facts { name, capability, .. } = &facts;
            return Err(format!(
                "{name} has compute capability {}.{}: 7.0 or later is needed",
                capability / 10,
                capability % 10
            ));
        }
        let mut context = std::ptr::null_mut();
        driver!(calls::cuDevicePrimaryCtxRetain(&mut context, device)).map_err(named("no CUDA context"))?;
        Ok(Arc::new(Self { facts, context, device, lost: AtomicBool::new(false) }))
    }

    /// Makes the context current on this thread: before anything else is asked of the driver.
    pub(crate) fn enter(&self) -> Result<(), Fault> {
        if self.lost.load(Ordering::Relaxed) {
            return Err(Fault::DeviceLost);
        }
        self.note(driver!(calls::cuCtxSetCurrent(self.context)))
    }

    /// Remembers a lost device: its context never works again, and asking it could hang.
    pub(crate) fn note<T>(&self, result: Result<T, Failed>) -> Result<T, Fault> {
        result.map_err(|failed| {
            let fault = Fault::from(failed);
            if fault == Fault::DeviceLost {
                self.lost.store(true, Ordering::Relaxed);
            }
            fault
        })
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // Nobody is left to hear of a failure.
        let _ = driver!(calls::cuDevicePrimaryCtxRelease_v2(self.device));
    }
}

fn text(failed: Failed) -> String {
    let mut text = std::ptr::null();
    // SAFETY: the driver gives a string that lives as long as the process, or null for a code it does not know.
    let known = unsafe {
        let _ = calls::cuGetErrorString(failed.0, &mut text);
        (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
    };
    known.unwrap_or_else(|| format!("error {}", failed.0))
}

fn facts(device: sys::CUdevice, driver: u32) -> Result<Facts, Failed> {
    let attribute = |attribute: Attribute| {
        let mut value: c_int = 0;
        driver!(calls::cuDeviceGetAttribute(&mut value, attribute, device)).map(|()| value as u32)
    };
    let mut name = [0; 128];
    driver!(calls::cuDeviceGetName(name.as_mut_ptr(), 127, device))?;
    // SAFETY: the array's last byte is zero, whatever the driver wrote before it.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned();
    let major = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    let integrated = attribute(Attribute::CU_DEVICE_ATTRIBUTE_INTEGRATED)?;
    let mut memory_bytes = 0;
    driver!(calls::cuDeviceTotalMem_v2(&mut memory_bytes, device))?;
    Ok(Facts {
        name,
        capability: 10 * major + minor,
        driver,
        multiprocessors: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        shared_bytes: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
        memory_bytes: memory_bytes as u64,
        // Nothing depends on these, and a driver may stop telling them.
        clock_khz: attribute(Attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE).ok(),
        memory_clock_khz: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE).ok(),
        memory: if integrated == 0 { Memory::Own } else { Memory::Shared },
    })
}

/// A loaded image and the functions found in it so far.
#[derive(Debug)]
pub(crate) struct Module {
    device: Arc<Device>,
    module: sys::CUmodule,
    functions: Mutex<HashMap<String, Function>>,
}

/// A function of a module that lives as long as the engine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Function(pub(crate) sys::CUfunction);

// SAFETY: as for `Device`.
unsafe impl Send for Module {}
// SAFETY: as for `Device`.
unsafe impl Sync for Module {}

impl Module {
    /// Loads an image: a cubin, or PTX that ends with a zero byte.
    pub(crate) fn load(device: &Arc<Device>, image: &'static [u8]) -> Result<Self, Fault> {
        device.enter()?;
        let mut module = std::ptr::null_mut();
        let loaded = driver!(calls::cuModuleLoadData(&mut module, image.as_ptr().cast()));
        loaded.map_err(|failed| match Fault::from(failed) {
            Fault::OutOfMemory => Fault::OutOfMemory,
            // An image that this driver does not take is no lost device.
            _ => Fault::Declined,
        })?;
        Ok(Self { device: Arc::clone(device), module, functions: Mutex::default() })
    }

    pub(crate) fn function(&self, name: &str, shared_bytes: u32) -> Result<Function, Fault> {
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = functions.get(name) {
            return Ok(*function);
        }
        let mut function = std::ptr::null_mut();
        let c_name = CString::new(name).map_err(|_| Fault::Declined)?;
        driver!(calls::cuModuleGetFunction(&mut function, self.module, c_name.as_ptr()))
            .map_err(|_| Fault::Declined)?;
        // More than 48 KiB must be asked for.
        if shared_bytes > 48 << 10 {
            let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            self.device.note(driver!(calls::cuFuncSetAttribute(function, attribute, shared_bytes as c_int)))?;
        }
        functions.insert(name.to_owned(), Function(function));
        Ok(Function(function))
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        if self.device.enter().is_ok() {
            let _ = driver!(calls::cuModuleUnload(self.module));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sys::CUresult;

    #[test]
    fn the_codes_are_the_drivers() {
        for (ours, theirs) in [
            (0, CUresult::CUDA_SUCCESS),
            (OUT_OF_MEMORY, CUresult::CUDA_ERROR_OUT_OF_MEMORY),
            (NO_BINARY_FOR_GPU, CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU),
            (INVALID_PTX, CUresult::CUDA_ERROR_INVALID_PTX),
            (UNSUPPORTED_PTX_VERSION, CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION),
            (LAUNCH_OUT_OF_RESOURCES, CUresult::CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES),
        ] {
            assert_eq!(ours, theirs as u32);
        }
        // A code of the future is a lost device, not undefined behaviour.
        assert_eq!(Fault::from(Failed(123_456)), Fault::DeviceLost);
    }
}
