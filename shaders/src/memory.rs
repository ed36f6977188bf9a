//! Device memory: buffers kept for the next job, by size. What a job leaves in them is cleared by the job.

use crate::device::Device;
use kernels::Fault;
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

/// Buffers nobody uses.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    free: Mutex<Vec<(Use, Buffer)>>,
}

impl Memory {
    /// A buffer of at least `bytes`, from an earlier job or new. What it holds is unknown.
    pub(crate) fn take(&self, device: &Device, kind: Use, bytes: u64) -> Result<Buffer, Fault> {
        let size = bytes.max(LEAST_BYTES).next_power_of_two();
        {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(at) = free.iter().position(|(of, buffer)| *of == kind && buffer.size() == size) {
                return Ok(free.swap_remove(at).1);
            }
        }
        let descriptor =
            wgpu::BufferDescriptor { label: None, size, usage: kind.usages(), mapped_at_creation: kind == Use::Upload };
        let make = || device.guarded(|device| device.create_buffer(&descriptor));
        make().or_else(|fault| match fault {
            Fault::OutOfMemory => {
                // What is kept for later jobs may be what is missing.
                self.release();
                make()
            }
            other => Err(other),
        })
    }

    /// Keeps a buffer for later, an upload buffer mapped.
    pub(crate) fn keep(&self, kind: Use, buffer: Buffer) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let kept: u64 = free.iter().map(|(_, buffer)| buffer.size()).sum();
        if kept + buffer.size() <= KEPT_BYTES {
            free.push((kind, buffer));
        }
    }

    fn release(&self) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
