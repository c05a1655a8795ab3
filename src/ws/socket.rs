//! [`Socket`]: WebSocket messages over one TCP connection. tungstenite does the framing; what is here is where its
//! bytes come from and go to, and that a connection without traffic holds no buffer for it.

use std::{
    io::{self, Read, Write},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::{
    Error, Message,
    protocol::{
        CloseFrame, Role, WebSocketConfig, WebSocketContext,
        frame::{
            FrameHeader,
            coding::{Control, Data, OpCode},
        },
    },
};

use crate::peer::Watched;

/// Bytes that are read at once; a larger frame is read in pieces. The space is zeroed before every read.
const READ: usize = 4 * 1024;
/// What the space for frames that go out begins with, in bytes.
const WRITE: usize = 512;
/// The longest header of a frame that goes out.
const HEAD: usize = 10;
/// The header of a frame of 126 to 65,535 bytes, which most are.
const USUAL_HEAD: usize = 4;
/// Bytes that may wait to be written before whoever adds to them has to wait.
const FULL: usize = 64 * 1024;

pub struct Socket {
    stream: Watched,
    max_frame: usize,
    /// Absent as long as nothing is being read.
    reading: Option<Box<Reading>>,
    /// What many connections write, and this one writes first.
    shared: Bytes,
    out: Vec<u8>,
    /// How much of `shared` is written, or, when that is gone, of `out`.
    written: usize,
    /// A frame was too long to be read: nothing behind its header is.
    deaf: bool,
}

struct Reading {
    context: WebSocketContext,
    /// Bytes that were read and did not come out in a message so far. What a message had on the wire is counted as
    /// the least that it can have had, so zero says for sure that nothing is kept in there; a message that came in
    /// fragments makes it stay above zero.
    owed: u64,
}

impl Socket {
    /// `early`: what the client sent right behind its handshake.
    pub fn new(mut stream: Watched, early: &[u8], max_frame: usize) -> Self {
        let reading = (!early.is_empty()).then(|| Reading::new(early, max_frame));
        let out = stream.take_held();
        Self { stream, max_frame, reading, shared: Bytes::new(), out, written: 0, deaf: false }
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
            ready!(self.stream.poll_read_ready(cx))?;
        }
        let max_frame = self.max_frame;
        let reading = self.reading.get_or_insert_with(|| Reading::new(&[], max_frame));
        let mut taken = 0;
        let mut io = Io { stream: &mut self.stream, cx: Some(cx), out: &mut self.out, taken: &mut taken };
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
            let mut space = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut space))?;
            if space.filled().is_empty() {
                return Poll::Ready(Err(Error::ConnectionClosed));
            }
        }
    }

    /// Whether [`Socket::flush`] has to come before more is added.
    pub fn is_full(&self) -> bool {
        self.shared.len() + self.out.len() - self.written >= FULL
    }

    /// Adds a text to what the next flush writes.
    pub fn text(&mut self, text: &[u8]) -> Result<(), Error> {
        self.add(OpCode::Data(Data::Text), text)
    }

    /// Adds a text that `write` makes where it will stand.
    pub fn text_of(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        let space = if self.out.capacity() == 0 { WRITE } else { 0 };
        self.out.reserve(space);
        text_of(&mut self.out, write)
    }

    /// Adds a binary message, which the protocol has no use for: [`super::echo`] does.
    pub fn binary(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.add(OpCode::Data(Data::Binary), bytes)
    }

    pub fn ping(&mut self) -> Result<(), Error> {
        self.add(OpCode::Control(Control::Ping), &[])
    }

    /// Adds what [`texts`] made; without a copy, if nothing else waits.
    pub fn framed(&mut self, frames: &Bytes) {
        match self.shared.is_empty() && self.out.is_empty() {
            true => self.shared = frames.clone(),
            false => self.out.extend_from_slice(frames),
        }
    }

    fn add(&mut self, opcode: OpCode, payload: &[u8]) -> Result<(), Error> {
        let space = if self.out.capacity() == 0 { WRITE } else { 0 };
        self.out.reserve((HEAD + payload.len()).max(space));
        write(opcode, payload, &mut self.out)
    }

    /// Writes all that waits. Cancel-safe.
    pub async fn flush(&mut self) -> Result<(), Error> {
        std::future::poll_fn(|cx| self.poll_flush(cx)).await
    }

    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if let Some(reading) = &mut self.reading {
            // The answers to pings, and to a close.
            let mut io = Io { stream: &mut self.stream, cx: None, out: &mut self.out, taken: &mut 0 };
            match reading.context.flush(&mut io) {
                Ok(()) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        if !self.shared.is_empty() {
            ready!(write_all(&mut self.stream, cx, &self.shared, &mut self.written))?;
            self.shared = Bytes::new();
            self.written = 0;
        }
        ready!(write_all(&mut self.stream, cx, &self.out, &mut self.written))?;
        self.out = Vec::new();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// Begins the closing handshake, with the next flush; its end is an error of [`Socket::next`].
    pub fn close(&mut self, frame: CloseFrame) -> Result<(), Error> {
        let max_frame = self.max_frame;
        let reading = self.reading.get_or_insert_with(|| Reading::new(&[], max_frame));
        // It must remember that it is closing.
        reading.owed = u64::MAX;
        let mut io = Io { stream: &mut self.stream, cx: None, out: &mut self.out, taken: &mut 0 };
        reading.context.close(&mut io, Some(frame))
    }
}

fn write_all(
    stream: &mut Watched,
    cx: &mut Context<'_>,
    bytes: &[u8],
    written: &mut usize,
) -> Poll<Result<(), io::Error>> {
    while *written < bytes.len() {
        match ready!(Pin::new(&mut *stream).poll_write(cx, &bytes[*written..]))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            count => *written += count,
        }
    }
    Poll::Ready(Ok(()))
}

