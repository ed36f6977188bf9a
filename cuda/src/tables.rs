//! What stays in device memory from job to job: the roots of each transform. Public numbers.

use crate::arena::{Allocation, Kind};
use crate::driver::Device;
use crate::launch::{At, Lane};
use crate::size::roots;
use kernels::{Direction, Fault};
use ntt::Plan;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Tables by prime, length and direction. A round has one or two primes, so there are few.
#[derive(Debug)]
pub(crate) struct Tables {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    lane: Lane,
    known: HashMap<(u32, usize, Direction), At>,
}

impl Tables {
    pub(crate) fn new(device: &Arc<Device>) -> Result<Self, Fault> {
        Ok(Self { inner: Mutex::new(Inner { lane: Lane::new(device, Allocation::Pooled)?, known: HashMap::new() }) })
    }

    /// Where the roots of `plan` lie, sent there on first use.
    pub(crate) fn roots(&self, plan: &Plan, direction: Direction) -> Result<At, Fault> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { lane, known } = &mut *inner;
        let key = (plan.modulus().value(), plan.n(), direction);
        if let Some(at) = known.get(&key) {
            return Ok(*at);
        }
        let (factors, quotients) = match direction {
            Direction::Forward => plan.forward_table(),
            Direction::Inverse => plan.inverse_table(),
        };
        let piece = lane.upload(&roots(factors, quotients), Kind::Public)?;
        lane.settle()?;
        known.insert(key, piece.at);
        Ok(piece.at)
    }
}
