//! Device memory: buffers kept for the next job, by size. What a job leaves in them is cleared by the job.

use crate::Core;
use crate::device::Device;
use crate::trip::wait;
use kernels::Fault;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use wgpu::{Buffer, BufferUsages};

/// Bytes of unused buffers that are kept for later jobs.
const KEPT_BYTES: u64 = 1 << 30;
/// The smallest buffer: no job needs fewer, and fewer sizes are found again more often.
const LEAST_BYTES: u64 = 1 << 10;

/// What a buffer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Kernels read and write it.
    Device,
    /// The processor writes it. Kept mapped.
    Upload,
    /// The processor reads it.
    Readback,
}

impl Use {
    fn usages(self) -> BufferUsages {
        match self {
            Self::Device => {
                BufferUsages::STORAGE | BufferUsages::UNIFORM | BufferUsages::COPY_SRC | BufferUsages::COPY_DST
            }
            Self::Upload => BufferUsages::MAP_WRITE | BufferUsages::COPY_SRC,
            Self::Readback => BufferUsages::MAP_READ | BufferUsages::COPY_DST,
        }
    }
}

impl Core {
    /// Words that are not zero in kept buffers.
    pub(crate) fn leftovers(&self) -> Result<usize, Fault> {
        let (device, kept) = (&self.device, self.memory.free.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let mut count = 0;
        for (kind, buffer) in kept {
            count += match kind {
                // Mapped as it is.
                Use::Upload => words_in(device, &buffer)?,
                Use::Readback => mapped_words(self, &buffer)?,
                Use::Device => {
                    let copy = self.memory.take(device, Use::Readback, buffer.size())?;
                    let mut encoder = device.device.create_command_encoder(&Default::default());
                    encoder.copy_buffer_to_buffer(&buffer, 0, &copy, 0, buffer.size());
                    wait(self, encoder)?;
                    let words = mapped_words(self, &copy)?;
                    self.memory.gone(copy.size());
                    words
                }
            };
        }
        Ok(count)
    }
}

fn mapped_words(core: &Core, buffer: &Buffer) -> Result<usize, Fault> {
    buffer.map_async(wgpu::MapMode::Read, .., |_| {});
    wait(core, core.device.device.create_command_encoder(&Default::default()))?;
    let words = words_in(&core.device, buffer)?;
    buffer.unmap();
    Ok(words)
}

fn words_in(device: &Device, buffer: &Buffer) -> Result<usize, Fault> {
    let view = buffer.get_mapped_range(..).map_err(|error| device.give_up(&error.to_string()))?;
    Ok(view.as_chunks::<4>().0.iter().filter(|word| **word != [0; 4]).count())
}

/// Buffers nobody uses, and how much there is in all.
#[derive(Debug)]
pub(crate) struct Memory {
    free: Mutex<Vec<(Use, Buffer)>>,
    /// Bytes of all buffers that exist, used or kept.
    held: AtomicU64,
    /// The most there may be.
    limit: u64,
}

impl Memory {
    pub(crate) fn new(limit: u64) -> Self {
        Self { free: Mutex::default(), held: AtomicU64::new(0), limit }
    }

    /// A buffer of at least `bytes`, from an earlier job or new. What it holds is unknown.
    pub(crate) fn take(&self, device: &Device, kind: Use, bytes: u64) -> Result<Buffer, Fault> {
        let size = bytes.max(LEAST_BYTES).checked_next_power_of_two().ok_or(Fault::OutOfMemory)?;
        {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(at) = free.iter().position(|(of, buffer)| *of == kind && buffer.size() == size) {
                return Ok(free.swap_remove(at).1);
            }
        }
        self.make(device, kind, size).or_else(|fault| match fault {
            Fault::OutOfMemory => {
                // What is kept for later jobs may be what is missing.
                self.release();
                self.make(device, kind, size)
            }
            other => Err(other),
        })
    }

    fn make(&self, device: &Device, kind: Use, size: u64) -> Result<Buffer, Fault> {
        let descriptor =
            wgpu::BufferDescriptor { label: None, size, usage: kind.usages(), mapped_at_creation: kind == Use::Upload };
        let made = if self.held.fetch_add(size, Ordering::Relaxed).saturating_add(size) > self.limit {
            Err(Fault::OutOfMemory)
        } else {
            device.guarded(|device| device.create_buffer(&descriptor))
        };
        made.inspect_err(|_| self.gone(size))
    }

    /// So many bytes exist no longer.
    pub(crate) fn gone(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Keeps a buffer for later, an upload buffer mapped.
    pub(crate) fn keep(&self, kind: Use, buffer: Buffer) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let kept: u64 = free.iter().map(|(_, buffer)| buffer.size()).sum();
        if kept + buffer.size() <= KEPT_BYTES {
            free.push((kind, buffer));
        } else {
            self.gone(buffer.size());
        }
    }

    fn release(&self) {
        for (_, buffer) in self.free.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            self.gone(buffer.size());
        }
    }
}
