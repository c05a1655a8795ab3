//! A WebSocket client that does as little as possible: it counts frames, and keeps their text only when asked to.

use std::{cell::RefCell, collections::VecDeque, io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::Failure;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

thread_local! {
    /// Where all sockets read into, so that ten thousand of them need no buffers.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; 256 * 1024]);
}

pub struct Socket {
    stream: TcpStream,
    parser: Parser,
    /// Frames that came and were not asked for yet.
    pub frames: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Whole texts, as long as they are wanted.
    texts: Option<VecDeque<String>>,
}

/// Where in the stream of frames the last read ended.
#[derive(Default)]
struct Parser {
    head: Vec<u8>,
    rest: usize,
    text: Vec<u8>,
}

/// A text frame as a client sends it.
pub fn frame(text: &str) -> Vec<u8> {
    masked(0x81, text.as_bytes())
}

pub fn binary_frame(bytes: &[u8]) -> Vec<u8> {
    masked(0x82, bytes)
}

fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![opcode];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

impl Socket {
    /// Connects and shakes hands. `headers` are further lines of the request, each with its line end.
    pub async fn connect(address: SocketAddr, path: &str, headers: &str) -> Result<Self, Failure> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        let end = loop {
            if let Some(at) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut answer).await? == 0 {
                return Err("the handshake was not answered".into());
            }
        };
        if !answer.starts_with(b"HTTP/1.1 101") {
            return Err(format!("the handshake was refused: {}", String::from_utf8_lossy(&answer)).into());
        }
        let parser = Parser::default();
        let mut socket = Self { stream, parser, frames: 0, bytes: 0, texts: Some(VecDeque::new()) };
        socket.take_in(&answer[end..]);
        Ok(socket)
    }

    /// From here on frames are only counted.
    pub fn count_only(&mut self) {
        self.texts = None;
        self.frames = 0;
        self.bytes = 0;
    }

    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    pub async fn send_text(&mut self, text: &str) -> io::Result<()> {
        self.send(&frame(text)).await
    }

    /// Waits for `count` more frames.
    pub async fn count(&mut self, count: u64) -> io::Result<()> {
        while self.frames < count {
            self.read().await?;
        }
        self.frames -= count;
        Ok(())
    }

    /// Waits for the next text.
    pub async fn text(&mut self) -> Result<String, Failure> {
        loop {
            if let Some(text) = self.texts.as_mut().and_then(VecDeque::pop_front) {
                return Ok(text);
            }
            self.read().await?;
        }
    }

    /// Waits for a text that contains all of `parts`, and passes over the others.
    pub async fn text_with(&mut self, parts: &[&str]) -> Result<String, Failure> {
        loop {
            let text = self.text().await?;
            if parts.iter().all(|part| text.contains(part)) {
                return Ok(text);
            }
            if text.contains("\"type\":\"error\"") {
                return Err(format!("waited for {parts:?}, got {text}").into());
            }
        }
    }

    /// Waits until something comes, and takes it in.
    pub async fn read(&mut self) -> io::Result<()> {
        loop {
            self.stream.readable().await?;
            let taken = SCRATCH.with_borrow_mut(|scratch| {
                let read = self.stream.try_read(scratch)?;
                self.take_in(&scratch[..read]);
                Ok(read)
            });
            match taken {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => return Ok(()),
                Err(error) if io::Error::kind(&error) == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn take_in(&mut self, mut bytes: &[u8]) {
        let parser = &mut self.parser;
        loop {
            if parser.rest == 0 {
                // A frame of a server begins with two bytes, and two or eight more for a longer length.
                let Some((&byte, after)) = bytes.split_first() else { return };
                bytes = after;
                parser.head.push(byte);
                let length = match parser.head[..] {
                    [_, length @ 0..=125] => usize::from(length),
                    [_, 126, high, low] => usize::from(u16::from_be_bytes([high, low])),
                    [_, 127, a, b, c, d, e, f, g, h] => u64::from_be_bytes([a, b, c, d, e, f, g, h]) as usize,
                    _ => continue,
                };
                parser.rest = length;
                if length > 0 {
                    continue;
                }
            }
            let part = &bytes[..parser.rest.min(bytes.len())];
            bytes = &bytes[part.len()..];
            parser.rest -= part.len();
            if self.texts.is_some() {
                parser.text.extend(part);
            }
            self.bytes += part.len() as u64;
            if parser.rest > 0 {
                return;
            }
            self.frames += 1;
            parser.head.clear();
            if let Some(texts) = &mut self.texts {
                texts.push_back(String::from_utf8_lossy(&std::mem::take(&mut parser.text)).into_owned());
            }
        }
    }
}
