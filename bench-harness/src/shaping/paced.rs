//! A link in user space: what comes in at one end goes out at the other when a link of this rate and delay would have carried it.
//! Each connection is a robot's own link, either way with a rate of its own.

use crate::failure::Failure;
use crate::matrix::grid::Link;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Read at a time: twelve frames of Ethernet.
const PIECE_LEN: usize = 16 << 10;
/// Pieces on their way.
const PIECES: usize = 1024;
/// What waits for the link to be free: a sender that is further ahead is not read.
const BACKLOG: Duration = Duration::from_millis(20);

/// A way to one server. It ends when dropped.
#[derive(Debug)]
pub struct Pacer {
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Drop for Pacer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn failed(error: io::Error) -> Failure {
    Failure::Internal(format!("a paced link on the loopback: {error}"))
}

impl Pacer {
    /// Listens on a free port of the loopback, for connections that go on to `server`.
    ///
    /// # Errors
    /// [`Failure::Internal`] where there is no socket or thread.
    pub fn open(link: Link, server: SocketAddr) -> Result<Self, Failure> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(failed)?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        runtime.spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                // A server that is away: the robot sees its connection end, as it would without the pacer.
                tokio::spawn(async move { carry(link, near, server).await.ok() });
            }
        });
        Ok(Self { address, runtime: Some(runtime) })
    }

    /// What to connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn carry(link: Link, near: TcpStream, server: SocketAddr) -> io::Result<()> {
    let far = TcpStream::connect(server).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    tokio::spawn(direction(link, far_in, near_out));
    direction(link, near_in, far_out).await;
    Ok(())
}

/// One direction of a connection, until its sender ends.
async fn direction(link: Link, from: OwnedReadHalf, to: OwnedWriteHalf) {
    let (sent, arriving) = mpsc::channel(PIECES);
    tokio::join!(take(link, from, sent), give(to, arriving));
}

/// When each piece arrives: it waits until the link is free, occupies it for bytes * 8 / rate, and travels for half a round trip.
async fn take(link: Link, mut from: OwnedReadHalf, sent: mpsc::Sender<(Instant, Vec<u8>)>) {
    let travel = Duration::from_micros(500 * u64::from(link.rtt_ms));
    let mut free = Instant::now();
    let mut piece = vec![0; PIECE_LEN];
    while let Ok(len @ 1..) = from.read(&mut piece).await {
        let bits = len as f64 * 8.0;
        free = free.max(Instant::now()) + Duration::from_secs_f64(bits / (f64::from(link.mbit_per_s) * 1e6));
        if sent.send((free + travel, piece[..len].to_vec())).await.is_err() {
            return;
        }
        sleep_until(free - BACKLOG).await;
    }
}

async fn give(mut to: OwnedWriteHalf, mut arriving: mpsc::Receiver<(Instant, Vec<u8>)>) {
    while let Some((at, piece)) = arriving.recv().await {
        sleep_until(at).await;
        if to.write_all(&piece).await.is_err() {
            return;
        }
    }
}
