//! `tensorguard robot`.

use super::charter::Charter;
use super::{REST, failed, folders, say};
use crate::failure::Failure;
use crate::logs::SealFolder;
use fleet_client::link::{Credentials, Link, Timeouts};
use fleet_client::{Keep, Learner, Member, News, run};
use kernels::Backend;
use rand::SeedableRng;
use rand::rngs::{ChaCha20Rng, SysRng};
use std::ops::ControlFlow;
use std::path::Path;

/// Works until the process ends.
///
/// # Errors
/// [`Failure`] if it cannot work at all.
pub fn work(folder: &Path, server: &str, learner: &mut dyn Learner, backend: &dyn Backend) -> Result<(), Failure> {
    let charter = Charter::read(folder)?;
    let identity = folders::identity(folder)?;
    let mut log = SealFolder::open(&folder.join(folders::SEALS)).map_err(failed)?;
    let mut rng = ChaCha20Rng::try_from_rng(&mut SysRng).map_err(failed)?;
    let mut member = Member {
        pins: charter.pins(),
        holder: folders::holder_public(folder)?,
        identity: &identity,
        log: &mut log,
        keep: Keep::new(folder),
        backend,
        rng: &mut rng,
        rest: REST,
    };
    let credentials = Credentials::read(folder).map_err(failed)?;
    let mut link = Link::new(server, &credentials, Timeouts::default()).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let mut last = String::new();
    let mut watch = |news: News| {
        let line = match news {
            News::Idle => return ControlFlow::Continue(()),
            News::Done(timing) => format!("{:?} took {:.1} ms", timing.stage, timing.took.as_secs_f64() * 1e3),
            News::Uploaded { bytes } => format!("uploaded {bytes} bytes"),
            News::Applied(package, health) => format!("package {}: {health:?}", package.short()),
            News::Note(note) => note,
        };
        // A server that is away is away for long: said once.
        if line != last {
            say(&line);
        }
        last = line;
        ControlFlow::Continue(())
    };
    runtime.block_on(run(&mut member, &mut link, learner, &mut watch)).map_err(failed)
}
