//! The WebSocket: frames out, frames in.

use agent_world::protocol::{ClientFrame, ClientMessage, FrameId, ServerFrame, VERSION, codec};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, ClientRequestBuilder, Message, error::ProtocolError},
};
use url::Url;

use super::ChatError;

pub struct Connection {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    sent: u64,
}

/// Whether a WebSocket of this program can be there.
pub fn check(url: &Url) -> Result<(), ChatError> {
    if url.scheme() == "ws" && url.host().is_some() {
        return Ok(());
    }
    Err(ChatError::NotWebSocket { url: url.clone() })
}

impl Connection {
    pub async fn open(url: &Url, token: Option<&str>) -> Result<Self, ChatError> {
        let not_websocket = || ChatError::NotWebSocket { url: url.clone() };
        let mut request =
            ClientRequestBuilder::new(url.as_str().parse().map_err(|_| not_websocket())?).with_sub_protocol(VERSION);
        if let Some(token) = token {
            request = request.with_header("Authorization", format!("Bearer {token}"));
        }
        let (socket, _) = connect_async(request).await.map_err(|error| match error {
            tungstenite::Error::Io(error) => {
                ChatError::Unreachable { url: url.clone(), reason: error.kind().to_string() }
            }
            error => ChatError::Refused { url: url.clone(), reason: error.to_string() },
        })?;
        Ok(Self { socket, sent: 0 })
    }

    /// Sends a message, and returns the id that its answer will carry.
    pub async fn send(&mut self, message: impl Into<ClientMessage>) -> Result<FrameId, ChatError> {
        self.sent += 1;
        let id = FrameId::new(format!("chat-{}", self.sent)).map_err(|error| ChatError::Broken(error.to_string()))?;
        let frame = ClientFrame { id: id.clone(), timestamp: None, idempotency_key: None, message: message.into() };
        // What the codec makes is text.
        let text = String::from_utf8_lossy(&codec::json(&frame)).into_owned();
        self.socket.send(Message::text(text)).await.map_err(broken)?;
        Ok(id)
    }

    /// The next frame. Cancel-safe.
    pub async fn next(&mut self) -> Result<ServerFrame, ChatError> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    return codec::decode_server(&text).map_err(|_| ChatError::NotUnderstood(kind(&text)));
                }
                Some(Ok(Message::Close(Some(close)))) => {
                    return Err(ChatError::Closed(format!(" ({} {})", u16::from(close.code), close.reason)));
                }
                // A ping is answered by the library while it reads.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(broken(error)),
                None => return Err(ChatError::Closed(String::new())),
            }
        }
    }

    /// Says goodbye. What the server answers to it does not matter any more.
    pub async fn close(mut self) {
        let _ = self.socket.close(None).await;
    }
}

fn broken(error: tungstenite::Error) -> ChatError {
    match error {
        tungstenite::Error::ConnectionClosed
        | tungstenite::Error::AlreadyClosed
        | tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            ChatError::Closed(" without a word".to_owned())
        }
        error => ChatError::Broken(error.to_string()),
    }
}

/// The beginning of a frame, for a message about it.
fn kind(text: &str) -> String {
    text.chars().take(120).filter(|c| !c.is_control()).collect()
}