/// Puts each of these texts into a frame, one behind the other.
pub fn texts(texts: &mut dyn Iterator<Item = &[u8]>) -> Bytes {
    let mut frames = Vec::new();
    for text in texts {
        if let Err(error) = write(OpCode::Data(Data::Text), text, &mut frames) {
            unreachable!("writing into memory failed: {error}");
        }
    }
    frames.into()
}

/// Adds a text whose length is known when it is written: it stands behind the room for the usual header, and moves when
/// it needs another one.
fn text_of(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
    let start = out.len();
    out.extend_from_slice(&[0; USUAL_HEAD]);
    write(out);
    let mut head = [0; HEAD];
    let mut rest = &mut head[..];
    header(OpCode::Data(Data::Text), out.len() - start - USUAL_HEAD, &mut rest)?;
    let length = HEAD - rest.len();
    let head = &head[..length];
    match head.len() {
        USUAL_HEAD => out[start..start + USUAL_HEAD].copy_from_slice(head),
        _ => drop(out.splice(start..start + USUAL_HEAD, head.iter().copied())),
    }
    Ok(())
}

fn header(opcode: OpCode, length: usize, out: &mut impl Write) -> Result<(), Error> {
    FrameHeader { opcode, ..FrameHeader::default() }.format(length as u64, out)
}

fn write(opcode: OpCode, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    header(opcode, payload.len(), out)?;
    out.extend_from_slice(payload);
    Ok(())
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
    stream: &'a mut Watched,
    /// Absent where nothing is to be read.
    cx: Option<&'a mut Context<'c>>,
    out: &'a mut Vec<u8>,
    taken: &'a mut u64,
}

impl Read for Io<'_, '_> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let Some(cx) = &mut self.cx else { return Err(io::ErrorKind::WouldBlock.into()) };
        let mut space = ReadBuf::new(space);
        match Pin::new(&mut *self.stream).poll_read(cx, &mut space)? {
            Poll::Ready(()) => {
                let read = space.filled().len();
                *self.taken += read as u64;
                Ok(read)
            }
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Io<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every length of header, written in place and written at once.
    #[test]
    fn a_text_is_the_same_frame_however_it_is_made() {
        for length in [0, 1, 125, 126, 127, 1_000, 65_535, 65_536, 300_000] {
            let payload = vec![b'x'; length];
            let (mut made, mut written) = (b"before".to_vec(), b"before".to_vec());
            text_of(&mut made, |out| out.extend_from_slice(&payload)).unwrap();
            write(OpCode::Data(Data::Text), &payload, &mut written).unwrap();
            assert_eq!(made, written, "{length} bytes");
            let both = texts(&mut [&payload[..], &payload[..]].into_iter());
            assert_eq!(both[..], [&written[6..], &written[6..]].concat(), "{length} bytes");
        }
    }
}
