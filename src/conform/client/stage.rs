//! [`Stage`]: the address that the client connects to, its one connection at a time, and the choke point: every frame of
//! the client is read by the codec, and every frame of the kit is held to the schemas before it goes out.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, timeout, timeout_at},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        http::HeaderValue,
        protocol::CloseFrame,
    },
};

use super::{Stop, world};
use crate::protocol::{VERSION, decode_client, published};

pub struct Stage {
    listener: TcpListener,
    /// How long the client has to take what it is sent.
    limit: Duration,
    pub url: String,
    socket: Option<WebSocketStream<TcpStream>>,
    /// What the client offered in its last handshake.
    pub offered: Vec<String>,
    /// The token that it brought.
    pub token: Option<String>,
    /// Frames of the client that no step has taken.
    backlog: VecDeque<Value>,
    ids: HashSet<String>,
    pub connections: u64,
    /// Whether an answer to a ping of the kit came.
    pub ponged: bool,
    /// When the last connection ended.
    pub gone: Instant,
    /// The conversation, for the report.
    pub told: Vec<String>,
}

/// What a client did.
pub enum Heard {
    Frame(Value),
    Gone,
    Nothing,
}

impl Stage {
    pub async fn new(limit: Duration) -> Result<Self, Stop> {
        let kit = |error: std::io::Error| Stop::Kit(format!("cannot listen: {error}"));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(kit)?;
        let url = format!("ws://{}/ws", listener.local_addr().map_err(kit)?);
        Ok(Self {
            listener,
            limit,
            url,
            socket: None,
            offered: Vec::new(),
            token: None,
            backlog: VecDeque::new(),
            ids: HashSet::new(),
            connections: 0,
            ponged: false,
            gone: Instant::now(),
            told: Vec::new(),
        })
    }

