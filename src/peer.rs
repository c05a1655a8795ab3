//! The other end of a TCP connection: who it says it is, and when bytes last went either way.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::http::{HeaderMap, header};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};

use crate::{error::Failure, protocol::ErrorCode};

/// The token of `Authorization: Bearer …`. Another scheme is refused: nobody is somebody else silently.
pub fn bearer(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let value = value.to_str().unwrap_or_default();
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim().to_owned())),
        _ => Err(Failure::new(ErrorCode::Unauthenticated, "send the session token as: Authorization: Bearer TOKEN")),
    }
}

/// Who is connected. Found in the extensions of every request.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    pub activity: Arc<Activity>,
}

impl Peer {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, activity: Arc::new(Activity::new()) }
    }

    pub fn ip(&self) -> IpAddr {
        self.address.ip().to_canonical()
    }
}

/// When bytes last went either way, in nanoseconds since the connection began: a peer nearby answers a ping within
/// a fraction of a millisecond, and that must count as later than the ping.
#[derive(Debug)]
pub struct Activity {
    began: Instant,
    read: AtomicU64,
    written: AtomicU64,
    /// Whether a request was seen on this connection.
    greeted: AtomicBool,
    /// Whether what is written waits for [`Watched::into_parts`].
    holding: AtomicBool,
}

impl Activity {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            read: AtomicU64::new(0),
            written: AtomicU64::new(0),
            greeted: AtomicBool::new(false),
            holding: AtomicBool::new(false),
        }
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    pub fn since_read(&self) -> Duration {
        Duration::from_nanos(self.now().saturating_sub(self.read.load(Ordering::Relaxed)))
    }

    pub fn since_write(&self) -> Duration {
        Duration::from_nanos(self.now().saturating_sub(self.written.load(Ordering::Relaxed)))
    }

    /// Reads from `stream`, and notes when that brought something.
    pub fn poll_read(
        &self,
        stream: Pin<&mut impl AsyncRead>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = stream.poll_read(cx, buf);
        if buf.filled().len() > before {
            self.read.store(self.now(), Ordering::Relaxed);
        }
        read
    }

    pub fn wrote(&self) {
        self.written.store(self.now(), Ordering::Relaxed);
    }

    /// `true` for the first request of the connection.
    pub fn first_request(&self) -> bool {
        !self.greeted.swap(true, Ordering::Relaxed)
    }

    /// From here on nothing is written to the stream: whoever takes it over sends it together with their first own
    /// bytes. Half of what a handshake costs is the kernel's, and most of that is sending.
    pub fn hold(&self) {
        self.holding.store(true, Ordering::Relaxed);
    }
}

/// A stream that notes its activity.
pub struct Watched {
    stream: TcpStream,
    activity: Arc<Activity>,
    held: Vec<u8>,
}

impl Watched {
    pub fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Self { stream, activity, held: Vec::new() }
    }

    /// The stream itself, and what was written since [`Activity::hold`]. Whoever reads or writes it notes the activity,
    /// and writes first what was held.
    pub fn into_parts(self) -> (TcpStream, Arc<Activity>, Vec<u8>) {
        (self.stream, self.activity, self.held)
    }

    fn hold(&mut self, bytes: &[u8]) -> Option<Poll<io::Result<usize>>> {
        self.activity.holding.load(Ordering::Relaxed).then(|| {
            self.held.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        })
    }

    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(1..)) = written {
            self.activity.wrote();
        }
        written
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, activity, .. } = &mut *self;
        activity.poll_read(Pin::new(stream), cx, buf)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(held) = self.hold(buf) {
            return held;
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(held) = self.hold(bufs.iter().find(|buf| !buf.is_empty()).map_or(&[], |buf| &buf[..])) {
            return held;
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
