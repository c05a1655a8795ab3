//! Before anything is tested: that this protocol is spoken there at all, and whether the kit's templates are there.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{client_async, tungstenite::Message};

use super::{command::Unusable, host::Host};

/// As long at least it may take, however short the limit of a step is.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes sure that this protocol is spoken there; returns why scenarios that need the kit's templates cannot run.
pub async fn greet(host: &Host, limit: Duration) -> Result<Option<String>, Unusable> {
    let patience = limit.max(PATIENCE);
    let url = host.http("");
    let stream = timeout(patience, host.tcp(None))
        .await
        .map_err(|_| Unusable::Unreachable(url.clone(), "it takes no connection".to_owned()))?
        .map_err(|error| Unusable::Unreachable(url.clone(), error.to_string()))?;
    connected(host, stream, patience).await.map_err(|why| Unusable::SomethingElse(url, why))?;
    Ok(templates(host, patience)
        .await
        .err()
        .map(|why| format!("needs the kit's templates and script; start the server with them (--export). {why}")))
}

async fn connected(host: &Host, stream: TcpStream, patience: Duration) -> Result<(), String> {
    let seconds = patience.as_secs_f64();
    let (mut socket, _) = timeout(patience, client_async(format!("ws://{}/ws", host.authority()), stream))
        .await
        .map_err(|_| format!("it does not answer the WebSocket handshake at /ws within {seconds} s (--timeout)"))?
        .map_err(|error| format!("no WebSocket at /ws: {error}"))?;
    let first = timeout(patience, socket.next()).await;
    match first.map_err(|_| format!("no first frame comes within {seconds} s (--timeout)"))? {
        Some(Ok(Message::Text(text))) => {
            let frame: Value = serde_json::from_str(&text).unwrap_or_default();
            if frame["type"] == "status" && frame["payload"]["type"] == "connected" {
                return Ok(());
            }
            Err(format!("its first frame is not `connected`: {}", text.chars().take(200).collect::<String>()))
        }
        Some(Ok(Message::Close(Some(close)))) => {
            Err(format!("it closes with {} {:?} before its first frame", u16::from(close.code), close.reason.as_str()))
        }
        Some(Ok(Message::Binary(_))) => Err("its first frame is binary, not text".to_owned()),
        Some(Err(error)) => Err(format!("its first frame cannot be read: {error}")),
        _ => Err("it closes before its first frame".to_owned()),
    }
}

/// Whether `GET /worlds` lists a template of the kit.
async fn templates(host: &Host, patience: Duration) -> Result<(), String> {
    let listed = async {
        let client = reqwest::Client::builder().no_proxy().build().map_err(|error| error.to_string())?;
        let answer = client.get(host.http("/worlds")).send().await.map_err(|_| "is not answered".to_owned())?;
        let status = answer.status();
        let body = answer.bytes().await.unwrap_or_default();
        let list: Value = serde_json::from_slice(&body).unwrap_or_default();
        match list.as_array() {
            Some(list) if list.iter().any(|one| one["name"] == "conform-stage") => Ok(()),
            Some(_) => Err("does not list the template conform-stage".to_owned()),
            None => Err(format!("answers {status}, and not with a list")),
        }
    };
    let listed = timeout(patience, listed).await;
    listed.unwrap_or_else(|_| Err("is not answered in time".to_owned())).map_err(|why| format!("GET /worlds {why}"))
}
