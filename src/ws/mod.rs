//! The WebSocket transport: `/ws`.

mod connection;
mod deadlines;
mod echo;
mod fault;
mod framing;
mod line;
mod requests;
mod socket;
mod upgrade;

use std::sync::{Arc, atomic::Ordering};

use axum::{Router, routing};

pub use deadlines::Deadlines;
pub use echo::echo;

use crate::{session::App, shutdown::Shutdown};

/// What every connection needs.
pub struct WsState {
    pub app: Arc<App>,
    pub shutdown: Shutdown,
    pub deadlines: Deadlines,
    /// Bytes of the largest frame that is read.
    pub max_frame: usize,
}

/// The route of the handshake.
pub fn router(state: Arc<WsState>) -> Router {
    Router::new().route("/ws", routing::any(upgrade::upgrade)).with_state(state)
}

/// Counts a connection as long as it lives.
struct Counted(Arc<WsState>);

impl Counted {
    fn new(state: Arc<WsState>) -> Self {
        state.app.stats.connections_active.fetch_add(1, Ordering::Relaxed);
        state.app.stats.connections_total.fetch_add(1, Ordering::Relaxed);
        Self(state)
    }

    fn state(&self) -> &Arc<WsState> {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.app.stats.connections_active.fetch_sub(1, Ordering::Relaxed);
    }
}
