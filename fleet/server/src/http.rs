//! HTTP over TLS: who asks comes from the certificate, what from path and body, and nothing is read without a limit.

use crate::body::Sent;
use crate::desk::Desk;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_LENGTH;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use link::peer_of;
use protocol::{Id, MOST_MESSAGE_LEN, Peer, Question, Refused, Reply, Work, decode, encode};
use sha2::{Digest, Sha256};
use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

/// What one server does at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; more wait to be accepted.
    pub connections: usize,
    /// A connection that says nothing for so long is closed.
    pub silence: Duration,
    /// The longest that an answer "nothing" is held back.
    pub most_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 1000, silence: Duration::from_secs(20), most_wait: Duration::from_secs(10) }
    }
}

/// Read from a connection at a time.
const BUFFER_LEN: usize = 64 << 10;
/// Of a refused body, read and dropped at most: six uploads of ten megabytes of fp32.
const MOST_READ_OFF: usize = 32 << 20;
/// How often time is looked at.
const TICK: Duration = Duration::from_millis(100);

/// Serves until the future is dropped. Where the acceptor changes, every connection is closed: whoever is shut out meanwhile has none
/// left, and all others connect anew.
pub async fn serve(listener: TcpListener, acceptors: watch::Receiver<TlsAcceptor>, desk: Arc<Desk>, limits: Limits) {
    let free = Arc::new(Semaphore::new(limits.connections));
    let mut tick = tokio::time::interval(TICK);
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let permit = free.clone().acquire_owned();
        tokio::select! {
            _ = tick.tick() => {
                let desk = desk.clone();
                // What could not be kept is tried again with the next tick.
                let _ = spawn_blocking(move || desk.tick()).await;
                while connections.try_join_next().is_some() {}
            }
            accepted = async { (permit.await, listener.accept().await) } => {
                // A connection that broke before it was accepted is nobody's loss.
                let (Ok(permit), Ok((tcp, _))) = accepted else { continue };
                let (acceptors, desk) = (acceptors.clone(), desk.clone());
                connections.spawn(async move {
                    connection(tcp, acceptors, desk, limits).await;
                    drop(permit);
                });
            }
        }
    }
}