    /// Waits for the client to connect; whether it did.
    #[expect(clippy::result_large_err, reason = "the handshake's callback has this type")]
    pub async fn accept(&mut self, deadline: Instant) -> bool {
        let Ok(Ok((stream, _))) = timeout_at(deadline, self.listener.accept()).await else { return false };
        let (mut offered, mut token) = (Vec::new(), None);
        let callback = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
            let text =
                |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
            let names = text("sec-websocket-protocol").unwrap_or_default();
            offered = names.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
            token = offered.iter().find_map(|name| name.strip_prefix("bearer.")).map(str::to_owned);
            token = token.take().or_else(|| text("authorization")?.strip_prefix("Bearer ").map(str::to_owned));
            if offered.iter().any(|name| name == VERSION) {
                response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(VERSION));
            }
            Ok(response)
        };
        let Ok(Ok(socket)) = timeout_at(deadline, accept_hdr_async(stream, callback)).await else { return false };
        self.socket = Some(socket);
        (self.offered, self.token) = (offered, token);
        self.backlog.clear();
        self.ids.clear();
        self.connections += 1;
        self.told.push(format!("the client connects (number {})", self.connections));
        true
    }

    /// Sends a frame of the server. `wild`: one that the schemas need not know.
    pub async fn send(&mut self, frame: &Value, wild: bool) -> Result<(), Stop> {
        let text = frame.to_string();
        if !wild && let Err(rejection) = published::check_server(&text, published::Reading::Closed) {
            return Err(Stop::Kit(format!("the kit would send an invalid frame: {:?} {text}", rejection.violations())));
        }
        self.say(Message::text(text)).await
    }

    /// Sends what is no frame, too. A client that is gone is noticed where something is expected of it.
    pub async fn say(&mut self, message: Message) -> Result<(), Stop> {
        self.told.push(format!("  ← {}", short(&message)));
        let Some(socket) = &mut self.socket else { return Ok(()) };
        if timeout(self.limit, socket.send(message)).await.is_err() {
            let told = format!("the client does not read: what is sent to it was not taken within {:?}", self.limit);
            self.end();
            return Err(failed("conversation", &told));
        }
        Ok(())
    }

    /// The first frame of `kind`; those of other kinds stay for later.
    pub async fn frame(&mut self, kind: &str, deadline: Instant) -> Result<Heard, Stop> {
        if let Some(at) = self.backlog.iter().position(|frame| frame["type"] == kind) {
            return Ok(self.backlog.remove(at).map_or(Heard::Nothing, Heard::Frame));
        }
        loop {
            match self.hear(deadline).await? {
                Heard::Frame(frame) if frame["type"] == kind => return Ok(Heard::Frame(frame)),
                Heard::Frame(frame) => self.backlog.push_back(frame),
                other => return Ok(other),
            }
        }
    }

    /// What the client says next. Its pings are answered, and what it subscribes to it has already.
    pub async fn hear(&mut self, deadline: Instant) -> Result<Heard, Stop> {
        loop {
            let Some(socket) = &mut self.socket else { return Ok(Heard::Gone) };
            let text = match timeout_at(deadline, socket.next()).await {
                Err(_) => return Ok(Heard::Nothing),
                Ok(Some(Ok(Message::Text(text)))) => text,
                Ok(Some(Ok(Message::Pong(_)))) => {
                    self.ponged = true;
                    return Ok(Heard::Nothing);
                }
                Ok(Some(Ok(Message::Ping(_)))) => continue,
                Ok(Some(Ok(Message::Binary(_)))) => {
                    return Err(failed("valid-frames", "the client sent a binary frame"));
                }
                Ok(Some(Ok(_)) | Some(Err(_)) | None) => {
                    self.told.push("the client is gone".to_owned());
                    self.end();
                    return Ok(Heard::Gone);
                }
            };
            self.told.push(format!("  → {text}"));
            let frame: Value = match decode_client(&text) {
                Ok(_) => serde_json::from_str(&text).unwrap_or_default(),
                Err(rejection) => {
                    let told = format!("the client sent an invalid frame: {:?} {text}", rejection.violations());
                    return Err(failed("valid-frames", &told));
                }
            };
            if !self.ids.insert(frame["id"].as_str().unwrap_or_default().to_owned()) && frame["type"] != "ping" {
                return Err(failed("own-ids", &format!("two frames of a connection have the id {}", frame["id"])));
            }
            if frame["type"] == "ping" {
                let mut pong = world::frame("pong", json!({}));
                pong["replyTo"] = frame["id"].clone();
                self.send(&pong, false).await?;
                continue;
            }
            return Ok(Heard::Frame(frame));
        }
    }

    /// Closes with a code, and waits, not for long, for the client to answer.
    pub async fn close(&mut self, code: u16) {
        self.told.push(format!("  ← close {code}"));
        if let Some(mut socket) = self.socket.take() {
            let frame = CloseFrame { code: code.into(), reason: "conformance".into() };
            let goodbye = async {
                if socket.send(Message::Close(Some(frame))).await.is_ok() {
                    while let Some(Ok(_)) = socket.next().await {}
                }
            };
            let _ = timeout(Duration::from_secs(1), goodbye).await;
        }
        self.gone = Instant::now();
    }

    pub fn is_connected(&self) -> bool {
        self.socket.is_some()
    }

    /// A frame that a later step may want.
    pub fn keep(&mut self, frame: Value) {
        self.backlog.push_back(frame);
    }

    /// Resets the TCP connection.
    pub fn cut(&mut self) {
        self.told.push("the connection is cut".to_owned());
        if let Some(socket) = &self.socket {
            let _ = socket2::SockRef::from(socket.get_ref()).set_linger(Some(Duration::ZERO));
        }
        self.end();
    }

    fn end(&mut self) {
        self.socket = None;
        self.gone = Instant::now();
    }
}

/// A check that holds in every scenario.
pub fn failed(check: &str, reason: &str) -> Stop {
    Stop::Failed(format!("standing#{check}"), reason.to_owned())
}

fn short(message: &Message) -> String {
    let text = message.to_text().map_or_else(|_| format!("{} bytes", message.len()), str::to_owned);
    if text.chars().count() > 400 { format!("{}…", text.chars().take(400).collect::<String>()) } else { text }
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::connect_async;

    use super::*;

    #[tokio::test]
    async fn a_client_that_does_not_read_is_told_so() {
        let soon = || Instant::now() + Duration::from_secs(20);
        let mut stage = Stage::new(Duration::from_millis(300)).await.ok().unwrap();
        let url = stage.url.clone();
        let client = tokio::spawn(async move { connect_async(url).await.unwrap() });
        assert!(stage.accept(soon()).await);
        let _client = client.await.unwrap();
        // More than the buffers of both sides hold.
        let much = Message::text("x".repeat(64 << 20));
        let said = timeout_at(soon(), stage.say(much)).await.expect("it waits forever");
        let told = "the client does not read: what is sent to it was not taken within 300ms";
        assert_eq!(said, Err(failed("conversation", told)));
    }
}
