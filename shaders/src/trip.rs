//! One round trip to the device: upload, kernels, download, in one submission; then everything secret is cleared.

use crate::Core;
use crate::memory::Use;
use crate::numbers::Numbers;
use crate::pipeline::Kernel;
use core::time::Duration;
use kernels::Fault;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use wgpu::{Buffer, BufferUsages, BufferViewMut, CommandEncoder, MapMode};

/// A device that needs longer for one piece of work no longer answers.
const PATIENCE: Duration = Duration::from_secs(300);
/// Uploaded parts begin at a multiple of this: what copies and mappings ask for.
const ALIGNMENT: u64 = wgpu::MAP_ALIGNMENT;

/// How often a trip may upload numbers: for its secret and for its batch.
const NUMBERS: u64 = 2;

/// What becomes of a trip's buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Privacy {
    /// Nothing in them is secret.
    Public,
    /// All are overwritten with zeros, on the device and in the memory shared with it.
    Secret,
}

/// Kernels of a trip that can be timed: more than any job records.
const TIMED: u32 = 16;

/// Time stamps around each kernel of a trip.
struct Stamps {
    queries: wgpu::QuerySet,
    resolved: Buffer,
    kernels: u32,
}

impl Stamps {
    fn new(device: &wgpu::Device) -> Self {
        let queries = device.create_query_set(&wgpu::QuerySetDescriptor {
            label: None,
            ty: wgpu::QueryType::Timestamp,
            count: 2 * TIMED,
        });
        let resolved = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: u64::from(2 * TIMED * wgpu::QUERY_SIZE),
            usage: BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        Self { queries, resolved, kernels: 0 }
    }

    /// Where the next kernel's begin and end are written; `None` past the last place.
    fn next(&mut self) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        let index = self.kernels;
        self.kernels = (index + 1).min(TIMED);
        (index < TIMED).then_some(wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(2 * index),
            end_of_pass_write_index: Some(2 * index + 1),
        })
    }

    /// Words of the time stamps: pairs of two.
    fn words(&self) -> usize {
        4 * self.kernels as usize
    }
}

/// The ticks of all kernels together.
fn ticks(stamps: &[u8]) -> u64 {
    let pairs = stamps.as_chunks::<8>().0.as_chunks::<2>().0.iter();
    pairs.map(|&[begin, end]| u64::from_le_bytes(end).saturating_sub(u64::from_le_bytes(begin))).sum()
}

/// A trip that is being packed. Dropped unfinished, it leaves nothing on the device.
pub(crate) struct Trip<'a> {
    core: &'a Core,
    privacy: Privacy,
    encoder: CommandEncoder,
    upload: Buffer,
    view: Option<BufferViewMut>,
    filled: u64,
    taken: Vec<(Buffer, u64)>,
    stamps: Option<Stamps>,
}

/// Sends off what was recorded, and waits until it is done.
pub(crate) fn wait(core: &Core, encoder: CommandEncoder) -> Result<(), Fault> {
    let submission = core.device.queue.submit([encoder.finish()]);
    let waiting = wgpu::PollType::Wait { submission_index: Some(submission), timeout: Some(PATIENCE) };
    core.device.device.poll(waiting).map_err(|error| core.device.give_up(&error.to_string()))?;
    core.device.healthy()
}

/// Bytes of an upload of so many words, as far as `Trip::new` must know.
pub(crate) fn staged(words: usize) -> u64 {
    (4 * words as u64).next_multiple_of(ALIGNMENT)
}

impl<'a> Trip<'a> {
    /// `bytes` is the sum of [`staged`] over everything that will be uploaded besides numbers.
    pub(crate) fn new(core: &'a Core, privacy: Privacy, bytes: u64) -> Result<Self, Fault> {
        core.device.healthy()?;
        let numbers = NUMBERS * staged(Numbers::new().words().len());
        let upload = core.memory.take(&core.device, Use::Upload, bytes + numbers)?;
        let view = upload.get_mapped_range_mut(..).map_err(|error| core.device.give_up(&error.to_string()))?;
        let encoder = core.device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
        let stamps = core.kernel_ticks.is_some().then(|| Stamps::new(&core.device.device));
        Ok(Self { core, privacy, encoder, upload, view: Some(view), filled: 0, taken: Vec::new(), stamps })
    }

    /// Device memory for so many words, holding anything.
    pub(crate) fn scratch(&mut self, words: usize) -> Result<Buffer, Fault> {
        let bytes = 4 * words.max(1) as u64;
        let buffer = self.core.memory.take(&self.core.device, Use::Device, bytes)?;
        self.taken.push((buffer.clone(), bytes));
        Ok(buffer)
    }

    /// Device memory for so many words, all zero.
    pub(crate) fn zeros(&mut self, words: usize) -> Result<Buffer, Fault> {
        let buffer = self.scratch(words)?;
        self.encoder.clear_buffer(&buffer, 0, Some(4 * words.max(1) as u64));
        Ok(buffer)
    }

    /// Words on the device.
    pub(crate) fn upload(&mut self, words: &[u32]) -> Result<Buffer, Fault> {
        self.upload_rows(core::iter::once(bytemuck::cast_slice(words)), words.len())
    }

