//! A WebSocket: two of them, with everything that comes out of one going into the other. The server is asked first, so
//! the client gets the server's own answer to its handshake. Pings are answered by either hop itself.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{
        WebSocketUpgrade,
        ws::{CloseFrame, Message as Client, WebSocket},
    },
    http::{HeaderName, header, request::Parts},
    response::Response,
};
use futures_util::{
    Sink, SinkExt, Stream, StreamExt,
    future::{Either, select},
    stream,
};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        ClientRequestBuilder, Error, Message as Server,
        protocol::{CloseFrame as ServerClose, frame::coding::CloseCode},
    },
};

use super::{Edit, Proxy, unreachable};
use crate::{frames::line::Content, protocol::RecordedDirection};

/// Time for the rest of a connection that one side has closed.
const GOODBYE: Duration = Duration::from_secs(5);
/// The largest message that goes through, in bytes. Limits are the server's business.
const MAX_MESSAGE: usize = 64 * 1_024 * 1_024;
/// What a close frame without a code counts as, and a connection that ends without a close frame (RFC 6455 §7.4.1).
const NO_CODE: u16 = 1005;
const NO_CLOSE: u16 = 1006;

/// What a side said.
enum Said {
    Text(String),
    Binary(bytes::Bytes),
    Close(Option<(u16, String)>),
    /// Something that concerns this hop only.
    Nothing,
}

pub async fn relay(proxy: Arc<Proxy>, parts: Parts, upgrade: WebSocketUpgrade) -> Response {
    let mut url = proxy.upstream.clone();
    url.set_path(parts.uri.path());
    url.set_query(parts.uri.query());
    if url.set_scheme("ws").is_err() {
        return unreachable(&proxy, "it has no WebSocket address");
    }
    let Ok(uri) = url.as_str().parse() else { return unreachable(&proxy, "it has no WebSocket address") };
    let mut request = ClientRequestBuilder::new(uri);
    let own: [HeaderName; 4] = [
        header::SEC_WEBSOCKET_KEY,
        header::SEC_WEBSOCKET_VERSION,
        header::SEC_WEBSOCKET_EXTENSIONS,
        header::SEC_WEBSOCKET_PROTOCOL,
    ];
    for (name, value) in proxy.headers(&parts.headers).iter().filter(|(name, _)| !own.contains(name)) {
        request = request.with_header(name.as_str(), String::from_utf8_lossy(value.as_bytes()));
    }
    for offered in parts.headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok())
    {
        for name in offered.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            request = request.with_sub_protocol(name);
        }
    }
    let (server, accepted) = match connect_async(request).await {
        Ok(connected) => connected,
        // The server's own refusal.
        Err(Error::Http(refusal)) => return refusal.map(|body| Body::from(body.unwrap_or_default())),
        Err(error) => return unreachable(&proxy, &error.to_string()),
    };
    let upgrade = match accepted.headers().get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|name| name.to_str().ok()) {
        Some(chosen) => upgrade.protocols([chosen.to_owned()]),
        None => upgrade,
    };
    upgrade.max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE).on_upgrade(move |client| async move {
        let number = proxy.number();
        join(&proxy, number, client, server).await;
        proxy.over.notify_one();
    })
}

async fn join(proxy: &Proxy, number: u64, client: WebSocket, server: WebSocketStream<MaybeTlsStream<TcpStream>>) {
    let (to_client, from_client) = client.split();
    let (to_server, from_server) = server.split();
    let from_client = from_client.map(|said| said.map(of_client));
    let from_server = from_server.map(|said| said.map(of_server));
    let from_server = from_server.flat_map(edited(proxy.edits.as_ref().map(|edits| edits())));
    let up = pump(proxy, number, RecordedDirection::Client, from_client, to_server, server_says);
    let down = pump(proxy, number, RecordedDirection::Server, from_server, to_client, client_says);
    // Whoever goes first, the other side has some time to answer; without a closing handshake, none.
    match select(Box::pin(up), Box::pin(down)).await {
        Either::Left((true, down)) => drop(timeout(GOODBYE, down).await),
        Either::Right((true, up)) => drop(timeout(GOODBYE, up).await),
        Either::Left((false, _)) | Either::Right((false, _)) => {}
    }
}

/// Puts what `edit` makes of a text in its place.
fn edited<E>(
    mut edit: Option<Edit>,
) -> impl FnMut(Result<Said, E>) -> stream::Iter<std::vec::IntoIter<Result<Said, E>>> {
    move |said| {
        let said = match (said, &mut edit) {
            (Ok(Said::Text(text)), Some(edit)) => edit(&text).into_iter().map(|text| Ok(Said::Text(text))).collect(),
            (said, _) => vec![said],
        };
        stream::iter(said)
    }
}

/// Carries what `from` says to `to`, written down before it goes on. Returns whether it ended with a close frame.
async fn pump<E, T>(
    proxy: &Proxy,
    number: u64,
    direction: RecordedDirection,
    mut from: impl Stream<Item = Result<Said, E>> + Unpin,
    mut to: impl Sink<T> + Unpin,
    say: fn(Said) -> Option<T>,
) -> bool {
    while let Some(Ok(said)) = from.next().await {
        match &said {
            Said::Text(text) => proxy.tape.write(number, direction, Content::Frame(text)),
            Said::Binary(bytes) => proxy.tape.binary(number, direction, bytes),
            Said::Close(code) => {
                let code = code.as_ref().map_or(NO_CODE, |(code, _)| *code);
                proxy.tape.write(number, direction, Content::Closed(code));
            }
            Said::Nothing => continue,
        }
        let closes = matches!(said, Said::Close(_));
        if let Some(message) = say(said)
            && to.send(message).await.is_err()
            && !closes
        {
            return false;
        }
        if closes {
            return true;
        }
    }
    proxy.tape.write(number, direction, Content::Closed(NO_CLOSE));
    false
}

fn of_client(message: Client) -> Said {
    match message {
        Client::Text(text) => Said::Text(text.as_str().to_owned()),
        Client::Binary(bytes) => Said::Binary(bytes),
        Client::Close(frame) => Said::Close(frame.map(|frame| (frame.code, frame.reason.as_str().to_owned()))),
        Client::Ping(_) | Client::Pong(_) => Said::Nothing,
    }
}

fn of_server(message: Server) -> Said {
    match message {
        Server::Text(text) => Said::Text(text.as_str().to_owned()),
        Server::Binary(bytes) => Said::Binary(bytes),
        Server::Close(frame) => Said::Close(frame.map(|frame| (frame.code.into(), frame.reason.as_str().to_owned()))),
        Server::Ping(_) | Server::Pong(_) | Server::Frame(_) => Said::Nothing,
    }
}

fn server_says(said: Said) -> Option<Server> {
    match said {
        Said::Text(text) => Some(Server::text(text)),
        Said::Binary(bytes) => Some(Server::Binary(bytes)),
        Said::Close(code) => Some(Server::Close(
            code.map(|(code, reason)| ServerClose { code: CloseCode::from(code), reason: reason.into() }),
        )),
        Said::Nothing => None,
    }
}

fn client_says(said: Said) -> Option<Client> {
    match said {
        Said::Text(text) => Some(Client::Text(text.into())),
        Said::Binary(bytes) => Some(Client::Binary(bytes)),
        Said::Close(code) => Some(Client::Close(code.map(|(code, reason)| CloseFrame { code, reason: reason.into() }))),
        Said::Nothing => None,
    }
}
