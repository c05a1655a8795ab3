//! [`Shutdown`]: how far the server is on its way down. Everybody who must know holds a copy.

use tokio::sync::watch;

/// What `draining` tells clients to wait before they come back.
pub const RETRY_AFTER_MS: u64 = 2_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub enum Phase {
    Serving,
    /// No new work; replies in progress finish.
    Draining,
    /// Everything closes now.
    Closing,
}

#[derive(Clone, Debug)]
pub struct Shutdown {
    phase: watch::Receiver<Phase>,
}

/// The one who decides.
pub struct ShutdownControl(watch::Sender<Phase>);

impl ShutdownControl {
    pub fn new() -> (Self, Shutdown) {
        let (sender, phase) = watch::channel(Phase::Serving);
        (Self(sender), Shutdown { phase })
    }

    pub fn enter(&self, phase: Phase) {
        self.0.send_replace(phase);
    }
}

impl Shutdown {
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits for the next phase. Cancel-safe.
    pub async fn changed(&mut self) -> Phase {
        if self.phase.changed().await.is_err() {
            return std::future::pending().await;
        }
        *self.phase.borrow_and_update()
    }

    /// Waits until `phase` is reached.
    pub async fn reached(&mut self, phase: Phase) {
        while self.phase() < phase {
            self.changed().await;
        }
    }
}