    /// Rows of bytes on the device, each in `row_words` words. What is beyond a row's end holds anything.
    pub(crate) fn upload_rows<'r>(
        &mut self,
        rows: impl ExactSizeIterator<Item = &'r [u8]>,
        row_words: usize,
    ) -> Result<Buffer, Fault> {
        let words = rows.len() * row_words;
        let buffer = self.scratch(words)?;
        let (start, stride) = (self.filled as usize, 4 * row_words);
        if let Some(view) = &mut self.view {
            for (index, row) in rows.enumerate() {
                view.slice(start + index * stride..start + index * stride + row.len()).copy_from_slice(row);
            }
        }
        if words > 0 {
            self.encoder.copy_buffer_to_buffer(&self.upload, self.filled, &buffer, 0, 4 * words as u64);
        }
        self.filled += staged(words);
        Ok(buffer)
    }

    /// Records a kernel over the buffers, in the order of its bindings.
    pub(crate) fn run(&mut self, kernel: Kernel, buffers: &[&Buffer], groups: usize) -> Result<(), Fault> {
        let pipeline = self.core.pipelines.get(&self.core.device, kernel)?;
        let timestamp_writes = self.stamps.as_mut().and_then(Stamps::next);
        let mut pass = self.encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes });
        pipeline.record(&self.core.device.device, &mut pass, buffers, groups);
        Ok(())
    }

    /// Sends everything off, waits, and hands over the words of each wanted buffer.
    pub(crate) fn finish(mut self, wanted: &[(&Buffer, usize)], mut take: impl FnMut(&[&[u8]])) -> Result<(), Fault> {
        let (device, memory) = (&self.core.device, &self.core.memory);
        let mut wanted = wanted.to_vec();
        let stamps = self.stamps.take();
        if let Some(stamps) = &stamps {
            self.encoder.resolve_query_set(&stamps.queries, 0..2 * stamps.kernels, &stamps.resolved, 0);
            wanted.push((&stamps.resolved, stamps.words()));
        }
        let sizes: Vec<u64> = wanted.iter().map(|(_, words)| staged(*words)).collect();
        let readback = memory.take(device, Use::Readback, sizes.iter().sum())?;
        let mut at = 0;
        for ((buffer, words), size) in wanted.iter().zip(&sizes) {
            self.encoder.copy_buffer_to_buffer(buffer, 0, &readback, at, 4 * *words as u64);
            at += size;
        }
        if self.privacy == Privacy::Secret {
            for (buffer, bytes) in &self.taken {
                self.encoder.clear_buffer(buffer, 0, Some(*bytes));
            }
        }
        drop(self.view.take());
        self.upload.unmap();
        let empty = device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
        let submission = device.queue.submit([core::mem::replace(&mut self.encoder, empty).finish()]);
        let (sender, mapped) = mpsc::channel();
        let also = sender.clone();
        readback.map_async(MapMode::Read, .., move |result| sender.send(result.is_ok()).unwrap_or_default());
        self.upload.map_async(MapMode::Write, .., move |result| also.send(result.is_ok()).unwrap_or_default());
        let waiting = wgpu::PollType::Wait { submission_index: Some(submission), timeout: Some(PATIENCE) };
        device.device.poll(waiting).map_err(|error| device.give_up(&error.to_string()))?;
        // Another thread's poll may have found these mapped, and be about to say so.
        let mapped = || mapped.recv_timeout(PATIENCE).unwrap_or(false);
        if !(mapped() && mapped()) {
            return Err(device.give_up("a buffer could not be mapped"));
        }
        device.healthy()?;
        self.hand_over(&readback, &wanted, &sizes, &mut take)?;
        self.put_away(readback, at);
        Ok(())
    }

    fn hand_over(
        &self,
        readback: &Buffer,
        wanted: &[(&Buffer, usize)],
        sizes: &[u64],
        take: &mut impl FnMut(&[&[u8]]),
    ) -> Result<(), Fault> {
        let view = readback.get_mapped_range(..).map_err(|error| self.core.device.give_up(&error.to_string()))?;
        let mut rest: &[u8] = &view;
        let mut parts = Vec::with_capacity(wanted.len());
        for ((_, words), &size) in wanted.iter().zip(sizes) {
            let (part, after) = rest.split_at(size as usize);
            parts.push(&part[..4 * words]);
            rest = after;
        }
        if let Some(total) = &self.core.kernel_ticks {
            total.fetch_add(parts.pop().map_or(0, ticks), Ordering::Relaxed);
        }
        take(&parts);
        Ok(())
    }

    /// Clears what the processor shares with the device, and keeps the buffers.
    fn put_away(&mut self, readback: Buffer, read: u64) {
        let (device, memory) = (&self.core.device, &self.core.memory);
        readback.unmap();
        if self.privacy == Privacy::Secret {
            let mut encoder = device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
            encoder.clear_buffer(&readback, 0, Some(read.max(ALIGNMENT)));
            device.queue.submit([encoder.finish()]);
            match self.upload.get_mapped_range_mut(..) {
                Ok(mut view) => view.slice(..self.filled as usize).fill(0),
                // This job is done. The next one finds the device broken.
                Err(error) => {
                    device.give_up(&error.to_string());
                }
            }
        }
        memory.keep(Use::Readback, readback);
        memory.keep(Use::Upload, self.upload.clone());
        for (buffer, _) in self.taken.drain(..) {
            memory.keep(Use::Device, buffer);
        }
    }
}

impl Drop for Trip<'_> {
    fn drop(&mut self) {
        if let Some(mut view) = self.view.take() {
            // Never sent: what was packed is erased, and the buffer stays mapped for the next job.
            view.slice(..self.filled as usize).fill(0);
            drop(view);
            self.core.memory.keep(Use::Upload, self.upload.clone());
            // Nothing was recorded that ran, so these hold nothing of this job.
            for (buffer, _) in self.taken.drain(..) {
                self.core.memory.keep(Use::Device, buffer);
            }
        } else if !self.taken.is_empty() {
            // Sent, and failed: nobody knows what these hold, so they are given up.
            let bytes = self.taken.iter().map(|(buffer, _)| buffer.size()).sum::<u64>() + self.upload.size();
            self.core.memory.gone(bytes);
        }
    }
}
