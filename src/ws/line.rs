//! [`Line`]: the way out of a connection: frames that wait, and the stream that they are written to. The connection
//! writes here, and while it only waits for something to do, so does whoever has events for it.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    net::{TcpStream, tcp::OwnedWriteHalf},
    task::coop::poll_proceed,
};
use tokio_tungstenite::tungstenite::{
    Error,
    protocol::frame::coding::{Control, Data, OpCode},
};

use super::framing::{HEAD, text_of, texts, write};
use crate::{
    peer::Activity,
    world::{Batch, Outlet},
};

/// What the space for frames begins with, in bytes.
const SPACE: usize = 512;
/// Bytes that may wait to be written before whoever adds to them has to wait.
const FULL: usize = 64 * 1024;

pub struct Line {
    /// Present until this is dropped.
    stream: Option<OwnedWriteHalf>,
    activity: Arc<Activity>,
    /// Counts the texts of all connections.
    frames: Arc<AtomicU64>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// What many connections write, and this one writes first.
    shared: Bytes,
    own: Vec<u8>,
    /// How much of `shared` is written, or, when that is gone, of `own`.
    written: usize,
}

impl Line {
    /// `own`: bytes that are to be written first.
    pub fn new(stream: OwnedWriteHalf, activity: Arc<Activity>, frames: Arc<AtomicU64>, own: Vec<u8>) -> Self {
        let waiting = Mutex::new(Waiting { own, ..Waiting::default() });
        Self { stream: Some(stream), activity, frames, waiting }
    }

    /// Whether [`Line::poll_flush`] has to come before more is added.
    pub fn is_full(&self) -> bool {
        self.waiting.lock().is_full()
    }

    /// Adds a text to what the next flush writes.
    pub fn text(&self, text: &[u8]) -> Result<(), Error> {
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.add(OpCode::Data(Data::Text), text)
    }

    /// Adds a text that `write` makes where it will stand.
    pub fn text_of(&self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        self.frames.fetch_add(1, Ordering::Relaxed);
        text_of(self.waiting.lock().space(0), write)
    }

    /// Adds a binary message, which the protocol has no use for: [`super::echo`] does.
    pub fn binary(&self, bytes: &[u8]) -> Result<(), Error> {
        self.add(OpCode::Data(Data::Binary), bytes)
    }

    pub fn ping(&self) -> Result<(), Error> {
        self.add(OpCode::Control(Control::Ping), &[])
    }

    /// Adds a whole batch; without a copy, if nothing else waits.
    pub fn batch(&self, batch: &Batch) {
        self.waiting.lock().batch(batch);
        self.frames.fetch_add(batch.events.len() as u64, Ordering::Relaxed);
    }

    /// Adds bytes that are frames.
    pub fn raw(&self, bytes: &[u8]) {
        self.waiting.lock().own.extend_from_slice(bytes);
    }

    fn add(&self, opcode: OpCode, payload: &[u8]) -> Result<(), Error> {
        write(opcode, payload, self.waiting.lock().space(HEAD + payload.len()))
    }

    /// Writes all that waits.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut waiting = self.waiting.lock();
        if waiting.next().is_none() {
            return Poll::Ready(Ok(()));
        }
        // Whoever always finds room to write lets others run now and then, too.
        ready!(poll_proceed(cx)).made_progress();
        loop {
            if self.write(&mut waiting)? {
                return Poll::Ready(Ok(()));
            }
            ready!(self.stream()?.poll_write_ready(cx))?;
        }
    }

    fn stream(&self) -> io::Result<&TcpStream> {
        self.stream.as_ref().map(AsRef::as_ref).ok_or(io::ErrorKind::NotConnected.into())
    }

    /// Writes as much as goes without waiting; whether that was all.
    fn write(&self, waiting: &mut Waiting) -> io::Result<bool> {
        while let Some(bytes) = waiting.next() {
            match self.stream()?.try_write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => waiting.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
            self.activity.wrote();
        }
        Ok(true)
    }
}

impl Outlet for Line {
    fn put(&self, batch: &Batch, more: bool) -> bool {
        self.frames.fetch_add(batch.events.len() as u64, Ordering::Relaxed);
        let mut waiting = self.waiting.lock();
        waiting.batch(batch);
        // An error the connection finds for itself.
        (more && !waiting.is_full()) || self.write(&mut waiting).unwrap_or(false)
    }
}

impl Drop for Line {
    /// The stream is closed with its other half: closing this one first would be a call of its own.
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            stream.forget();
        }
    }
}

impl Waiting {
    fn is_full(&self) -> bool {
        self.shared.len() + self.own.len() - self.written >= FULL
    }

