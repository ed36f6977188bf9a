//! `tensorguard server`.

use super::charter::Charter;
use super::outcasts::Outcasts;
use super::{LISTENING, REST, failed, now_ms, say};
use crate::failure::Failure;
use fleet_client::link::{Credentials, TlsAcceptor, acceptor};
use fleet_client::protocol::Plan;
use fleet_server::{Desk, Folder, Limits, serve};
use kernels::Backend;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

/// What the operator decides.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// The most robots of a round.
    pub planned: u64,
    /// With so many a round closes at once.
    pub quorum: u64,
    /// How long uploads are taken.
    pub open_ms: u64,
    /// Attempts at a round.
    pub attempts: u32,
    /// Rounds.
    pub rounds: u64,
    /// The most robots that may enrol.
    pub most_robots: usize,
}

/// Serves until the process ends.
///
/// # Errors
/// [`Failure`] if it cannot begin.
pub fn run(folder: &Path, listen: &str, operation: Operation, backend: Box<dyn Backend>) -> Result<(), Failure> {
    let charter = Charter::read(folder)?;
    let Operation { planned, quorum, open_ms, attempts, rounds, most_robots } = operation;
    let plan = Plan { terms: charter.terms(quorum, planned), open_ms, attempts, rounds, most_robots };
    let state = folder.join("state");
    let disk = Folder::open(&state).map_err(|error| failed(format_args!("{}: {error}", state.display())))?;
    let desk = Desk::open(Arc::new(disk), plan, backend, Box::new(now_ms)).map_err(failed)?;
    let credentials = Credentials::read(folder).map_err(failed)?;
    let outcasts = Outcasts::read(folder)?;
    let (sender, acceptors) = watch::channel(acceptor(&credentials, outcasts.list()).map_err(failed)?);
    // Requests that sync or add wait on few threads: each keeps a stack.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).max_blocking_threads(16).enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(listen).await;
        let listener = listener.map_err(|error| failed(format_args!("cannot listen on {listen}: {error}")))?;
        say(format_args!("{LISTENING}{}", listener.local_addr().map_err(failed)?));
        let desk = Arc::new(desk);
        let mut changes = desk.changes();
        let (watched, mut last) = (desk.clone(), String::new());
        let tell = async move {
            loop {
                let told = watched.told();
                if told != last {
                    say(&told);
                    last = told;
                }
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        let shut_out = shut_out(outcasts, &credentials, sender);
        tokio::join!(serve(listener, acceptors, desk, Limits::default()), tell, shut_out);
        Ok(())
    })
}

/// Looks for a newer list of revoked robots, and lets the server accept by it.
async fn shut_out(mut outcasts: Outcasts, credentials: &Credentials, sender: watch::Sender<TlsAcceptor>) {
    loop {
        tokio::time::sleep(REST).await;
        if outcasts.renew() {
            match acceptor(credentials, outcasts.list()) {
                Ok(acceptor) => drop(sender.send(acceptor)),
                Err(error) => say(format_args!("the list of revoked robots cannot be used: {error}")),
            }
        }
    }
}
