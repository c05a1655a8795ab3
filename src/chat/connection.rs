//! The WebSocket: frames out, frames in.

use std::{error::Error, io, time::Duration};

use agent_world::protocol::{ClientFrame, ClientMessage, FrameId, IdempotencyKey, ServerFrame, VERSION, codec};
use futures_util::{SinkExt, StreamExt};
use reqwest::{StatusCode, Upgraded, Version, header};
use tokio::time::timeout;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        error::ProtocolError,
        handshake::{client::generate_key, derive_accept_key},
        protocol::Role,
    },
};
use url::Url;

use super::ChatError;

/// How long an answer to a request may take, and the opening of a connection.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Connection {
    socket: WebSocketStream<Upgraded>,
    sent: u64,
}

/// The WebSocket that is meant by the address of one, or by that of the server's pages.
pub fn websocket(address: &Url) -> Result<Url, ChatError> {
    let not_an_address = || ChatError::NotAnAddress { url: address.clone() };
    let scheme = match address.scheme() {
        "ws" | "http" => "ws",
        "wss" | "https" => "wss",
        _ => return Err(not_an_address()),
    };
    let mut url = address.clone();
    url.set_scheme(scheme).map_err(|()| not_an_address())?;
    let path = address.path().trim_end_matches('/');
    if path.is_empty() || address.scheme() != scheme && !path.ends_with("/ws") {
        url.set_path(&format!("{path}/ws"));
        url.set_query(None);
    }
    url.set_fragment(None);
    Ok(url)
}

/// What answers beside the WebSocket at `url`, at `path`.
pub fn beside(url: &Url, path: &str) -> Result<Url, ChatError> {
    let not_an_address = || ChatError::NotAnAddress { url: url.clone() };
    let mut http = url.join(path).map_err(|_| not_an_address())?;
    http.set_scheme(if url.scheme() == "wss" { "https" } else { "http" }).map_err(|()| not_an_address())?;
    Ok(http)
}

/// Asks the server; for lists, and for the WebSocket, which is a request that goes on as something else.
pub async fn ask(
    url: &Url,
    request: impl FnOnce(reqwest::Client) -> reqwest::RequestBuilder,
) -> Result<reqwest::Response, ChatError> {
    let broken = |error: reqwest::Error| match unreachable(&error) {
        Some(reason) => ChatError::Unreachable { url: url.clone(), reason },
        None => ChatError::Broken(error.to_string()),
    };
    // Nothing between this program and the server: it is usually on the same machine. A server that is gone without a
    // word is noticed within a minute.
    let client = reqwest::Client::builder()
        .no_proxy()
        .http1_only()
        .tcp_keepalive(Duration::from_secs(20))
        .tcp_keepalive_interval(Duration::from_secs(10))
        .tcp_keepalive_retries(3);
    let answer = timeout(PATIENCE, request(client.build().map_err(broken)?).send()).await;
    let late = |_| ChatError::Unreachable { url: url.clone(), reason: "it does not answer in time".to_owned() };
    answer.map_err(late)?.map_err(broken)
}

/// Why no connection came about, if that is what is wrong.
fn unreachable(error: &reqwest::Error) -> Option<String> {
    if !error.is_connect() {
        return None;
    }
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    let reason = causes.filter_map(|cause| cause.downcast_ref::<io::Error>()).last();
    // What TLS has against a server is inside of an error that has no kind.
    let words = |reason: &io::Error| reason.get_ref().map_or_else(|| reason.kind().to_string(), ToString::to_string);
    Some(reason.map_or_else(|| error.to_string(), words))
}

impl Connection {
    /// Opens the WebSocket at `url`. The client of the lists does it, because it speaks TLS.
    pub async fn open(url: &Url, token: Option<&str>) -> Result<Self, ChatError> {
        let (http, key) = (beside(url, url.path())?, generate_key());
        let answer = ask(url, |client| {
            let request = client
                .get(http)
                .version(Version::HTTP_11)
                .header(header::CONNECTION, "Upgrade")
                .header(header::UPGRADE, "websocket")
                .header(header::SEC_WEBSOCKET_VERSION, "13")
                .header(header::SEC_WEBSOCKET_KEY, &key)
                .header(header::SEC_WEBSOCKET_PROTOCOL, VERSION);
            match token {
                Some(token) => request.bearer_auth(token),
                None => request,
            }
        });
        let answer = answer.await?;
        let status = answer.status();
        let refused = |reason: String, passing| ChatError::Refused { url: url.clone(), reason, passing };
        if status != StatusCode::SWITCHING_PROTOCOLS {
            let passing = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
            return Err(refused(format!("HTTP {status}"), passing));
        }
        let said = |name| answer.headers().get(name).map(|value| value.as_bytes().to_vec());
        let accepted = said(header::SEC_WEBSOCKET_ACCEPT) == Some(derive_accept_key(key.as_bytes()).into_bytes());
        if !accepted || said(header::SEC_WEBSOCKET_PROTOCOL).as_deref() != Some(VERSION.as_bytes()) {
            return Err(refused(format!("it does not speak {VERSION}"), false));
        }
        let socket = answer.upgrade().await.map_err(|error| ChatError::Broken(error.to_string()))?;
        Ok(Self { socket: WebSocketStream::from_raw_socket(socket, Role::Client, None).await, sent: 0 })
    }

    /// The id that the answer to what is sent next will carry.
    pub fn next_id(&mut self) -> Result<FrameId, ChatError> {
        self.sent += 1;
        FrameId::new(format!("chat-{}", self.sent)).map_err(|error| ChatError::Broken(error.to_string()))
    }

    pub async fn send(
        &mut self,
        id: FrameId,
        key: Option<IdempotencyKey>,
        message: impl Into<ClientMessage>,
    ) -> Result<(), ChatError> {
        let frame = ClientFrame { id, timestamp: None, idempotency_key: key, message: message.into() };
        // What the codec makes is text.
        let text = String::from_utf8_lossy(&codec::json(&frame)).into_owned();
        self.socket.send(Message::text(text)).await.map_err(broken)
    }

    /// The next frame. Cancel-safe.
    pub async fn next(&mut self) -> Result<ServerFrame, ChatError> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    return codec::decode_server(&text).map_err(|_| ChatError::NotUnderstood(kind(&text)));
                }
                Some(Ok(Message::Close(Some(close)))) => {
                    let code = u16::from(close.code);
                    return Err(ChatError::Closed { code, words: format!(" ({code} {})", close.reason) });
                }
                // A ping is answered by the library while it reads.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(broken(error)),
                None => return Err(without_a_word()),
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
        | tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => without_a_word(),
        error => ChatError::Broken(error.to_string()),
    }
}

/// 1006 stands for a close frame that never came.
fn without_a_word() -> ChatError {
    ChatError::Closed { code: 1006, words: " without a word".to_owned() }
}

/// The beginning of a frame, for a message about it.
fn kind(text: &str) -> String {
    text.chars().take(120).filter(|c| !c.is_control()).collect()
}
