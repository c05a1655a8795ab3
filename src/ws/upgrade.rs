//! `GET /ws`: the handshake. Which version is spoken, who is calling, and whether that is refused
//! (docs/PROTOCOL.md §1).

use std::sync::Arc;

use axum::{
    extract::{
        Extension, State, WebSocketUpgrade,
        ws::{WebSocket, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};

use super::{
    WsState,
    connection::{Connection, close, frame},
};
use crate::{
    error::Failure,
    peer::{Peer, bearer},
    problem::problem,
    protocol::{CloseCode, ErrorCode, ErrorDetails, KnownNames, ServerMessage, SessionToken, VERSION, codec},
    session::{Identity, Session},
};

/// Bytes that the socket's read buffer takes. It is zeroed before every read, so it is kept small; larger frames
/// are read in pieces.
const READ_BUFFER: usize = 4 * 1024;
const BEARER: &str = "bearer.";

/// What the client offers in `Sec-WebSocket-Protocol`.
struct Offer {
    /// What is echoed.
    echo: Option<String>,
    /// Whether a version that is spoken here is offered, or none at all.
    known: bool,
    token: Option<String>,
}

impl Offer {
    fn read(headers: &HeaderMap) -> Self {
        let offered: Vec<_> = headers
            .get_all(header::SEC_WEBSOCKET_PROTOCOL)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(',').map(str::trim))
            .filter(|name| !name.is_empty())
            .collect();
        let token = offered.iter().find_map(|name| name.strip_prefix(BEARER)).map(str::to_owned);
        let versions: Vec<&str> = offered.iter().copied().filter(|name| !name.starts_with(BEARER)).collect();
        let known = versions.is_empty() || versions.contains(&VERSION);
        let echo = if known { versions.iter().find(|name| **name == VERSION) } else { versions.first() };
        Self { echo: echo.map(ToString::to_string), known, token }
    }
}

pub async fn upgrade(
    State(state): State<Arc<WsState>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(_) => {
            let text = "this is the WebSocket endpoint: send a WebSocket handshake (RFC 6455)";
            return problem(Failure::new(ErrorCode::InvalidMessage, text)).into_response();
        }
    };
    let offer = Offer::read(&headers);
    let upgrade = match offer.echo.clone() {
        Some(echo) => upgrade.protocols([echo]),
        None => upgrade,
    };
    upgrade
        .read_buffer_size(READ_BUFFER)
        .max_message_size(state.max_frame)
        .max_frame_size(state.max_frame)
        .on_upgrade(move |socket| start(state, peer, offer, headers, socket))
        .into_response()
}

async fn start(state: Arc<WsState>, peer: Peer, offer: Offer, headers: HeaderMap, socket: WebSocket) {
    if !offer.known {
        let details =
            ErrorDetails { known: Some(KnownNames::trusted(vec![VERSION.to_owned()])), ..ErrorDetails::default() };
        let failure = Failure::new(ErrorCode::InvalidMessage, "this server speaks none of the offered versions");
        return refuse(socket, failure.details(details), CloseCode::VERSION, &state).await;
    }
    let (identity, new_token) = match identify(&state, &offer, &headers).await {
        Ok(found) => found,
        Err(failure) => return refuse(socket, failure, CloseCode::TOKEN, &state).await,
    };
    let _counted = state.count();
    let session = Session::new(state.app.clone(), identity);
    let (shutdown, deadlines) = (state.shutdown.clone(), state.deadlines.clone());
    Connection::new(state.app.clone(), session, socket, peer, shutdown, deadlines).run(new_token).await;
}

/// The user of the token, or a new one where there is no token.
async fn identify(
    state: &WsState,
    offer: &Offer,
    headers: &HeaderMap,
) -> Result<(Identity, Option<SessionToken>), Failure> {
    let token = match bearer(headers)? {
        Some(token) => Some(token),
        None => offer.token.clone(),
    };
    match token {
        Some(token) => Ok((state.app.identities.authenticate(&token).await?, None)),
        None => {
            let (identity, token) = state.app.identities.anonymous()?;
            Ok((identity, Some(token)))
        }
    }
}

/// A browser sees no refused handshake: it is told in a frame, and the connection is closed.
async fn refuse(mut socket: WebSocket, failure: Failure, code: CloseCode, state: &WsState) {
    let bytes = codec::encode(&frame(None, ServerMessage::Error(failure.into())));
    if let Ok(text) = axum::extract::ws::Utf8Bytes::try_from(bytes) {
        let _ = socket.send(axum::extract::ws::Message::Text(text)).await;
    }
    close(&mut socket, code, state.deadlines.close).await;
}
