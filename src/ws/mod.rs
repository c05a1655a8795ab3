//! The WebSocket transport: `/ws`.

mod connection;
mod deadlines;
mod fault;
mod upgrade;

use std::sync::{Arc, atomic::Ordering};

pub use deadlines::Deadlines;
pub use upgrade::upgrade;

use crate::{session::App, shutdown::Shutdown};

/// What every connection needs.
pub struct WsState {
    pub app: Arc<App>,
    pub shutdown: Shutdown,
    pub deadlines: Deadlines,
    /// Bytes of the largest frame that is read.
    pub max_frame: usize,
}

/// Counts a connection as long as it lives.
struct Counted(Arc<App>);

impl WsState {
    fn count(&self) -> Counted {
        self.app.stats.connections_active.fetch_add(1, Ordering::Relaxed);
        self.app.stats.connections_total.fetch_add(1, Ordering::Relaxed);
        Counted(self.app.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.stats.connections_active.fetch_sub(1, Ordering::Relaxed);
    }
}
