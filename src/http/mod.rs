//! The HTTP transport. A request goes: [`guard`] → [`routes::find`] → [`routes::call`], which decodes every input →
//! the method of the generated [`routes::Api`] trait in `api.rs` → the file of its resource.

mod agents;
mod api;
mod body;
mod caller;
mod chat;
mod cors;
mod documents;
mod embedded;
mod encoding;
mod events;
mod guard;
mod health;
mod replies;
pub mod routes;
mod sessions;
mod sse;
mod transfer;
mod worlds;

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
};
use futures_util::stream;

pub use body::Room;
pub use caller::Context;
use embedded::{Embedded, Serving};
pub use guard::Guard;
use routes::{Auth, Content, Operation, Reply, Unrouted};

use crate::{
    error::Failure,
    problem::{ProblemResponse, problem},
    protocol::ErrorCode,
    session::App,
    shutdown::Shutdown,
};

/// An import is as large as a world's log.
const MAX_IMPORT: usize = 64 * 1024 * 1024;
/// Bytes of all imports that are read at the same time.
pub const IMPORTS: usize = 4 * MAX_IMPORT;

/// What every request needs.
pub struct Http {
    pub app: Arc<App>,
    pub shutdown: Shutdown,
    /// Bytes of the largest body that is read.
    pub max_body: usize,
    /// Time in which at least a piece of a body has to come.
    pub patience: Duration,
    /// Room for [`IMPORTS`].
    pub imports: Room,
}

/// A body that is no JSON of the schema.
pub enum Payload {
    Open(Body),
    /// One of many small documents, which nobody needs to have encoded.
    Schema(&'static str),
    Embedded(&'static Embedded, Serving),
}

/// Counts a stream as long as it is open.
pub struct CountedStream(Arc<App>);

impl Http {
    fn counted_stream(&self) -> CountedStream {
        self.app.stats.streams_active.fetch_add(1, Ordering::Relaxed);
        CountedStream(self.app.clone())
    }
}

impl Drop for CountedStream {
    fn drop(&mut self) {
        self.0.stats.streams_active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Everything that is answered over HTTP, and `others`, behind the guard.
pub fn router(http: Arc<Http>, guard: Arc<Guard>, others: Router) -> Router {
    let guarded = middleware::from_fn_with_state(guard, guard::guard);
    others.merge(Router::new().fallback(answer).with_state(http)).layer(guarded)
}

async fn answer(State(http): State<Arc<Http>>, request: Request) -> Response {
    http.app.stats.requests.fetch_add(1, Ordering::Relaxed);
    let mut response = match serve(http.clone(), request).await {
        Ok(response) => response,
        Err(refused) => refused.into_response(),
    };
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if response.status().is_client_error() || response.status().is_server_error() {
        http.app.stats.errors.fetch_add(1, Ordering::Relaxed);
    }
    response
}

async fn serve(http: Arc<Http>, request: Request) -> Result<Response, ProblemResponse> {
    let (parts, body) = request.into_parts();
    let found = routes::find(parts.method.as_str(), parts.uri.path()).map_err(unrouted)?;
    let context = Context { headers: parts.headers.clone() };
    if found.operation.info().auth == Auth::Required {
        // Who is nobody learns nothing of what else is wrong.
        context.require_token().map_err(problem)?;
    }
    let (limit, room) = match found.operation {
        Operation::ImportWorld => {
            // What is so much larger than everything else is taken of those who are known.
            http.require_writer(&context).await.map_err(problem)?;
            (MAX_IMPORT, Some(&http.imports))
        }
        _ => (http.max_body, None),
    };
    let body::Read { bytes, room } = body::read(body, limit, http.patience, room).await.map_err(problem)?;
    // hyper drops what it waits for when the client leaves. What was begun is done all the same, to its end.
    let served = http.clone();
    let answering = tokio::spawn(async move {
        // Also when the client has left.
        let _room = room;
        let reply = routes::call(&*served, context, &found, parts.uri.query(), &parts.headers, bytes).await?;
        Ok::<_, Failure>((reply, parts))
    });
    let (reply, parts) = answering.await.map_err(Failure::internal).flatten().map_err(problem)?;
    let mut response = respond(reply, &parts.headers);
    if parts.method == Method::HEAD {
        // A stream that nobody reads must not stay open. What GET would send says its length all the same.
        *response.body_mut() = match response.body().size_hint().exact() {
            Some(length) => {
                response.headers_mut().entry(header::CONTENT_LENGTH).or_insert(length.into());
                Body::empty()
            }
            None => Body::from_stream(stream::empty::<io::Result<Bytes>>()),
        };
    }
    Ok(response)
}

fn respond(reply: Reply<Payload>, request: &HeaderMap) -> Response {
    let mut response = match reply.content {
        Content::Empty => Response::new(Body::empty()),
        Content::Json(json) => Response::new(Body::from(json)),
        Content::Open(Payload::Open(body)) => Response::new(body),
        Content::Open(Payload::Schema(text)) => documents::respond(text, request),
        Content::Open(Payload::Embedded(file, serving)) => return file.respond(serving, request),
    };
    if response.status() == StatusCode::NOT_MODIFIED {
        return response;
    }
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    if let Some(media_type) = reply.media_type {
        let value = match media_type {
            "text/plain" => "text/plain; version=0.0.4; charset=utf-8",
            media_type => media_type,
        };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
        if media_type == "text/event-stream" {
            sse::headers(headers);
        }
    }
    for (name, value) in reply.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}

fn unrouted(unrouted: Unrouted) -> ProblemResponse {
    match unrouted {
        Unrouted::NotFound => problem(Failure::new(
            ErrorCode::NotFound,
            "there is nothing at this path; /openapi.json lists what there is",
        )),
        Unrouted::MethodNotAllowed { allow } => {
            let text = format!("this path answers {allow}");
            problem(Failure::new(ErrorCode::MethodNotAllowed, text)).allow(allow)
        }
    }
}
