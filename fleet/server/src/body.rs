//! What is sent: bytes in memory, or a file as it is read.

use hyper::body::{Body, Bytes, Frame, SizeHint};
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Bytes read from a file at a time: what a connection costs while it is sent to.
const PORTION: usize = 64 << 10;

pub(crate) enum Sent {
    Bytes(Bytes),
    File(Box<dyn Read + Send>, u64),
}

impl Body for Sent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let next = match self.get_mut() {
            Self::Bytes(bytes) if bytes.is_empty() => None,
            Self::Bytes(bytes) => Some(Ok(core::mem::take(bytes))),
            Self::File(_, 0) => None,
            Self::File(file, left) => {
                let mut portion = vec![0; (*left).min(PORTION as u64) as usize];
                *left -= portion.len() as u64;
                Some(file.read_exact(&mut portion).map(|()| portion.into()))
            }
        };
        Poll::Ready(next.map(|bytes| bytes.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, left) => *left,
        })
    }
}
