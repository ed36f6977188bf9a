//! Lanes: a stream with device and pinned memory of its own, copies, launches, and the time between two moments.
//!
//! Who promises what to whom: this file promises the rest of the crate that a copy stays inside both of its pieces of
//! memory, and that pinned memory is neither read, written nor freed while a copy is under way (every way out of a
//! [`Lane`] waits for its stream first). The kernels promise to touch only the memory that their arguments name. The
//! driver promises what its manual says of each call.
#![allow(unsafe_code)]

use crate::arena::{Allocation, Arena, Kind};
use crate::calls;
use crate::driver::{Device, Function, Module, driver};
use crate::facts::Memory;
use cudarc::driver::sys;
use kernels::Fault;
use std::ffi::c_void;
use std::sync::Arc;

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

/// The bytes of such numbers.
pub(crate) fn bytes<T: Plain>(words: &[T]) -> &[u8] {
    // SAFETY: as long as the words, and `T` is plain.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast::<u8>(), size_of_val(words)) }
}

/// Device memory inside a lane. Valid until the lane is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct At(u64);

impl At {
    /// No memory: for what a kernel then does not look at.
    pub(crate) const NONE: Self = Self(0);
}

/// A piece of memory in use that kernels reach: the device's, or pinned memory, which has the same address on both sides
/// (unified addressing, which every 64-bit driver has).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) at: At,
    bytes: usize,
}

impl Piece {
    pub(crate) fn len(self) -> usize {
        self.bytes
    }

    /// What lies from `bytes` on.
    pub(crate) fn after(self, bytes: usize) -> Self {
        assert!(bytes <= self.bytes, "a part lies in its piece");
        Self { at: At(self.at.0 + bytes as u64), bytes: self.bytes - bytes }
    }
}

/// An output on its way to the host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    block: usize,
    offset: usize,
    bytes: usize,
    number: u64,
}

/// A stream with its own device and pinned memory: what one job at a time uses.
#[derive(Debug)]
pub(crate) struct Lane {
    device: Arc<Device>,
    stream: sys::CUstream,
    memory: Arena,
    pinned: Arena,
    secrets: Vec<Piece>,
    /// Outputs asked for so far, and those of them that have been waited for.
    fetched: u64,
    arrived: u64,
    /// Pinned bytes that held a secret: block, offset, length.
    pinned_secrets: Vec<(usize, usize, usize)>,
}

// SAFETY: as for `Device`; a lane is used by one thread at a time, as its methods take `&mut self`.
unsafe impl Send for Lane {}

impl Lane {
    pub(crate) fn new(device: &Arc<Device>, allocation: Allocation) -> Result<Self, Fault> {
        device.enter()?;
        let mut stream = std::ptr::null_mut();
        let flags = sys::CUstream_flags::CU_STREAM_NON_BLOCKING as u32;
        device.note(driver!(calls::cuStreamCreate(&mut stream, flags)))?;
        Ok(Self {
            device: Arc::clone(device),
            stream,
            memory: Arena { allocation, ..Arena::default() },
            pinned: Arena::default(),
            secrets: Vec::new(),
            fetched: 0,
            arrived: 0,
            pinned_secrets: Vec::new(),
        })
    }

    /// Device memory, with whatever an earlier job left in it.
    pub(crate) fn take(&mut self, bytes: usize, kind: Kind) -> Result<Piece, Fault> {
        self.device.enter()?;
        let device = &self.device;
        let (block, offset) = self.memory.take(bytes, |size| {
            let mut at = 0;
            device.note(driver!(calls::cuMemAlloc_v2(&mut at, size))).map(|()| at)
        })?;
        let piece = Piece { at: At(self.memory.blocks[block].0 + offset as u64), bytes };
        if kind == Kind::Secret && bytes > 0 {
            self.secrets.push(piece);
        }
        Ok(piece)
    }

    /// Block and offset of pinned bytes.
    fn take_pinned(&mut self, bytes: usize, kind: Kind) -> Result<(usize, usize), Fault> {
        self.device.enter()?;
        let device = &self.device;
        let (block, offset) = self.pinned.take(bytes, |size| {
            let mut at = std::ptr::null_mut();
            // No flags: write-combined memory, cudarc's default, is slow to read back.
            device.note(driver!(calls::cuMemHostAlloc(&mut at, size, 0))).map(|()| at as u64)
        })?;
        if kind == Kind::Secret {
            self.pinned_secrets.push((block, offset, bytes));
        }
        Ok((block, offset))
    }

    /// Pinned bytes that `fill` writes: where they begin.
    fn stage(&mut self, bytes: usize, kind: Kind, fill: impl FnOnce(&mut [u8])) -> Result<usize, Fault> {
        let (block, offset) = self.take_pinned(bytes, kind)?;
        let at = self.pinned.blocks[block].0 as usize + offset;
        // SAFETY: `bytes` fresh pinned bytes start there, and neither a copy nor a kernel uses them yet.
        fill(unsafe { std::slice::from_raw_parts_mut(at as *mut u8, bytes) });
        Ok(at)
    }

    /// Sends what `fill` writes to a whole piece of device memory: one copy, of however many parts. `fill` is done when this returns.
    pub(crate) fn send(&mut self, piece: Piece, kind: Kind, fill: impl FnOnce(&mut [u8])) -> Result<(), Fault> {
        if piece.bytes == 0 {
            return Ok(());
        }
        let staged = self.stage(piece.bytes, kind, fill)?;
        let copied =
            driver!(calls::cuMemcpyHtoDAsync_v2(piece.at.0, staged as *const c_void, piece.bytes, self.stream));
        self.device.note(copied)
    }

