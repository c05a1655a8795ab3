//! Server-sent events: the same frames as over WebSocket, one `data:` line each; `id:` is the cursor of a durable
//! event, so that `Last-Event-ID` resumes.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, header},
};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{FutureExt, Stream, StreamExt};

use uuid::Uuid;

use crate::{
    protocol::{Cursor, Draining, RetryAfterMs, ServerFrame, ServerMessage, Status, StatusDraining, codec},
    session::{Revocation, unknown_token},
    shutdown::{Phase, RETRY_AFTER_MS, Shutdown},
    world::{now_ms, timestamp},
};

/// How often a silent stream says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// One event of a stream.
pub fn event(cursor: Option<&Cursor>, data: &[u8]) -> Bytes {
    let mut event = BytesMut::with_capacity(data.len() + 64);
    if let Some(cursor) = cursor {
        event.put_slice(b"id: ");
        event.put_slice(cursor.as_str().as_bytes());
        event.put_u8(b'\n');
    }
    // JSON has no raw line break, so one line holds it all.
    event.put_slice(b"data: ");
    event.put_slice(data);
    event.put_slice(b"\n\n");
    event.freeze()
}

/// A frame made for one stream.
pub fn push(message: impl Into<ServerMessage>) -> Bytes {
    codec::encode(&ServerFrame {
        id: Uuid::now_v7(),
        timestamp: timestamp(now_ms()),
        reply_to: None,
        seq: None,
        message: message.into(),
    })
}

/// The body that carries `events`; comments keep it alive. It ends when the server does, or the caller's token.
pub fn body(events: impl Stream<Item = Bytes> + Send + 'static, revocation: Revocation, shutdown: Shutdown) -> Body {
    Body::from_stream(alive(events, revocation, shutdown))
}

/// Headers that keep proxies from storing or gathering a stream.
pub fn headers(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
}

fn alive(
    events: impl Stream<Item = Bytes> + Send,
    mut revocation: Revocation,
    mut shutdown: Shutdown,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    async_stream::stream! {
        let mut events = std::pin::pin!(events);
        let mut expected = Phase::Draining;
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(event) => yield Ok(event),
                    None => return,
                },
                () = tokio::time::sleep(HEARTBEAT) => yield Ok(Bytes::from_static(b": alive\n\n")),
                () = revocation.wait() => {
                    yield Ok(event(None, &push(ServerMessage::Error(unknown_token().into()))));
                    return;
                }
                () = shutdown.reached(expected) => {
                    if expected == Phase::Draining {
                        expected = Phase::Closing;
                        yield Ok(event(None, &draining()));
                        continue;
                    }
                    // What the drain brought, such as the end of a reply, still goes out.
                    while let Some(Some(event)) = events.next().now_or_never() {
                        yield Ok(event);
                    }
                    return;
                }
            }
        }
    }
}

fn draining() -> Bytes {
    let data = Draining { retry_after_ms: RetryAfterMs::saturating(RETRY_AFTER_MS) };
    let message = "The server is about to stop.".to_owned();
    push(Status::Draining(StatusDraining { message, data }))
}
