//! The sum of a round, from uploads in files. It follows the set: what is new is added, and where somebody was left out it
//! begins again.

use crate::disk::{Disk, UPLOADS};
use kernels::Backend;
use protocol::folding::lwe::{Ciphertext, Sum};
use protocol::{Attempted, Id, Summing};
use std::collections::BTreeSet;
use std::io::Read;

/// Uploads added in one sweep over the accumulator, and so the most that are in memory.
const AT_ONCE: usize = 4;

#[derive(Default)]
pub(crate) struct Adding {
    so_far: Option<(Attempted, Sum, BTreeSet<Id>)>,
}

impl Adding {
    /// Brings the sum up to the set.
    pub(crate) fn follow(&mut self, set: &Summing, disk: &dyn Disk, backend: &dyn Backend) -> Result<&Sum, String> {
        let wanted: BTreeSet<Id> = set.members.iter().map(|(robot, ..)| *robot).collect();
        let (mut sum, mut members) = match self.so_far.take() {
            Some((attempted, sum, members)) if attempted == set.attempted && members.is_subset(&wanted) => {
                (sum, members)
            }
            _ => (set.round.sum(), BTreeSet::new()),
        };
        let missing: Vec<_> = set.members.iter().filter(|(robot, ..)| !members.contains(robot)).collect();
        for group in missing.chunks(AT_ONCE) {
            let uploads: Result<Vec<_>, _> = group.iter().map(|(_, root, head)| read(set, *root, head, disk)).collect();
            let uploads = uploads?;
            let views: Result<Vec<_>, _> =
                uploads.iter().map(|upload| Ciphertext::read(set.round.agreement(), upload)).collect();
            let views = views.map_err(|error| format!("a stored upload is {error}"))?;
            sum.add(&views, backend).map_err(|error| error.to_string())?;
            members.extend(group.iter().map(|(robot, ..)| *robot));
        }
        Ok(&self.so_far.insert((set.attempted, sum, members)).1)
    }

    /// Frees the accumulator.
    pub(crate) fn forget(&mut self) {
        self.so_far = None;
    }
}

/// An upload as its robot made it. The length is the round's, whatever the file has.
pub(crate) fn read(set: &Summing, root: Id, head: &[u8], disk: &dyn Disk) -> Result<Vec<u8>, String> {
    let len = set.round.agreement().upload_len();
    let mut bytes = Vec::with_capacity(len + 1);
    bytes.extend_from_slice(head);
    let file = disk.read(&format!("{UPLOADS}/{root}")).map_err(|error| format!("upload {root}: {error}"))?;
    let file = file.ok_or_else(|| format!("upload {root} is gone from the folder {UPLOADS}"))?;
    file.take((len + 1) as u64).read_to_end(&mut bytes).map_err(|error| format!("upload {root}: {error}"))?;
    Ok(bytes)
}