    /// Fresh device memory filled with `words`.
    pub(crate) fn upload<T: Plain>(&mut self, words: &[T], kind: Kind) -> Result<Piece, Fault> {
        let piece = self.take(size_of_val(words), kind)?;
        self.send(piece, kind, |to| to.copy_from_slice(bytes(words)))?;
        Ok(piece)
    }

    /// What a kernel reads once, written by `fill`. Where host and device share their memory, it is not copied a second time.
    pub(crate) fn input_from(
        &mut self,
        bytes: usize,
        kind: Kind,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<Piece, Fault> {
        if self.device.facts.memory == Memory::Shared {
            let at = At(self.stage(bytes, kind, fill)? as u64);
            return Ok(Piece { at, bytes });
        }
        let piece = self.take(bytes, kind)?;
        self.send(piece, kind, fill)?;
        Ok(piece)
    }

    /// The same for words that lie together.
    pub(crate) fn input<T: Plain>(&mut self, words: &[T], kind: Kind) -> Result<Piece, Fault> {
        self.input_from(size_of_val(words), kind, |to| to.copy_from_slice(bytes(words)))
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
        self.device.note(driver!(calls::cuLaunchKernel(
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
        let (block, offset) = self.take_pinned(bytes, kind)?;
        if bytes > 0 {
            let to = (self.pinned.blocks[block].0 as usize + offset) as *mut c_void;
            self.device.note(driver!(calls::cuMemcpyDtoHAsync_v2(to, piece.at.0, bytes, self.stream)))?;
        }
        self.fetched += 1;
        Ok(Arrival { block, offset, bytes, number: self.fetched - 1 })
    }

    /// Copies the beginning of one piece to another.
    pub(crate) fn copy(&mut self, from: Piece, to: Piece, bytes: usize) -> Result<(), Fault> {
        assert!(bytes <= from.bytes.min(to.bytes), "a copy stays inside its pieces");
        self.device.enter()?;
        self.device.note(driver!(calls::cuMemcpyDtoDAsync_v2(to.at.0, from.at.0, bytes, self.stream)))
    }

    /// Waits for everything asked so far.
    pub(crate) fn wait(&mut self) -> Result<(), Fault> {
        self.device.enter()?;
        self.device.note(driver!(calls::cuStreamSynchronize(self.stream)))?;
        self.arrived = self.fetched;
        Ok(())
    }

    /// Erases the secrets in device memory and waits for everything, also where something cannot be erased.
    pub(crate) fn finish(&mut self) -> Result<(), Fault> {
        self.device.enter()?;
        let mut erased = Ok(());
        for Piece { at, bytes } in std::mem::take(&mut self.secrets) {
            let done = self.device.note(driver!(calls::cuMemsetD8Async(at.0, 0, bytes, self.stream)));
            erased = erased.and(done);
        }
        let waited = self.wait();
        erased.and(waited)
    }

    /// Waits, and gives pinned memory back, but keeps device memory: for what stays there.
    pub(crate) fn settle(&mut self) -> Result<(), Fault> {
        self.finish()?;
        for (at, _) in self.pinned.blocks.drain(..) {
            let _ = driver!(calls::cuMemFreeHost(at as usize as *mut c_void));
        }
        self.pinned.used = 0;
        Ok(())
    }

    /// Copies what arrived to where it is wanted. Only after a wait.
    pub(crate) fn read<T: Plain>(&self, arrival: Arrival, out: &mut [T]) {
        let is_here = arrival.number < self.arrived && size_of_val(out) == arrival.bytes;
        assert!(is_here, "an arrival is read whole, after a wait");
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
            let _ = driver!(calls::cuMemFree_v2(at));
        }
        for (at, _) in self.pinned.reset() {
            let _ = driver!(calls::cuMemFreeHost(at as usize as *mut c_void));
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // After a fault something may still be under way; a lost device has stopped, and took its memory with it.
        let _ = self.finish();
        self.reset();
        if self.device.enter().is_ok() {
            let _ = driver!(calls::cuStreamDestroy_v2(self.stream));
            for (at, _) in self.memory.blocks.drain(..) {
                let _ = driver!(calls::cuMemFree_v2(at));
            }
            for (at, _) in self.pinned.blocks.drain(..) {
                let _ = driver!(calls::cuMemFreeHost(at as usize as *mut c_void));
            }
        }
    }
}

/// A moment in a lane's work, by the device's clock.
#[derive(Debug)]
pub(crate) struct Mark {
    device: Arc<Device>,
    event: sys::CUevent,
}

impl Mark {
    /// When everything asked so far is done.
    pub(crate) fn now(lane: &mut Lane) -> Result<Self, Fault> {
        lane.device.enter()?;
        let mut event = std::ptr::null_mut();
        lane.device.note(driver!(calls::cuEventCreate(&mut event, 0)))?;
        let mark = Self { device: Arc::clone(&lane.device), event };
        mark.device.note(driver!(calls::cuEventRecord(event, lane.stream)))?;
        Ok(mark)
    }

    /// Waits for this moment; the time since an earlier one.
    pub(crate) fn since_ns(&self, earlier: &Self) -> Result<u64, Fault> {
        self.device.enter()?;
        let mut ms = 0.0;
        self.device.note(driver!(calls::cuEventSynchronize(self.event)))?;
        self.device.note(driver!(calls::cuEventElapsedTime(&mut ms, earlier.event, self.event)))?;
        Ok((f64::from(ms) * 1e6) as u64)
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        if self.device.enter().is_ok() {
            let _ = driver!(calls::cuEventDestroy_v2(self.event));
        }
    }
}