async fn connection(tcp: TcpStream, mut acceptors: watch::Receiver<TlsAcceptor>, desk: Arc<Desk>, limits: Limits) {
    // Small replies go at once; a socket that refuses this is only slower.
    let _ = tcp.set_nodelay(true);
    let acceptor = acceptors.borrow_and_update().clone();
    let Ok(Ok(tls)) = timeout(limits.silence, acceptor.accept(tcp)).await else { return };
    let Some(peer) = peer_of(tls.get_ref().1) else { return };
    let accepting = acceptors.clone();
    let service = service_fn(move |request| {
        let (desk, shut_out) = (desk.clone(), accepting.has_changed().unwrap_or(false));
        async move {
            // Read before this connection was seen to be closed: whoever is shut out gets no answer any more.
            if shut_out {
                std::future::pending::<()>().await;
            }
            Ok::<_, Infallible>(answer(desk, peer, request, limits).await)
        }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.silence + limits.most_wait).max_buf_size(BUFFER_LEN);
    // However it ends, the robot asks where to go on.
    tokio::select! {
        _ = http.serve_connection(TokioIo::new(tls), service) => {}
        () = changed(&mut acceptors) => {}
    }
}

/// Comes back when connections are accepted on other terms; never, where nobody is left to change them.
async fn changed(acceptors: &mut watch::Receiver<TlsAcceptor>) {
    if acceptors.changed().await.is_err() {
        std::future::pending().await
    }
}

async fn answer(desk: Arc<Desk>, peer: Peer, request: Request<Incoming>, limits: Limits) -> Response<Sent> {
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let from = asked(&request, "from");
    let result = match (request.method(), &parts[..]) {
        (&Method::POST, ["v1", "ask"]) => ask(desk, peer, request, limits).await.map(told),
        (&Method::PUT, ["v1", what @ ("upload" | "package"), name]) => {
            take_in(desk, peer, (what, name), request, limits).await.map(told)
        }
        (&Method::GET, ["v1", "sum", revision]) => match number(revision).map(u32::try_from) {
            Ok(Ok(revision)) => blocking(move || sum(&desk, peer, revision, from)).await,
            _ => Err(Refused::OtherRound),
        },
        (&Method::GET, ["v1", "package", package]) => match id(package) {
            Ok(package) => blocking(move || self::package(&desk, peer, package, from)).await,
            Err(refused) => Err(refused),
        },
        _ => Err(Refused::malformed("no such path")),
    };
    let (status, sent) = match result {
        Ok(sent) => (StatusCode::OK, sent),
        Err(refused) => (StatusCode::CONFLICT, told(Reply::Refused(refused))),
    };
    let mut response = Response::new(sent);
    *response.status_mut() = status;
    response
}

fn number(text: &str) -> Result<u64, Refused> {
    text.parse().map_err(|_| Refused::malformed("a path without its number"))
}

fn id(text: &str) -> Result<Id, Refused> {
    Id::parse(text).ok_or_else(|| Refused::malformed("a path without its hash"))
}

/// A number behind a path; 0 where there is none.
fn asked<T>(request: &Request<T>, name: &str) -> u64 {
    let value = |query: &str| query.strip_prefix(name)?.strip_prefix('=')?.parse().ok();
    request.uri().query().and_then(value).unwrap_or(0)
}

/// What is left of a sum behind its first `from` bytes: a party whose link was cut has those.
fn sum(desk: &Desk, peer: Peer, revision: u32, from: u64) -> Result<Sent, Refused> {
    let sum = Bytes::from(desk.sum(peer, revision)?);
    match usize::try_from(from) {
        Ok(from) if from <= sum.len() => Ok(Sent::Bytes(sum.slice(from..))),
        _ => Err(Refused::malformed("more bytes than the sum has")),
    }
}

fn package(desk: &Desk, peer: Peer, package: Id, from: u64) -> Result<Sent, Refused> {
    let (mut file, len) = desk.package(peer, package)?;
    let left = len.checked_sub(from).ok_or_else(|| Refused::malformed("more bytes than the package has"))?;
    io::copy(&mut file.by_ref().take(from), &mut io::sink()).map_err(Refused::not_kept)?;
    Ok(Sent::File(file, left))
}

fn told(reply: Reply) -> Sent {
    Sent::Bytes(encode(&reply).into())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Refused> + Send + 'static) -> Result<T, Refused> {
    spawn_blocking(work).await.unwrap_or_else(|_| Err(Refused::not_kept("the server failed at this request")))
}

async fn ask(desk: Arc<Desk>, peer: Peer, request: Request<Incoming>, limits: Limits) -> Result<Reply, Refused> {
    let wait = Duration::from_millis(asked(&request, "wait_ms"));
    let until = Instant::now() + wait.min(limits.most_wait);
    let body = timeout(limits.silence, Limited::new(request.into_body(), MOST_MESSAGE_LEN).collect());
    let body = body.await.map_err(|_| Refused::Busy)?.map_err(Refused::malformed)?.to_bytes();
    let question = Arc::new(decode::<protocol::Request>(&body).map_err(Refused::malformed)?);
    let mut changes = desk.changes();
    loop {
        let (here, what) = (desk.clone(), question.clone());
        let reply = blocking(move || here.ask(peer, &what)).await?;
        let nothing = match (&*question, &reply) {
            (_, Reply::Work(Work::Nothing) | Reply::Question(Question::Nothing)) => true,
            (protocol::Request::Healths { seen }, Reply::Healths { said, .. }) => seen == said,
            _ => false,
        };
        // Asked again after each change, until the time is over.
        if !nothing || timeout_at(until, changes.changed()).await.is_err() {
            return Ok(reply);
        }
    }
}

fn len_of(request: &Request<Incoming>) -> Option<u64> {
    request.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A body, and what became of it.
async fn take_in(
    desk: Arc<Desk>,
    peer: Peer,
    (what, name): (&str, &str),
    request: Request<Incoming>,
    limits: Limits,
) -> Result<Reply, Refused> {
    let len = len_of(&request);
    let mut body = request.into_body();
    let reply = match what {
        "upload" => match number(name) {
            Ok(from) => upload(desk, peer, from, &mut body, limits).await,
            Err(refused) => Err(refused),
        },
        _ => match id(name) {
            Ok(package) => publish(desk, peer, (package, len), &mut body, limits).await,
            Err(refused) => Err(refused),
        },
    };
    if reply.is_err() {
        read_off(body, limits).await;
    }
    reply
}

/// Whoever is refused while still sending would see a broken connection and try again, never the reason: what is on its way is read and
/// dropped first, up to a limit.
async fn read_off(mut body: Incoming, limits: Limits) {
    let all = async {
        let mut left = MOST_READ_OFF;
        while let Some(Ok(frame)) = body.frame().await {
            let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, |bytes| bytes.len())) else { return };
            left = rest;
        }
    };
    // Whoever is slower than this sees the broken connection.
    let _ = timeout(limits.silence, all).await;
}

async fn upload(desk: Arc<Desk>, peer: Peer, from: u64, body: &mut Incoming, limits: Limits) -> Result<Reply, Refused> {
    let Peer::Robot(robot) = peer else { return Err(Refused::NotYours) };
    let mut receiving = blocking(move || desk.begin(robot, from)).await?;
    while let Some(frame) = timeout(limits.silence, body.frame()).await.map_err(|_| Refused::Busy)? {
        // A cut link: what arrived whole is kept when `receiving` is dropped.
        let frame = frame.map_err(Refused::malformed)?;
        if let Some(bytes) = frame.data_ref() {
            receiving.push(bytes)?;
        }
    }
    blocking(move || receiving.finish()).await
}

async fn publish(
    desk: Arc<Desk>,
    peer: Peer,
    (package, len): (Id, Option<u64>),
    body: &mut Incoming,
    limits: Limits,
) -> Result<Reply, Refused> {
    let len = len.ok_or_else(|| Refused::malformed("no content-length"))?;
    let here = desk.clone();
    let mut file = blocking(move || here.begin_package(peer, package, len)).await?;
    let mut hash = Sha256::new();
    while let Some(frame) = timeout(limits.silence, body.frame()).await.map_err(|_| Refused::Busy)? {
        if let Some(bytes) = frame.map_err(Refused::malformed)?.data_ref() {
            hash.update(bytes);
            file.write_all(bytes).map_err(Refused::not_kept)?;
        }
    }
    if Id(hash.finalize().into()) != package {
        return Err(Refused::malformed("the package has another hash than its name"));
    }
    blocking(move || desk.finish_package(file, package, len)).await
}
