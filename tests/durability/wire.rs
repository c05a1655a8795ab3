//! [`Wire`]: a WebSocket client that expects the connection to break, and believes the frames; for volume. What
//! frames look like is held by the other one.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

use crate::support::{Frame, Host, PATIENCE};

pub struct Wire {
    socket: WebSocketStream<TcpStream>,
    /// The cursor of `world_selected`.
    pub cursor: String,
    /// How the server closed.
    pub code: Option<u16>,
    pub pongs: usize,
}

impl Wire {
    /// Connects as the user of `token`; `receive_buffer` makes the kernel's own small.
    pub async fn open(host: &Host, token: &str, receive_buffer: Option<u32>) -> Self {
        let mut request = format!("ws://{}/ws", host.address).into_client_request().expect("a request");
        let bearer = HeaderValue::from_str(&format!("Bearer {token}")).expect("a header");
        request.headers_mut().insert("authorization", bearer);
        let socket = TcpSocket::new_v4().expect("a socket");
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes).expect("a smaller buffer");
        }
        let stream = socket.connect(host.address).await.expect("the server accepts");
        stream.set_nodelay(true).expect("a socket option");
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await.expect("the handshake is accepted");
        Self { socket, cursor: String::new(), code: None, pongs: 0 }
    }

    /// Connects and selects a world.
    pub async fn select(host: &Host, token: &str, receive_buffer: Option<u32>, select: Value) -> Self {
        let mut wire = Self::open(host, token, receive_buffer).await;
        assert!(wire.send(&json!({"id": "select", "type": "world_select", "payload": select})).await);
        let selected = wire.until(|frame| frame.json["replyTo"] == "select").await.pop().expect("it came");
        assert_eq!(selected.kind(), "world_selected", "{}", selected.text);
        wire.cursor = selected.payload()["cursor"].as_str().expect("a cursor").to_owned();
        wire
    }

    /// `false` when the connection is gone.
    pub async fn send(&mut self, frame: &Value) -> bool {
        self.socket.send(Message::text(frame.to_string())).await.is_ok()
    }

    /// A ping of the WebSocket itself.
    pub async fn ping(&mut self) {
        self.socket.send(Message::Ping(Bytes::new())).await.expect("the connection is open");
    }

    /// The next frame; none when the connection is gone.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("something comes") {
                Some(Ok(Message::Text(text))) => {
                    let json = serde_json::from_str(&text).expect("JSON");
                    return Some(Frame { json, text: text.to_string() });
                }
                Some(Ok(Message::Close(frame))) => self.code = frame.map(|frame| frame.code.into()),
                Some(Ok(Message::Pong(_))) => self.pongs += 1,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// All frames up to the first that `is_it`.
    pub async fn until(&mut self, is_it: impl Fn(&Frame) -> bool) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            let frame = self.next().await.unwrap_or_else(|| panic!("closed after {} frames", frames.len()));
            let last = is_it(&frame);
            frames.push(frame);
            if last {
                return frames;
            }
        }
    }

    /// The answer to a request, and the frames before it.
    pub async fn ask(&mut self, kind: &str, payload: Value) -> (Frame, Vec<Frame>) {
        assert!(self.send(&json!({"id": "ask", "type": kind, "payload": payload})).await, "the connection is open");
        let mut frames = self.until(|frame| frame.json["replyTo"] == "ask").await;
        (frames.pop().expect("the answer"), frames)
    }
}
