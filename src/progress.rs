//! One line of progress on a terminal; nothing where nobody looks.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Milliseconds between two lines.
const EVERY_MS: u64 = 100;

pub struct Line {
    shown: bool,
    begun: Instant,
    last_ms: AtomicU64,
}

impl Line {
    pub fn new() -> Self {
        Self { shown: std::io::stderr().is_terminal(), begun: Instant::now(), last_ms: AtomicU64::new(0) }
    }

    /// Shows the line in place of the one before, now and then.
    pub fn show(&self, line: impl FnOnce() -> String) {
        let now = self.begun.elapsed().as_millis() as u64;
        let due = now.saturating_sub(self.last_ms.load(Ordering::Relaxed)) >= EVERY_MS;
        if !self.shown || !due {
            return;
        }
        self.last_ms.store(now, Ordering::Relaxed);
        // Of no importance if it cannot be shown.
        let _ = write!(std::io::stderr(), "\r\x1b[K{}", line());
    }

    pub fn clear(&self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
