//! The driver: context, streams, memory, modules and launches. The only file here that may say `unsafe`.
//!
//! Who promises what to whom: this file promises the rest of the crate that a handle is used only while its owner lives,
//! that a copy stays inside both of its pieces of memory, and that pinned memory is neither read, written nor freed
//! while a copy is under way (every way out of a [`Lane`] waits for its stream first). The kernels promise to touch only
//! the memory that their arguments name. The driver promises what its manual says of each call.
#![allow(unsafe_code)]

use crate::arena::{Arena, Kind};
use crate::facts::{Facts, Memory};
use cudarc::driver::sys::{self, CUdevice_attribute as Attribute};
use kernels::Fault;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Every function that is called below: one that is missing would be a panic inside cudarc.
const NEEDED: [&str; 27] = [
    "cuInit",
    "cuDriverGetVersion",
    "cuDeviceGetCount",
    "cuDeviceGet",
    "cuDeviceGetName",
    "cuDeviceGetAttribute",
    "cuDevicePrimaryCtxRetain",
    "cuDevicePrimaryCtxRelease_v2",
    "cuCtxSetCurrent",
    "cuMemAlloc_v2",
    "cuMemFree_v2",
    "cuMemHostAlloc",
    "cuMemFreeHost",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamSynchronize",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemsetD8Async",
    "cuModuleLoadData",
    "cuModuleUnload",
    "cuModuleGetFunction",
    "cuFuncSetAttribute",
    "cuLaunchKernel",
    "cuEventCreate",
    "cuEventDestroy_v2",
    "cuEventElapsedTime",
];
/// CUDA 11.4, as JetPack 5 has it.
const LOWEST_DRIVER: i32 = 11_040;

/// A driver's answer that is not success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed(sys::CUresult);

impl From<Failed> for Fault {
    fn from(failed: Failed) -> Self {
        match failed.0 {
            sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => Self::OutOfMemory,
            // No image for this device, or a block that does not fit it: another engine may do the job.
            sys::CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU
            | sys::CUresult::CUDA_ERROR_INVALID_PTX
            | sys::CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION
            | sys::CUresult::CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES => Self::Declined,
            _ => Self::DeviceLost,
        }
    }
}

/// Calls the driver.
macro_rules! driver {
    ($call:expr) => {
        // SAFETY: `present` found the function, the arguments are live handles and places of the types it takes, and
        // memory is used as the head of this file says.
        match unsafe { $call } {
            sys::CUresult::CUDA_SUCCESS => Ok(()),
            code => Err(Failed(code)),
        }
    };
}

/// Whether there is a driver that can be called.
fn present() -> Result<(), String> {
    // SAFETY: loading the driver runs its initialisers, which is what the caller asks for.
    if !unsafe { sys::is_culib_present() } {
        return Err("no CUDA driver (libcuda.so) on this machine".into());
    }
    // SAFETY: the library is there, as just seen; cudarc panics only where it is not.
    let library = unsafe { sys::culib() };
    for name in NEEDED {
        // SAFETY: the symbol is only looked up here, never called through this type.
        if unsafe { library.get::<unsafe extern "C" fn()>(name.as_bytes()) }.is_err() {
            return Err(format!("the CUDA driver has no {name}: update it"));
        }
    }
    Ok(())
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
        driver!(sys::cuInit(0)).map_err(named("the CUDA driver does not start"))?;
        let (mut version, mut count, mut device) = (0, 0, 0);
        driver!(sys::cuDriverGetVersion(&mut version)).map_err(named("the CUDA driver has no version"))?;
        if version < LOWEST_DRIVER {
            return Err(format!("the CUDA driver is version {version}: {LOWEST_DRIVER} or later is needed"));
        }
        driver!(sys::cuDeviceGetCount(&mut count)).map_err(named("CUDA devices cannot be counted"))?;
        if count == 0 {
            return Err("the CUDA driver sees no device".into());
        }
        driver!(sys::cuDeviceGet(&mut device, 0)).map_err(named("the CUDA device cannot be opened"))?;
        let facts = facts(device, version as u32).map_err(named("the CUDA device does not describe itself"))?;
        let mut context = std::ptr::null_mut();
        driver!(sys::cuDevicePrimaryCtxRetain(&mut context, device)).map_err(named("no CUDA context"))?;
        Ok(Arc::new(Self { facts, context, device, lost: AtomicBool::new(false) }))
    }

    /// Makes the context current on this thread: before anything else is asked of the driver.
    fn enter(&self) -> Result<(), Fault> {
        if self.lost.load(Ordering::Relaxed) {
            return Err(Fault::DeviceLost);
        }
        self.note(driver!(sys::cuCtxSetCurrent(self.context)))
    }

    /// Remembers a lost device: its context never works again, and asking it could hang.
    fn note<T>(&self, result: Result<T, Failed>) -> Result<T, Fault> {
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
        let _ = driver!(sys::cuDevicePrimaryCtxRelease_v2(self.device));
    }
}

