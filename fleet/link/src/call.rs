//! Asking the server: HTTP/1.1 over one kept connection, replies of bounded length, everything within a time.

use crate::credentials::Credentials;
use crate::role::SERVER_NAME;
use crate::tls::connector;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::CONTENT_LENGTH;
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use protocol::{Id, MOST_MESSAGE_LEN, Refused, Reply, Request, decode, encode};
use rustls::pki_types::ServerName;
use std::fmt;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long anything may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// A connection, with its handshake.
    pub connect: Duration,
    /// A message and its reply.
    pub message: Duration,
    /// A megabyte of an upload, a sum or a package, on top of that.
    pub megabyte: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { connect: seconds(10), message: seconds(30), megabyte: seconds(10) }
    }
}

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkError {
    /// No connection, or it broke. Worth another try.
    Lost(String),
    /// The server said no.
    Refused(Refused),
    /// The other end is no server of this version.
    NotUnderstood(String),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(why) => write!(f, "no connection: {why}"),
            Self::Refused(refused) => write!(f, "refused: {refused}"),
            Self::NotUnderstood(why) => write!(f, "the server's reply is {why}"),
        }
    }
}

impl std::error::Error for LinkError {}

fn lost(error: impl fmt::Display) -> LinkError {
    let text = error.to_string();
    if text.contains("close_notify") {
        return LinkError::Lost("the server is gone".into());
    }
    let hint = if text.contains("certificate") || text.contains("UnknownIssuer") {
        ": both ends need certificates of one authority that have not run out (`tensorguard authority issue`)"
    } else {
        ""
    };
    LinkError::Lost(format!("{text}{hint}"))
}

/// The least time from one question to the next, where nothing came of the first.
const BETWEEN: Duration = Duration::from_millis(500);

/// How long to rest before the next question, if the last was asked at `asked`. A server that held its answer back has done the
/// waiting; one that is gone, or answers at once, is not asked without end.
#[must_use]
pub fn pause(rest: Duration, asked: Instant) -> Duration {
    rest.min(BETWEEN).saturating_sub(asked.elapsed())
}

/// What came, so far.
#[derive(Default)]
struct Received {
    status: StatusCode,
    bytes: Vec<u8>,
}

/// A party's way to its server.
pub struct Link {
    server: String,
    connector: TlsConnector,
    timeouts: Timeouts,
    open: Option<SendRequest<Full<Bytes>>>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.server)
    }
}

impl Link {
    /// To a server at `host:port`. Nothing is connected yet.
    ///
    /// # Errors
    /// What is wrong with the credentials.
    pub fn new(server: &str, credentials: &Credentials, timeouts: Timeouts) -> Result<Self, LinkError> {
        let connector = connector(credentials).map_err(|error| LinkError::NotUnderstood(error.to_string()))?;
        Ok(Self { server: server.to_owned(), connector, timeouts, open: None })
    }

    /// Asks, and lets the server wait up to `wait` until it has something better to say than "nothing".
    ///
    /// # Errors
    /// [`LinkError`]; never [`LinkError::Refused`], which is a reply.
    pub async fn ask(&mut self, request: &Request, wait: Duration) -> Result<Reply, LinkError> {
        let path = format!("/v1/ask?wait_ms={}", wait.as_millis());
        let within = self.timeouts.message + wait;
        self.message(Method::POST, path, encode(request).into(), within).await
    }

    /// Sends an upload from this chunk on.
    ///
    /// # Errors
    /// [`LinkError`]; then part of it may have arrived: announce it again to learn where to go on.
    pub async fn upload(&mut self, from: u64, rest: Bytes) -> Result<Reply, LinkError> {
        let path = format!("/v1/upload/{from}");
        let within = self.bulk(rest.len() as u64);
        self.message(Method::PUT, path, rest, within).await
    }

