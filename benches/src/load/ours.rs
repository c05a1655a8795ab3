//! What is special to Agent World: its frames, and how a client comes into a world.

use std::net::SocketAddr;

use super::{Failure, socket::Socket};

/// A frame of a client, as text.
pub fn message(kind: &str, payload: &str) -> String {
    format!(r#"{{"id":"m-1","type":"{kind}","timestamp":"2026-11-25T12:00:00.000Z","payload":{payload}}}"#)
}

/// A ping of 93 bytes, which is also what the other servers echo.
pub fn ping() -> String {
    ping_of(93)
}

/// A ping of that many bytes, most of them spaces.
pub fn ping_of(bytes: usize) -> String {
    let ping = r#"{"id":"ping-0000001","type":"ping","timestamp":"2026-11-25T12:00:00.000000Z","payload":{}}"#;
    format!("{ping:bytes$}")
}

/// The value of a text field, wherever it stands first.
pub fn field(text: &str, name: &str) -> Result<String, Failure> {
    let start = format!("\"{name}\":\"");
    let value = text.split_once(&start).and_then(|(_, rest)| rest.split_once('"'));
    value.map(|(value, _)| value.to_owned()).ok_or_else(|| format!("no {name} in {text}").into())
}

/// Connects as the user of `token`, or a new one, and returns the greeting too.
pub async fn connect(address: SocketAddr, token: Option<&str>) -> Result<(Socket, String), Failure> {
    let headers = token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
    let mut socket = Socket::connect(address, "/ws", &headers).await?;
    let greeting = socket.text_with(&["\"connected\""]).await?;
    Ok((socket, greeting))
}

/// Selects a world, and returns the answer.
pub async fn select(socket: &mut Socket, template: &str, world: &str, rest: &str) -> Result<String, Failure> {
    let payload = format!(r#"{{"templateName":"{template}","worldName":"{world}"{rest}}}"#);
    socket.send_text(&message("world_select", &payload)).await?;
    socket.text_with(&["\"world_selected\""]).await
}

pub fn chat(text: &str) -> String {
    message("chat_send", &format!(r#"{{"content":"{text}"}}"#))
}