fn text(failed: Failed) -> String {
    let mut text = std::ptr::null();
    // SAFETY: the driver gives a string that lives as long as the process, or null for a code it does not know.
    let known = unsafe {
        let _ = sys::cuGetErrorString(failed.0, &mut text);
        (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
    };
    known.unwrap_or_else(|| format!("{:?}", failed.0))
}

fn facts(device: sys::CUdevice, driver: u32) -> Result<Facts, Failed> {
    let attribute = |attribute: Attribute| {
        let mut value: c_int = 0;
        driver!(sys::cuDeviceGetAttribute(&mut value, attribute, device)).map(|()| value as u32)
    };
    let mut name = [0; 128];
    driver!(sys::cuDeviceGetName(name.as_mut_ptr(), 127, device))?;
    // SAFETY: the array's last byte is zero, whatever the driver wrote before it.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned();
    let major = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    let integrated = attribute(Attribute::CU_DEVICE_ATTRIBUTE_INTEGRATED)?;
    Ok(Facts {
        name,
        capability: 10 * major + minor,
        driver,
        multiprocessors: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        shared_bytes: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
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
struct Function(sys::CUfunction);

// SAFETY: as for `Device`.
unsafe impl Send for Module {}
// SAFETY: as for `Device`.
unsafe impl Sync for Module {}

impl Module {
    /// Loads an image: a cubin, or PTX that ends with a zero byte.
    pub(crate) fn load(device: &Arc<Device>, image: &'static [u8]) -> Result<Self, Fault> {
        device.enter()?;
        let mut module = std::ptr::null_mut();
        let loaded = driver!(sys::cuModuleLoadData(&mut module, image.as_ptr().cast()));
        loaded.map_err(|failed| match Fault::from(failed) {
            Fault::OutOfMemory => Fault::OutOfMemory,
            // An image that this driver does not take is no lost device.
            _ => Fault::Declined,
        })?;
        Ok(Self { device: Arc::clone(device), module, functions: Mutex::default() })
    }

    fn function(&self, name: &str, shared_bytes: u32) -> Result<Function, Fault> {
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = functions.get(name) {
            return Ok(*function);
        }
        let mut function = std::ptr::null_mut();
        let c_name = CString::new(name).map_err(|_| Fault::Declined)?;
        driver!(sys::cuModuleGetFunction(&mut function, self.module, c_name.as_ptr())).map_err(|_| Fault::Declined)?;
        // More than 48 KiB must be asked for.
        if shared_bytes > 48 << 10 {
            let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            self.device.note(driver!(sys::cuFuncSetAttribute(function, attribute, shared_bytes as c_int)))?;
        }
        functions.insert(name.to_owned(), Function(function));
        Ok(Function(function))
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        if self.device.enter().is_ok() {
            let _ = driver!(sys::cuModuleUnload(self.module));
        }
    }
}

/// Where a grid runs, and how large it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Launch<'a> {
    pub(crate) module: &'a Module,
    pub(crate) kernel: &'a str,
    pub(crate) blocks: usize,
    pub(crate) threads: u32,
    pub(crate) shared_bytes: u32,
}

/// Numbers without padding or meaning in their bits: safe to copy as bytes, both ways.
pub(crate) trait Plain: Copy {}
impl Plain for u8 {}
impl Plain for u32 {}
impl Plain for i32 {}
impl Plain for u64 {}

/// Device memory inside a lane. Valid until the lane is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct At(u64);

impl At {
    /// No memory: for what a kernel then does not look at.
    pub(crate) const NONE: Self = Self(0);
}

/// A piece of device memory in use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) at: At,
    bytes: usize,
}

/// An output on its way to the host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    block: usize,
    offset: usize,
    bytes: usize,
}

/// A stream with its own device and pinned memory: what one job at a time uses.
#[derive(Debug)]
pub(crate) struct Lane {
    device: Arc<Device>,
    stream: sys::CUstream,
    memory: Arena,
    pinned: Arena,
    secrets: Vec<Piece>,
    /// Pinned bytes that held a secret: block, offset, length.
    pinned_secrets: Vec<(usize, usize, usize)>,
}

// SAFETY: as for `Device`; a lane is used by one thread at a time, as its methods take `&mut self`.
unsafe impl Send for Lane {}

impl Lane {
    pub(crate) fn new(device: &Arc<Device>) -> Result<Self, Fault> {
        device.enter()?;
        let mut stream = std::ptr::null_mut();
        let flags = sys::CUstream_flags::CU_STREAM_NON_BLOCKING as u32;
        device.note(driver!(sys::cuStreamCreate(&mut stream, flags)))?;
        Ok(Self {
            device: Arc::clone(device),
            stream,
            memory: Arena::default(),
            pinned: Arena::default(),
            secrets: Vec::new(),
            pinned_secrets: Vec::new(),
        })
    }

    /// Device memory, with whatever an earlier job left in it.
    pub(crate) fn take(&mut self, bytes: usize, kind: Kind) -> Result<Piece, Fault> {
        self.device.enter()?;
        let device = &self.device;
        let (block, offset) = self.memory.take(bytes, |size| {
            let mut at = 0;
            device.note(driver!(sys::cuMemAlloc_v2(&mut at, size))).map(|()| at)
        })?;
        let piece = Piece { at: At(self.memory.blocks[block].0 + offset as u64), bytes };
        if kind == Kind::Secret && bytes > 0 {
            self.secrets.push(piece);
        }
        Ok(piece)
    }

    fn take_pinned(&mut self, bytes: usize, kind: Kind) -> Result<(usize, usize), Fault> {
        let device = &self.device;
        let (block, offset) = self.pinned.take(bytes, |size| {
            let mut at = std::ptr::null_mut();
            // No flags: write-combined memory, cudarc's default, is slow to read back.
            device.note(driver!(sys::cuMemHostAlloc(&mut at, size, 0))).map(|()| at as u64)
        })?;
        if kind == Kind::Secret {
            self.pinned_secrets.push((block, offset, bytes));
        }
        Ok((block, offset))
    }

    /// Sends parts, one after the other, to `piece` from `offset` on. The bytes are copied before this returns.
    pub(crate) fn send<T: Plain>(&mut self, piece: Piece, offset: usize, words: &[T], kind: Kind) -> Result<(), Fault> {
        let bytes = size_of_val(words);
        assert!(offset + bytes <= piece.bytes, "a copy stays inside its piece");
        if bytes == 0 {
            return Ok(());
        }
        self.device.enter()?;
        let (block, start) = self.take_pinned(bytes, kind)?;
        let staged = (self.pinned.blocks[block].0 as usize + start) as *mut u8;
        // SAFETY: `bytes` fresh pinned bytes start at `staged`; no copy uses them yet; `T` is plain.
        unsafe { std::ptr::copy_nonoverlapping(words.as_ptr().cast::<u8>(), staged, bytes) };
        let to = piece.at.0 + offset as u64;
        self.device.note(driver!(sys::cuMemcpyHtoDAsync_v2(to, staged as *const c_void, bytes, self.stream)))
    }

    /// Fresh memory filled with `words`.
    pub(crate) fn upload<T: Plain>(&mut self, words: &[T], kind: Kind) -> Result<Piece, Fault> {
        let piece = self.take(size_of_val(words), kind)?;
        self.send(piece, 0, words, kind)?;
        Ok(piece)
    }

    /// Runs a kernel after everything asked so far. `args` mirrors the kernel's only parameter.
    pub(crate) fn launch<A: Copy>(&mut self, launch: &Launch<'_>, args: &A) -> Result<(), Fault> {
        if launch.blocks == 0 {
            return Ok(());
        }
        let blocks = u32::try_from(launch.blocks).ok().filter(|&blocks| blocks <= i32::MAX as u32);
        let blocks = blocks.ok_or(Fault::Declined)?;
        if launch.shared_bytes > self.device.facts.shared_bytes {
            return Err(Fault::Declined);
        }
        self.device.enter()?;
        let Function(function) = launch.module.function(launch.kernel, launch.shared_bytes)?;
        let mut bytes = size_of::<A>();
        let place = std::ptr::from_ref(args).cast_mut().cast::<c_void>();
        // "Buffer pointer", "buffer size" and "end" of the driver's manual.
        let (pointer, size) = (std::ptr::without_provenance_mut(1), std::ptr::without_provenance_mut(2));
        let mut extra = [pointer, place, size, (&raw mut bytes).cast(), std::ptr::null_mut()];
        self.device.note(driver!(sys::cuLaunchKernel(
            function,
            blocks,
            1,
            1,
            launch.threads,
            1,
            1,
            launch.shared_bytes,
            self.stream,
            std::ptr::null_mut(),
            extra.as_mut_ptr(),
        )))
    }

    /// Sends a piece to the host once everything asked so far is done.
    pub(crate) fn fetch(&mut self, piece: Piece, bytes: usize, kind: Kind) -> Result<Arrival, Fault> {
        assert!(bytes <= piece.bytes, "a copy stays inside its piece");
        self.device.enter()?;
        let (block, offset) = self.take_pinned(bytes, kind)?;
        if bytes > 0 {
            let to = (self.pinned.blocks[block].0 as usize + offset) as *mut c_void;
            self.device.note(driver!(sys::cuMemcpyDtoHAsync_v2(to, piece.at.0, bytes, self.stream)))?;
        }
        Ok(Arrival { block, offset, bytes })
    }

    /// Erases the secrets in device memory and waits for everything.
    pub(crate) fn finish(&mut self) -> Result<(), Fault> {
        self.device.enter()?;
        for Piece { at, bytes } in std::mem::take(&mut self.secrets) {
            self.device.note(driver!(sys::cuMemsetD8Async(at.0, 0, bytes, self.stream)))?;
        }
        self.device.note(driver!(sys::cuStreamSynchronize(self.stream)))
    }

    /// Waits, and gives pinned memory back, but keeps device memory: for what stays there.
    pub(crate) fn settle(&mut self) -> Result<(), Fault> {
        self.finish()?;
        for (at, _) in self.pinned.blocks.drain(..) {
            let _ = driver!(sys::cuMemFreeHost(at as usize as *mut c_void));
        }
        self.pinned.used = 0;
        Ok(())
    }

    /// Copies what arrived to where it is wanted. Only after [`Lane::finish`].
    pub(crate) fn read<T: Plain>(&self, arrival: Arrival, out: &mut [T]) {
        assert!(
            self.secrets.is_empty() && size_of_val(out) == arrival.bytes,
            "an arrival is read whole, after the wait"
        );
        let from = (self.pinned.blocks[arrival.block].0 as usize + arrival.offset) as *const u8;
        // SAFETY: the stream was waited for, so the pinned bytes are there and still; `T` is plain.
        unsafe { std::ptr::copy_nonoverlapping(from, out.as_mut_ptr().cast::<u8>(), arrival.bytes) };
    }

    /// Ready for the next job: nothing is under way, and no secret is left in pinned memory.
    pub(crate) fn reset(&mut self) {
        for (block, offset, bytes) in std::mem::take(&mut self.pinned_secrets) {
            let at = (self.pinned.blocks[block].0 as usize + offset) as *mut u8;
            // SAFETY: pinned bytes of this lane, which no copy uses any more.
            let bytes = unsafe { std::slice::from_raw_parts_mut(at, bytes) };
            zeroize::Zeroize::zeroize(bytes);
        }
        for (at, _) in self.memory.reset() {
            let _ = driver!(sys::cuMemFree_v2(at));
        }
        for (at, _) in self.pinned.reset() {
            let _ = driver!(sys::cuMemFreeHost(at as usize as *mut c_void));
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // After a fault something may still be under way; a lost device has stopped, and took its memory with it.
        let _ = self.finish();
        self.reset();
        if self.device.enter().is_ok() {
            let _ = driver!(sys::cuStreamDestroy_v2(self.stream));
            for (at, _) in self.memory.blocks.drain(..) {
                let _ = driver!(sys::cuMemFree_v2(at));
            }
            for (at, _) in self.pinned.blocks.drain(..) {
                let _ = driver!(sys::cuMemFreeHost(at as usize as *mut c_void));
            }
        }
    }
}