    /// Stores a package with the server.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn publish(&mut self, package: Id, bytes: Bytes) -> Result<Reply, LinkError> {
        let within = self.bulk(bytes.len() as u64);
        self.message(Method::PUT, format!("/v1/package/{package}"), bytes, within).await
    }

    /// Fetches the sum of a question, of exactly so many bytes.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn sum(&mut self, revision: u32, len: u64) -> Result<Bytes, LinkError> {
        self.fetch(format!("/v1/sum/{revision}"), len).await
    }

    /// Fetches a package of exactly so many bytes. The caller compares its hash.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn package(&mut self, package: Id, len: u64) -> Result<Bytes, LinkError> {
        self.fetch(format!("/v1/package/{package}"), len).await
    }

    fn bulk(&self, len: u64) -> Duration {
        self.timeouts.message + self.timeouts.megabyte * (len / 1_000_000 + 1).try_into().unwrap_or(u32::MAX)
    }

    async fn message(
        &mut self,
        method: Method,
        path: String,
        body: Bytes,
        within: Duration,
    ) -> Result<Reply, LinkError> {
        let mut reply = Received::default();
        self.call(method, path, body, (MOST_MESSAGE_LEN, within), &mut reply).await?;
        decode(&reply.bytes).map_err(|error| LinkError::NotUnderstood(error.to_string()))
    }

    /// Fetches exactly so many bytes. Where the link is cut, what came is kept, and the rest asked for, as long as every connection
    /// brings something.
    async fn fetch(&mut self, path: String, len: u64) -> Result<Bytes, LinkError> {
        let mut whole = Vec::new();
        loop {
            let from = whole.len();
            // A refusal comes in place of what was asked.
            let most = usize::try_from(len).unwrap_or(usize::MAX).saturating_sub(from).max(MOST_MESSAGE_LEN);
            let (path, mut part) = (format!("{path}?from={from}"), Received::default());
            let ended = self.call(Method::GET, path, Bytes::new(), (most, self.bulk(len)), &mut part).await;
            if part.status != StatusCode::OK {
                ended?;
                return Err(match decode::<Reply>(&part.bytes) {
                    Ok(Reply::Refused(refused)) => LinkError::Refused(refused),
                    _ => LinkError::NotUnderstood(format!("no refusal, with status {}", part.status)),
                });
            }
            whole.extend_from_slice(&part.bytes);
            match ended {
                Ok(()) if whole.len() as u64 == len => return Ok(whole.into()),
                Ok(()) => {
                    let found = whole.len();
                    return Err(LinkError::NotUnderstood(format!("{found} bytes where {len} were announced")));
                }
                Err(LinkError::Lost(_)) if whole.len() > from => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks, and puts what comes into `reply`: also what came before the link broke.
    async fn call(
        &mut self,
        method: Method,
        path: String,
        body: Bytes,
        (most, within): (usize, Duration),
        reply: &mut Received,
    ) -> Result<(), LinkError> {
        let kept = self.open.take().filter(SendRequest::is_ready);
        if let Some(connection) = kept {
            // The server may have closed it meanwhile. Every request can be repeated.
            let ended = self.exchange(connection, (&method, &path, body.clone()), (most, within), reply).await;
            if !matches!(ended, Err(LinkError::Lost(_))) || !reply.bytes.is_empty() {
                return ended;
            }
        }
        let connection =
            timeout(self.timeouts.connect, self.connect()).await.map_err(|_| lost("no answer in time"))??;
        self.exchange(connection, (&method, &path, body), (most, within), reply).await
    }

    async fn exchange(
        &mut self,
        mut connection: SendRequest<Full<Bytes>>,
        (method, path, body): (&Method, &str, Bytes),
        (most, within): (usize, Duration),
        reply: &mut Received,
    ) -> Result<(), LinkError> {
        let request = hyper::Request::builder().method(method).uri(path).header("host", SERVER_NAME);
        let request = request.header(CONTENT_LENGTH, body.len()).body(Full::new(body)).map_err(lost)?;
        let exchange = async {
            let (parts, mut body) = connection.send_request(request).await.map_err(told)?.into_parts();
            reply.status = parts.status;
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(told)?;
                let data = frame.data_ref().map_or(&[][..], |data| data);
                if reply.bytes.len() + data.len() > most {
                    return Err(LinkError::NotUnderstood(format!("more than {most} bytes")));
                }
                reply.bytes.extend_from_slice(data);
            }
            Ok(())
        };
        timeout(within, exchange).await.map_err(|_| lost("no reply in time"))??;
        // Kept for the next call, unless anything went wrong above.
        if connection.ready().await.is_ok() {
            self.open = Some(connection);
        }
        Ok(())
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, LinkError> {
        let tcp = TcpStream::connect(&self.server)
            .await
            .map_err(|error| lost(format_args!("{}: {error}; is `tensorguard server` running there?", self.server)))?;
        tcp.set_nodelay(true).map_err(lost)?;
        let name = ServerName::try_from(SERVER_NAME).map_err(lost)?;
        let tls = self.connector.connect(name, tcp).await.map_err(lost)?;
        let (send, connection) = http1::handshake(TokioIo::new(tls)).await.map_err(told)?;
        // It ends when its sender is dropped.
        tokio::spawn(connection);
        Ok(send)
    }
}

/// hyper's errors say little; what is behind them says more.
fn told(error: hyper::Error) -> LinkError {
    use std::error::Error;
    match error.source() {
        Some(source) => lost(format_args!("{error}: {source}")),
        None => lost(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_kept_waiting_does_not_rest_and_whoever_was_not_does() {
        let rest = Duration::from_secs(2);
        assert!(pause(rest, Instant::now()) > BETWEEN / 2);
        let asked = Instant::now().checked_sub(BETWEEN).expect("the clock is older");
        assert_eq!(pause(rest, asked), Duration::ZERO);
        assert!(pause(Duration::from_millis(10), Instant::now()) <= Duration::from_millis(10));
    }
}
