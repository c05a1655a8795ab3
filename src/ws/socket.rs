//! [`Socket`]: WebSocket messages over one TCP connection. tungstenite does the framing; what is here is where its
//! bytes come from and go to, and that a connection without traffic holds no buffer for it.

use std::{
    io::{self, Read, Write},
    pin::Pin,
    sync::{Arc, atomic::AtomicU64},
    task::{Context, Poll, ready},
};

use tokio::{io::ReadBuf, net::tcp::OwnedReadHalf};
use tokio_tungstenite::tungstenite::{
    Error, Message,
    protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext},
};

use super::line::Line;
use crate::peer::{Activity, Watched};

/// Bytes that are read at once; a larger frame is read in pieces. The space is zeroed before every read.
const READ: usize = 4 * 1024;

pub struct Socket {
    stream: Incoming,
    line: Arc<Line>,
    max_frame: usize,
    /// Absent as long as nothing is being read.
    reading: Option<Box<Reading>>,
    /// A frame was too long to be read: nothing behind its header is.
    deaf: bool,
}

/// What comes in; that something came is noted.
struct Incoming {
    stream: OwnedReadHalf,
    activity: Arc<Activity>,
}

impl Incoming {
    /// Bytes that were read; none, when the peer has closed.
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut space = ReadBuf::new(space);
        ready!(self.activity.poll_read(Pin::new(&mut self.stream), cx, &mut space))?;
        Poll::Ready(Ok(space.filled().len()))
    }
}

struct Reading {
    context: WebSocketContext,
    /// Bytes that were read and did not come out in a message so far. What a message had on the wire is counted as
    /// the least that it can have had, so zero says for sure that nothing is kept in there; a message that came in
    /// fragments makes it stay above zero.
    owed: u64,
}

impl Socket {
    /// `early`: what the client sent right behind its handshake; `frames` counts the texts that go out.
    pub fn new(stream: Watched, early: &[u8], max_frame: usize, frames: Arc<AtomicU64>) -> Self {
        let (stream, activity, held) = stream.into_parts();
        let (stream, out) = stream.into_split();
        let line = Arc::new(Line::new(out, activity.clone(), frames, held));
        let reading = (!early.is_empty()).then(|| Reading::new(early, max_frame));
        Self { stream: Incoming { stream, activity }, line, max_frame, reading, deaf: false }
    }

    /// Waits for a message. Cancel-safe.
    pub async fn next(&mut self) -> Result<Message, Error> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Error>> {
        if self.deaf {
            return self.poll_discard(cx);
        }
        if self.reading.is_none() {
            ready!(self.stream.stream.as_ref().poll_read_ready(cx))?;
        }
        let max_frame = self.max_frame;
        let reading = self.reading.get_or_insert_with(|| Reading::new(&[], max_frame));
        let mut taken = 0;
        let mut io = Io { stream: &mut self.stream, cx: Some(cx), line: &self.line, taken: &mut taken };
        let read = reading.context.read(&mut io);
        reading.owed = reading.owed.saturating_add(taken);
        match read {
            Ok(message) => {
                reading.owed = reading.owed.saturating_sub(on_the_wire(&message));
                Poll::Ready(Ok(message))
            }
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                if reading.owed == 0 {
                    self.reading = None;
                }
                Poll::Pending
            }
            Err(error) => {
                // tungstenite must not be asked again: it keeps the header, and has made no room for what follows.
                self.deaf = matches!(error, Error::Capacity(_));
                Poll::Ready(Err(error))
            }
        }
    }

    /// Reads what the peer still sends, until it closes.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Error>> {
        let mut space = [0; READ];
        loop {
            if ready!(self.stream.poll_read(cx, &mut space))? == 0 {
                return Poll::Ready(Err(Error::ConnectionClosed));
            }
        }
    }

    /// The way out.
    pub fn line(&self) -> &Arc<Line> {
        &self.line
    }

    /// Writes all that waits. Cancel-safe.
    pub async fn flush(&mut self) -> Result<(), Error> {
        std::future::poll_fn(|cx| self.poll_flush(cx)).await
    }

    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if let Some(reading) = &mut self.reading {
            // The answers to pings, and to a close.
            let mut io = Io { stream: &mut self.stream, cx: None, line: &self.line, taken: &mut 0 };
            match reading.context.flush(&mut io) {
                Ok(()) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        self.line.poll_flush(cx).map_err(Error::from)
    }

    /// Begins the closing handshake, with the next flush; its end is an error of [`Socket::next`].
    pub fn close(&mut self, frame: CloseFrame) -> Result<(), Error> {
        let max_frame = self.max_frame;
        let reading = self.reading.get_or_insert_with(|| Reading::new(&[], max_frame));
        // It must remember that it is closing.
        reading.owed = u64::MAX;
        let mut io = Io { stream: &mut self.stream, cx: None, line: &self.line, taken: &mut 0 };
        reading.context.close(&mut io, Some(frame))
    }
}

impl Reading {
    fn new(early: &[u8], max_frame: usize) -> Box<Self> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ)
            .write_buffer_size(0)
            .max_message_size(Some(max_frame))
            .max_frame_size(Some(max_frame));
        let context = WebSocketContext::from_partially_read(early.to_vec(), Role::Server, Some(config));
        Box::new(Self { context, owed: early.len() as u64 })
    }
}

/// The least that a message of a client can have taken: one frame, its length written in the shortest way. A close
/// counts nothing, so that what has seen one stays.
fn on_the_wire(message: &Message) -> u64 {
    if message.is_close() {
        return 0;
    }
    let length = message.len() as u64;
    let head = match length {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    };
    head + 4 + length
}

/// What tungstenite reads from and writes to: the stream, and the frames that wait. Its own frames, such as the
/// answer to a ping, line up behind those that are half written.
struct Io<'a, 'c> {
    stream: &'a mut Incoming,
    /// Absent where nothing is to be read.
    cx: Option<&'a mut Context<'c>>,
    line: &'a Line,
    taken: &'a mut u64,
}

impl Read for Io<'_, '_> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let Some(cx) = &mut self.cx else { return Err(io::ErrorKind::WouldBlock.into()) };
        match self.stream.poll_read(cx, space)? {
            Poll::Ready(read) => {
                *self.taken += read as u64;
                Ok(read)
            }
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Io<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.raw(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
