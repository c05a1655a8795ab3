//! `GET /ws`: the handshake. Which version is spoken, who is calling, and whether that is refused
//! (docs/PROTOCOL.md §1).

use std::sync::{Arc, atomic::AtomicU64};

use axum::{
    body::Body,
    extract::{Extension, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{
    Counted, WsState,
    connection::{Connection, close, frame},
    socket::Socket,
};
use crate::{
    error::Failure,
    peer::{Peer, Watched, bearer},
    problem::problem,
    protocol::{CloseCode, ErrorCode, ErrorDetails, KnownNames, ServerMessage, SessionToken, VERSION, codec},
    session::{Identity, Session},
};

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
    request: Request,
) -> Response {
    if request.method() != Method::GET {
        let text = "this is the WebSocket endpoint: its handshake is a GET";
        return problem(Failure::new(ErrorCode::MethodNotAllowed, text)).allow("GET".to_owned()).into_response();
    }
    if request.uri().query().is_some_and(|query| !query.is_empty()) {
        let text = "the handshake takes no query parameters; a session token goes into Sec-WebSocket-Protocol, as bearer.TOKEN";
        return problem(Failure::new(ErrorCode::InvalidMessage, text)).into_response();
    }
    let Some(accept) = accept_key(request.headers()) else {
        let text = "this is the WebSocket endpoint: send a WebSocket handshake (RFC 6455)";
        return problem(Failure::new(ErrorCode::InvalidMessage, text)).into_response();
    };
    let mut request = request;
    let upgraded = hyper::upgrade::on(&mut request);
    let offer = Offer::read(request.headers());
    let echo = offer.echo.as_deref().and_then(|echo| HeaderValue::from_str(echo).ok());
    let headers = std::mem::take(request.headers_mut());
    // The answer to the handshake goes out with the first frame.
    peer.activity.hold();
    // What comes before the connection's own loop is a future of its own, which an idle connection does not keep.
    tokio::spawn(async move {
        if let Some((connection, new_token)) = Box::pin(start(state, peer, offer, headers, upgraded)).await {
            connection.run(new_token).await;
        }
    });
    switching(accept, echo)
}

/// The answer to a handshake.
pub(super) fn switching(accept: HeaderValue, echo: Option<HeaderValue>) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = response.headers_mut();
    answer.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    answer.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    answer.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(echo) = echo {
        answer.insert(header::SEC_WEBSOCKET_PROTOCOL, echo);
    }
    response
}

/// The answer to the key of a handshake (RFC 6455 §4.2); `None` if this is not one.
pub(super) fn accept_key(headers: &HeaderMap) -> Option<HeaderValue> {
    let has = |name, token: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(token))
    };
    let key = headers.get(header::SEC_WEBSOCKET_KEY)?;
    let upgrade = has(header::CONNECTION, "upgrade") && has(header::UPGRADE, "websocket");
    let accept = (upgrade && has(header::SEC_WEBSOCKET_VERSION, "13")).then(|| derive_accept_key(key.as_bytes()))?;
    HeaderValue::try_from(accept).ok()
}

/// The connection, once its stream is there and it is known whose it is.
async fn start(
    state: Arc<WsState>,
    peer: Peer,
    offer: Offer,
    headers: HeaderMap,
    upgraded: OnUpgrade,
) -> Option<(Box<Connection>, Option<SessionToken>)> {
    let upgraded = upgraded.await.inspect_err(|error| tracing::debug!(%error, "failed to upgrade")).ok()?;
    let socket = socket(upgraded, state.max_frame, state.app.stats.frames_out.clone())?;
    if !offer.known {
        let details =
            ErrorDetails { known: Some(KnownNames::trusted(vec![VERSION.to_owned()])), ..ErrorDetails::default() };
        let failure = Failure::new(ErrorCode::InvalidMessage, "this server speaks none of the offered versions");
        refuse(socket, failure.details(details), CloseCode::VERSION, &state).await;
        return None;
    }
    match identify(&state, &offer, &headers).await {
        Ok((identity, new_token)) => {
            let session = Session::new(state.app.clone(), identity);
            Some((Box::new(Connection::new(Counted::new(state), session, socket, peer)), new_token))
        }
        Err(failure) => {
            refuse(socket, failure, CloseCode::TOKEN, &state).await;
            None
        }
    }
}

/// The stream that hyper was given, without what hyper wrapped it in.
pub(super) fn socket(upgraded: Upgraded, max_frame: usize, frames: Arc<AtomicU64>) -> Option<Socket> {
    match upgraded.downcast::<TokioIo<Watched>>() {
        Ok(Parts { io, read_buf, .. }) => Some(Socket::new(io.into_inner(), &read_buf, max_frame, frames)),
        Err(_) => {
            tracing::error!("the upgraded stream is not the one that was served");
            None
        }
    }
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
async fn refuse(mut socket: Socket, failure: Failure, code: CloseCode, state: &WsState) {
    let bytes = codec::encode_once(&frame(None, ServerMessage::Error(failure.into())));
    if socket.line().text(&bytes).is_ok() {
        close(&mut socket, code, state.deadlines.close).await;
    }
}
