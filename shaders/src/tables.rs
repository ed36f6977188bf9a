//! Tables that many jobs share, on the device: roots of unity. Public.

use crate::device::Device;
use kernels::Fault;
use ntt::Plan;
use std::sync::{Mutex, PoisonError};
use wgpu::{Buffer, BufferUsages};

/// Rings whose tables are kept. A deployment uses one or two.
const KEPT: usize = 16;

/// Plans' tables by their primes and length.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    made: Mutex<Vec<(Vec<Plan>, Buffer)>>,
}

impl Tables {
    /// `[limb][forward, inverse][n]` pairs of a power and its quotient.
    pub(crate) fn roots(&self, device: &Device, plans: &[Plan]) -> Result<Buffer, Fault> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, buffer)) = made.iter().find(|(of, _)| same(of, plans)) {
            return Ok(buffer.clone());
        }
        let mut words = Vec::new();
        for plan in plans {
            for (factors, quotients) in [plan.forward_table(), plan.inverse_table()] {
                words.extend(factors.iter().zip(quotients).flat_map(|(&factor, &quotient)| [factor, quotient]));
            }
        }
        let descriptor = wgpu::BufferDescriptor {
            label: Some("roots"),
            size: 4 * words.len() as u64,
            usage: BufferUsages::STORAGE | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        };
        let queue = &device.queue;
        let buffer = device.guarded(|device| {
            let buffer = device.create_buffer(&descriptor);
            queue.write_buffer(&buffer, 0, bytemuck::cast_slice(&words));
            buffer
        })?;
        if made.len() == KEPT {
            made.remove(0);
        }
        made.push((plans.to_vec(), buffer.clone()));
        Ok(buffer)
    }
}

/// Plans of one length and prime are equal; comparing their tables would take as long as making them.
fn same(a: &[Plan], b: &[Plan]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.n() == b.n() && a.modulus() == b.modulus())
}