    /// Where frames of this connection alone go.
    fn space(&mut self, bytes: usize) -> &mut Vec<u8> {
        let least = if self.own.capacity() == 0 { SPACE } else { 0 };
        self.own.reserve(bytes.max(least));
        &mut self.own
    }

    fn batch(&mut self, batch: &Batch) {
        let frames = batch.wire(texts);
        match self.shared.is_empty() && self.own.is_empty() {
            true => self.shared = frames.clone(),
            false => self.own.extend_from_slice(frames),
        }
    }

    /// What is to be written next. What is written leaves no space behind.
    fn next(&mut self) -> Option<&[u8]> {
        if !self.shared.is_empty() {
            if self.written < self.shared.len() {
                return Some(&self.shared[self.written..]);
            }
            self.shared = Bytes::new();
            self.written = 0;
        }
        if self.written < self.own.len() {
            return Some(&self.own[self.written..]);
        }
        self.own = Vec::new();
        self.written = 0;
        None
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, tcp::OwnedReadHalf},
    };

    use super::*;
    use crate::{
        peer::Peer,
        protocol::EventKind,
        world::{Filter, Push},
    };

    /// A line whose buffers are small, its other half, and the peer.
    async fn line() -> (Arc<Line>, OwnedReadHalf, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        socket2::SockRef::from(&listener).set_send_buffer_size(4_096).unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, address) = listener.accept().await.unwrap();
        let (read, written) = stream.into_split();
        let line = Line::new(written, Peer::new(address).activity, Arc::default(), b"first".to_vec());
        line.stream().unwrap().writable().await.unwrap();
        (Arc::new(line), read, peer)
    }

    fn batch(text: &str) -> Arc<Batch> {
        let push = Push {
            bytes: Bytes::from(text.to_owned()),
            kind: EventKind::Message,
            about: None,
            settles: None,
            ends: None,
        };
        Batch::new(&Filter::chat(), &[(1, Arc::new(push))]).unwrap()
    }

    /// The payloads of what comes, one frame each, as long as all are of the longer kind.
    async fn frames(peer: &mut TcpStream, count: usize) -> Vec<String> {
        let mut frames = Vec::new();
        while frames.len() < count {
            let mut head = [0; 4];
            peer.read_exact(&mut head).await.unwrap();
            assert_eq!(head[..2], [0x81, 126]);
            let mut payload = vec![0; u16::from_be_bytes([head[2], head[3]]).into()];
            peer.read_exact(&mut payload).await.unwrap();
            frames.push(String::from_utf8(payload).unwrap());
        }
        frames
    }

    /// Whoever writes, all arrives in order and whole: first what others could not write, then what the connection adds.
    #[tokio::test]
    async fn what_others_leave_the_connection_writes() {
        let (line, _read, mut peer) = line().await;
        let texts: Vec<_> = (0..).map(|number| format!("{number} {}", "x".repeat(30_000))).take(400).collect();
        assert!(line.put(&batch(&texts[0]), true), "more follows: nothing is written yet");
        assert_eq!(line.waiting.lock().written, 0);
        let mut put = 1;
        // Until the peer's buffers are full.
        while line.put(&batch(&texts[put]), false) {
            put += 1;
        }
        put += 1;
        assert!((2..texts.len() - 2).contains(&put), "{put}");
        assert_ne!(line.waiting.lock().next(), None, "a part of the last");
        line.text_of(|out| out.extend_from_slice(texts[put].as_bytes())).unwrap();
        line.batch(&batch(&texts[put + 1]));
        let mut first = [0; 5];
        let read = async {
            peer.read_exact(&mut first).await.unwrap();
            frames(&mut peer, put + 2).await
        };
        let (flushed, read) = tokio::join!(std::future::poll_fn(|cx| line.poll_flush(cx)), read);
        flushed.unwrap();
        assert_eq!(&first, b"first");
        assert!(read == texts[..put + 2], "{:?}", read.iter().map(|text| &text[..4]).collect::<Vec<_>>());
        assert_eq!(line.frames.load(Ordering::Relaxed), put as u64 + 2);
        assert!(!line.is_full() && line.waiting.lock().own.capacity() == 0, "nothing is kept");
    }

    #[tokio::test]
    async fn a_peer_that_is_gone_is_a_rest() {
        let (line, read, peer) = line().await;
        drop(peer);
        let text = "x".repeat(1_000);
        // The first may still go out.
        while line.put(&batch(&text), false) {
            tokio::task::yield_now().await;
        }
        assert!(std::future::poll_fn(|cx| line.poll_flush(cx)).await.is_err());
        drop(read);
    }
}
