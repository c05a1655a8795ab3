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
                if let Some(end) = buffer.windows(2).position(|pair| pair == b"\n\n") {
                    let block: Vec<u8> = buffer.drain(..end + 2).collect();
                    match event(&String::from_utf8_lossy(&block)) {
                        Ok(None) => continue,
                        Ok(Some((text, id))) => return Raw::Text { text, id },
                        Err(line) => return Raw::Garbled(line),
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

/// The data and id of one event; nothing for a comment.
fn event(block: &str) -> Result<Option<(String, Option<String>)>, String> {
    let (mut id, mut data) = (None, Vec::new());
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            // A comment, or nothing.
            "" | "event" | "retry" => {}
            "id" => id = Some(value.to_owned()),
            "data" => data.push(value),
            _ => return Err(line.to_owned()),
        }
    }
    Ok(if data.is_empty() { None } else { Some((data.join("\n"), id)) })
}
