//! The HTTP transport: routes by the generated table, problem documents, server-sent events.

mod agents;
mod caller;
mod chat;
mod events;
mod guard;
mod health;
mod problem;
mod sse;
mod worlds;

use std::sync::{Arc, atomic::Ordering};

use axum::{Router, middleware, routing};

pub use caller::{Context, bearer};
pub use guard::Guard;
pub use problem::{ProblemResponse, problem};

use crate::{
    session::App,
    shutdown::Shutdown,
    ws::{self, WsState},
};

/// What every request needs.
pub struct Http {
    pub app: Arc<App>,
    pub shutdown: Shutdown,
    /// Bytes of the largest body that is read.
    pub max_body: usize,
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

/// Everything that the server answers, behind the guard.
pub fn router(http: Arc<Http>, ws: Arc<WsState>, guard: Arc<Guard>) -> Router {
    let _ = http;
    Router::new()
        .route("/ws", routing::get(ws::upgrade))
        .with_state(ws)
        .layer(middleware::from_fn_with_state(guard, guard::guard))
}
