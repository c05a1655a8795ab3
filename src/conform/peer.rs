//! [`Peer`]: one WebSocket or one stream of server-sent events, as the bytes come; what they mean is the stage's.

use std::{collections::VecDeque, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::{net::TcpStream, time::Instant};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        protocol::frame::{
            Frame as WireFrame,
            coding::{Data, OpCode},
        },
    },
};

use super::standing::Standing;

/// A frame as a scenario sees it.
#[derive(Debug, Clone)]
pub struct Frame {
    pub json: Value,
    pub text: String,
}

/// What comes next.
#[derive(Debug)]
pub enum Raw {
    Text {
        text: String,
        /// The `id:` of a server-sent event.
        id: Option<String>,
    },
    Binary,
    /// The close code, where there is one.
    Closed(Option<u16>),
    /// A stream holds a line that is no line of one.
    Garbled(String),
    /// Nothing, in the time that was given.
    Nothing,
}

pub enum Line {
    Socket(Box<WebSocketStream<TcpStream>>),
    Stream { response: Box<reqwest::Response>, buffer: Vec<u8> },
    Gone,
}

pub struct Peer {
    pub line: Line,
    /// Frames that no step has taken yet.
    pub inbox: VecDeque<Frame>,
    pub standing: Standing,
    /// Set when the other side has closed: with this code.
    pub closed: Option<Option<u16>>,
}

impl Peer {
    pub fn new(line: Line) -> Self {
        let stream = matches!(line, Line::Stream { .. });
        Self { line, inbox: VecDeque::new(), standing: Standing::new(stream), closed: None }
    }

    pub fn is_socket(&self) -> bool {
        matches!(self.line, Line::Socket(_))
    }

    /// What the line brings next, until the deadline.
    pub async fn receive(&mut self, deadline: Instant) -> Raw {
        if let Some(code) = self.closed {
            return Raw::Closed(code);
        }
        let raw = tokio::time::timeout_at(deadline, self.line.receive()).await.unwrap_or(Raw::Nothing);
        if let Raw::Closed(code) = raw {
            self.closed = Some(code);
        }
        raw
    }

    /// Sends a message; whether the line still took it.
    pub async fn send(&mut self, message: Message) -> bool {
        match &mut self.line {
            Line::Socket(socket) => socket.send(message).await.is_ok(),
            _ => false,
        }
    }

    /// A text frame whose bytes need be no UTF-8.
    pub fn text_bytes(bytes: Vec<u8>) -> Message {
        Message::Frame(WireFrame::message(bytes, OpCode::Data(Data::Text), true))
    }

    /// Writes below WebSocket.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        use tokio::io::AsyncWriteExt;
        match &mut self.line {
            Line::Socket(socket) => socket.get_mut().write_all(bytes).await.is_ok(),
            _ => false,
        }
    }

    /// Leaves as one should.
    pub async fn leave(&mut self, patience: Duration) {
        if let Line::Socket(socket) = &mut self.line {
            let _ = tokio::time::timeout(patience, async {
                let _ = WebSocketStream::close(socket, None).await;
                while let Some(Ok(_)) = socket.next().await {}
            })
            .await;
        }
        self.line = Line::Gone;
    }

    /// Resets the TCP connection.
    pub fn kill(&mut self) {
        if let Line::Socket(socket) = &self.line {
            let _ = socket2::SockRef::from(socket.get_ref()).set_linger(Some(Duration::ZERO));
        }
        self.line = Line::Gone;
    }
}

impl Line {
    async fn receive(&mut self) -> Raw {
        match self {
            Self::Socket(socket) => loop {
                match socket.next().await {
                    Some(Ok(Message::Text(text))) => return Raw::Text { text: text.to_string(), id: None },
                    Some(Ok(Message::Binary(_))) => return Raw::Binary,
                    Some(Ok(Message::Close(frame))) => {
                        let code = frame.map(|frame| frame.code.into());
                        // The library answers it while it is read on.
                        while let Some(Ok(_)) = socket.next().await {}
                        return Raw::Closed(code);
                    }
                    Some(Ok(_)) => {}
                    Some(Err(tungstenite::Error::Protocol(_) | tungstenite::Error::Utf8(_))) | Some(Err(_)) | None => {
                        return Raw::Closed(None);
                    }
                }
            },
            Self::Stream { response, buffer } => loop {
                if let Some(lines) = block(buffer) {
                    match event(&lines) {
                        None => continue,
                        Some((text, id)) => return Raw::Text { text, id },
                    }
                }
                match response.chunk().await {
                    Ok(Some(bytes)) => buffer.extend_from_slice(&bytes),
                    Ok(None) if buffer.is_empty() => return Raw::Closed(None),
                    Ok(None) => {
                        buffer.clear();
                        return Raw::Garbled("the stream ends within an event".to_owned());
                    }
                    Err(_) => return Raw::Closed(None),
                }
            },
            Self::Gone => Raw::Closed(None),
        }
    }
}

/// Takes the lines up to the first empty one, which is no part of them. A line ends with LF, CR LF or CR. A CR at the
/// very end counts at once; the LF that may still follow it is an empty line more, and means nothing.
fn block(buffer: &mut Vec<u8>) -> Option<Vec<String>> {
    let (mut lines, mut start) = (Vec::new(), 0);
    loop {
        let end = start + buffer[start..].iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
        let line = String::from_utf8_lossy(&buffer[start..end]).into_owned();
        start = if buffer[end..].starts_with(b"\r\n") { end + 2 } else { end + 1 };
        if line.is_empty() {
            buffer.drain(..start);
            return Some(lines);
        }
        lines.push(line);
    }
}

/// The data and id of one event; nothing for a comment. Fields that nobody knows are ignored, as the standard says.
fn event(lines: &[String]) -> Option<(String, Option<String>)> {
    let (mut id, mut data) = (None, Vec::new());
    for line in lines {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => id = Some(value.to_owned()),
            "data" => data.push(value),
            _ => {}
        }
    }
    (!data.is_empty()).then(|| (data.join("\n"), id))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events of a stream that comes in pieces of this size.
    fn events(stream: &str, size: usize) -> Vec<(String, Option<String>)> {
        let (mut buffer, mut events) = (Vec::new(), Vec::new());
        for piece in stream.as_bytes().chunks(size) {
            buffer.extend_from_slice(piece);
            while let Some(lines) = block(&mut buffer) {
                events.extend(event(&lines));
            }
        }
        assert!(buffer.is_empty(), "{stream:?} in pieces of {size}: {buffer:?} is left");
        events
    }

    #[test]
    fn events_are_read_as_the_standard_says() {
        let stream = ": a comment\n\nevent: message\nid: e:7\nlater: field\nlater\ndata: {\ndata:\"a\"}\nretry: 5\n\n\ndata: 2\n\n";
        let expected = [("{\n\"a\"}".to_owned(), Some("e:7".to_owned())), ("2".to_owned(), None)];
        for end in ["\n", "\r\n", "\r"] {
            for size in 1..=stream.len() {
                assert_eq!(events(&stream.replace('\n', end), size), expected, "{end:?}, in pieces of {size}");
            }
        }
        assert_eq!(block(&mut b"data: 1\r\n".to_vec()), None, "the event has not ended");
    }
}
